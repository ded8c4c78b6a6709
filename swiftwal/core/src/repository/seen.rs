//! The repository as this machine saw it last.
//!
//! Two things stand on it. A storage whose requests take their time spares `archive-wal` the reading of
//! `cluster.json` for ten minutes. And a repository that was there before and is gone now, since its disk isn't
//! mounted, is told from one that never was: only the latter may be created without being asked for.

use std::io;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    local::state_dir::StateDir,
    repository::{cluster::ClusterInfo, layout::ObjectName},
};

/// How long what was seen counts as up to date. A container that is given to another cluster is noticed after so long
/// at the latest.
const UP_TO_DATE: SignedDuration = SignedDuration::from_mins(10);

/// The file of the state directory that holds it.
const FILE: &str = "cluster.json";

/// A repository as this machine saw it last.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SeenRepository {
    /// When it was seen, give or take ten minutes, by the clock of this machine.
    pub at: Timestamp,
    /// The system identifier of the cluster that it belongs to.
    pub system_identifier: u64,
    /// The whole of `cluster.json`; none if a newer version wrote what this one doesn't understand.
    cluster: Option<ClusterInfo>,
}

/// What is on disk.
#[derive(Serialize, Deserialize)]
struct Stored {
    at: Timestamp,
    cluster: Box<RawValue>,
}

/// What every version of `cluster.json` says.
#[derive(Deserialize)]
struct Identifier {
    #[serde(with = "crate::repository::decimal")]
    system_identifier: u64,
}

impl SeenRepository {
    /// When it was seen, for messages: `2026-11-28 18:04 UTC`.
    #[must_use]
    pub fn date(&self) -> String {
        self.at.strftime("%Y-%m-%d %H:%M UTC").to_string()
    }

    fn is_up_to_date(&self, now: Timestamp) -> bool {
        let age = now.duration_since(self.at);
        (SignedDuration::ZERO..UP_TO_DATE).contains(&age)
    }

    fn parse(text: &[u8]) -> io::Result<Self> {
        let Stored { at, cluster } = serde_json::from_slice(text)?;
        let Identifier { system_identifier } = serde_json::from_str(cluster.get())?;
        let cluster = ClusterInfo::from_bytes(&ObjectName::Cluster, cluster.get().as_bytes()).ok();
        Ok(Self { at, system_identifier, cluster })
    }
}

impl StateDir {
    /// What was seen last, however long ago; nothing if the repository was never seen from here.
    #[must_use]
    pub fn seen(&self) -> Option<SeenRepository> {
        self.read(FILE, SeenRepository::parse)
    }

    /// What was seen last, if that was so short a time before `now` that it needn't be asked for again.
    pub(crate) fn up_to_date(&self, now: Timestamp) -> Option<ClusterInfo> {
        self.seen().filter(|seen| seen.is_up_to_date(now))?.cluster
    }

    /// Replaces what was seen before, unless it is the same and up to date.
    pub(crate) fn remember(&self, now: Timestamp, cluster: &ClusterInfo) {
        let is_known =
            |seen: SeenRepository| seen.is_up_to_date(now) && seen.cluster.as_ref() == Some(cluster);
        if self.seen().is_some_and(is_known) {
            return;
        }
        // Neither can fail: they are maps with strings for keys.
        let stored = serde_json::value::to_raw_value(cluster)
            .and_then(|cluster| serde_json::to_vec(&Stored { at: now, cluster }));
        if let Ok(stored) = stored {
            self.write(FILE, &stored);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use swiftwal_compression::Format;
    use swiftwal_postgres::SegmentSize;

    use super::*;
    use crate::repository::cluster::ClusterIdentity;

    fn cluster() -> ClusterInfo {
        let identity = ClusterIdentity {
            system_identifier: 7,
            postgres_version: None,
            wal_segment_bytes: SegmentSize::default(),
        };
        ClusterInfo::new(identity, [Format::Zstd].into())
    }

    fn at(minutes: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
    }

    fn file(state: &StateDir) -> PathBuf {
        state.path().join(FILE)
    }

    #[test]
    fn what_was_seen_is_up_to_date_for_a_while_and_not_before_it_was_seen() {
        let state = tempfile::tempdir().unwrap();
        let state = StateDir::new(state.path().join("a/b"));
        assert_eq!(state.up_to_date(at(100)), None);
        state.remember(at(100), &cluster());
        assert_eq!(state.up_to_date(at(100)), Some(cluster()));
        assert_eq!(state.up_to_date(at(109)), Some(cluster()));
        assert_eq!(state.up_to_date(at(110)), None);
        assert_eq!(state.up_to_date(at(99)), None);
    }

    #[test]
    fn what_was_seen_is_known_for_ever() {
        let state = tempfile::tempdir().unwrap();
        let state = StateDir::new(state.path());
        assert_eq!(state.seen(), None);
        state.remember(at(0), &cluster());
        assert_eq!((state.seen().unwrap().at, state.seen().unwrap().system_identifier), (at(0), 7));
        state.remember(at(9), &cluster());
        assert_eq!(state.seen().unwrap().at, at(0));
        state.remember(at(10), &cluster());
        assert_eq!(state.seen().unwrap().date(), "1970-01-01 00:10 UTC");
    }

    #[test]
    fn a_damaged_file_is_as_good_as_none() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::new(directory.path());
        state.remember(at(0), &cluster());
        fs::write(file(&state), "{\"at\":").unwrap();
        assert_eq!(state.seen(), None);
        state.remember(at(0), &cluster());
        assert!(state.seen().is_some());
    }

    #[test]
    fn what_a_newer_version_saw_and_this_one_does_not_understand_is_not_relied_on_but_known() {
        let state = tempfile::tempdir().unwrap();
        let state = StateDir::new(state.path());
        state.remember(at(0), &cluster());
        let text = fs::read_to_string(file(&state)).unwrap();
        for demand in [r#""requires":["encryption"],"format":1"#, r#""format":2"#] {
            fs::write(file(&state), text.replacen(r#""format":1"#, demand, 1)).unwrap();
            assert_eq!(state.up_to_date(at(0)), None, "{demand}");
            assert_eq!(state.seen().unwrap().system_identifier, 7, "{demand}");
        }
        fs::write(file(&state), text.replacen(r#""format":1"#, r#""more":1,"format":1"#, 1)).unwrap();
        assert!(state.up_to_date(at(0)).is_some());
    }
}
