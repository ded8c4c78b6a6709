//! What was learned about a cluster.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Info, Server};

/// How long it is kept on disk. An upgrade of the cluster may change what it can do.
const KEPT: SignedDuration = SignedDuration::from_hours(24);

/// What was learned; None for an answer that isn't known yet.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Known {
    pub(super) server: Option<Server>,
    pub(super) keeps_existing: Option<bool>,
    pub(super) returns_manifests: Option<bool>,
    pub(super) info: Option<Info>,
    /// Whether a warning was given that the cluster gives no limits.
    #[serde(default)]
    pub(super) warned_of_limits: bool,
    /// When the first of these was learned.
    pub(super) since: Option<Timestamp>,
    /// Whether the limits may be older than this process.
    #[serde(skip)]
    pub(super) is_stale: bool,
    /// Limits that hold until others are learned.
    #[serde(skip)]
    pub(super) assumed: Option<Info>,
}

/// For `-vv`.
impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answer = |known: Option<bool>| known.map_or("unknown", |is_so| if is_so { "yes" } else { "no" });
        let server = match self.server {
            Some(Server::Swift) => "Swift",
            Some(Server::Radosgw) => "radosgw",
            None => "unknown",
        };
        let keeps_existing =
            answer(self.keeps_existing.or((self.server == Some(Server::Swift)).then_some(true)));
        let (manifests, info) = (answer(self.returns_manifests), answer(self.info.is_some().then_some(true)));
        write!(
            f,
            "server: {server}; keeps existing objects: {keeps_existing}; returns manifests: {manifests}; "
        )?;
        write!(f, "limits known: {info}")
    }
}

impl Known {
    pub(super) fn is_recent(&self, now: Timestamp) -> bool {
        self.since.is_some_and(|since| (SignedDuration::ZERO..KEPT).contains(&now.duration_since(since)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_day_or_with_a_clock_that_was_ahead_it_is_learned_again() {
        let now = Timestamp::UNIX_EPOCH + KEPT;
        let known = |since| Known { since: Some(since), ..Known::default() };
        assert!(!known(Timestamp::UNIX_EPOCH).is_recent(now));
        assert!(known(now).is_recent(now));
        assert!(!known(now + SignedDuration::from_secs(1)).is_recent(now));
    }
}
