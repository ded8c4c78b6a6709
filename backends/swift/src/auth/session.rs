use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize, Serializer};
use url::Url;

use crate::Secret;

/// Renewed when a tenth of its life is left, but no earlier than this before its end.
const LONGEST_MARGIN: SignedDuration = SignedDuration::from_mins(5);

/// The life of a token whose end isn't told. Longer than that of most requests, shorter than that of any token.
const UNTOLD_LIFE: SignedDuration = SignedDuration::from_mins(10);

/// A token and the account it is for.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Session {
    #[serde(serialize_with = "exposed")]
    pub(crate) token: Secret,
    /// Without a slash at its end.
    pub(crate) storage_url: Url,
    /// By this machine's clock.
    pub(crate) renew_at: Timestamp,
}

impl Session {
    /// A session that begins now. The life is a duration, so that this machine's clock need not agree with the
    /// server's.
    pub(super) fn new(
        token: Secret,
        mut storage_url: Url,
        now: Timestamp,
        life: Option<SignedDuration>,
    ) -> Self {
        let life = life.unwrap_or(UNTOLD_LIFE);
        let margin = (life / 10).min(LONGEST_MARGIN);
        let path = storage_url.path().trim_end_matches('/').to_owned();
        storage_url.set_path(&path);
        Self { token, storage_url, renew_at: now.saturating_add(life - margin).unwrap_or(now) }
    }

    /// Whether a request may still begin with it.
    pub(super) fn is_fresh(&self, now: Timestamp) -> bool {
        now < self.renew_at
    }
}

/// Only the token cache writes it down, in a file for this user alone.
fn exposed<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(life: Option<SignedDuration>) -> Session {
        let url = "http://swift/v1/AUTH_a/".parse().unwrap();
        Session::new(Secret::new("token"), url, Timestamp::UNIX_EPOCH, life)
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_token_is_renewed_before_its_end() {
        let hour = session(Some(SignedDuration::from_hours(1)));
        assert!(hour.is_fresh(at(3299)));
        assert!(!hour.is_fresh(at(3300)));
    }

    #[test]
    fn a_token_of_a_few_seconds_is_still_used() {
        let short = session(Some(SignedDuration::from_secs(4)));
        assert!(short.is_fresh(at(3)));
        assert!(!short.is_fresh(at(4)));
    }

    #[test]
    fn a_token_whose_end_is_in_the_past_is_not_fresh() {
        assert!(!session(Some(SignedDuration::from_secs(-5))).is_fresh(at(0)));
    }

    #[test]
    fn the_storage_url_has_no_slash_at_its_end() {
        assert_eq!(session(None).storage_url.as_str(), "http://swift/v1/AUTH_a");
    }
}
