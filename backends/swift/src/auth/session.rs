//! A token with its account and its lifetime.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize, Serializer};
use url::Url;

use crate::secret::Secret;

/// The longest time before its end at which a token is renewed; otherwise it is renewed when a tenth of its lifetime is
/// left.
const LONGEST_MARGIN: SignedDuration = SignedDuration::from_mins(5);

/// The assumed lifetime of a token whose response doesn't give one: longer than most requests, shorter than any
/// token's.
const UNTOLD_LIFE: SignedDuration = SignedDuration::from_mins(10);

/// A token and the account that it is valid for.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Session {
    #[serde(serialize_with = "exposed")]
    pub(crate) token: Secret,
    /// Without a slash at its end.
    pub(crate) storage_url: Url,
    /// When to renew the token, by this machine's clock, as `ends_at`.
    pub(crate) renew_at: Timestamp,
    pub(crate) ends_at: Timestamp,
    /// Whether it comes from the token cache, where it may have been stored long ago.
    #[serde(skip)]
    pub(crate) is_cached: bool,
}

impl Session {
    /// Creates a session that begins now. The lifetime is a duration, so that this machine's clock needn't agree with
    /// the server's.
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
        let after = |life| now.saturating_add(life).unwrap_or(now);
        Self { token, storage_url, renew_at: after(life - margin), ends_at: after(life), is_cached: false }
    }

    /// Whether a request may use it without renewing it first.
    pub(super) fn is_fresh(&self, now: Timestamp) -> bool {
        now < self.renew_at
    }

    /// Whether a request may use it if no other is available.
    pub(super) fn is_alive(&self, now: Timestamp) -> bool {
        now < self.ends_at
    }

    /// When to request another token again, after the identity service failed.
    pub(super) fn postponed(&self, now: Timestamp) -> Timestamp {
        now.saturating_add(self.ends_at.duration_since(now) / 10).unwrap_or(now)
    }
}

/// Serializes the secret. Only the token cache does that, in a file that only this user can read.
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
    fn a_token_that_is_to_be_renewed_lives_until_its_end() {
        let hour = session(Some(SignedDuration::from_hours(1)));
        assert!(hour.is_alive(at(3599)));
        assert!(!hour.is_alive(at(3600)));
        assert_eq!(hour.postponed(at(3300)), at(3330));
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
