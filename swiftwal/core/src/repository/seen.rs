//! The repository as this machine saw it last.
//!
//! It serves two purposes. With a storage whose requests are slow, `archive-wal` needn't read `cluster.json` for ten
//! minutes. And a repository that has vanished, because its disk isn't mounted, is distinguished from one that never
//! existed: only the latter is created automatically.

use std::io;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    local::state_dir::StateDir,
    repository::{cluster::ClusterInfo, layout::ObjectName},
};

/// How long a sighting counts as up to date. If the container is given to another cluster, that is noticed after this
/// time at the latest.
const UP_TO_DATE: SignedDuration = SignedDuration::from_mins(10);

/// The name of the file in the state directory.
const FILE: &str = "cluster.json";

/// A repository as this machine saw it last.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SeenRepository {
    /// When it was seen, to within ten minutes, by the clock of this machine.
    pub at: Timestamp,
    /// The system identifier of the cluster that it belongs to.
    pub system_identifier: u64,
    /// The content of `cluster.json`. None if a newer version wrote something that this one doesn't understand.
    cluster: Option<ClusterInfo>,
}

/// The content of the file.
#[derive(Serialize, Deserialize)]
struct Stored {
    at: Timestamp,
    cluster: Box<RawValue>,
}

/// The part of `cluster.json` that every version has.
#[derive(Deserialize)]
struct Identifier {
    #[serde(with = "crate::repository::decimal")]
    system_identifier: u64,
}

impl SeenRepository {
    /// The time when it was seen, for messages: `2026-11-28 18:04 UTC`.
    #[must_use]
    pub fn date(&self) -> String {
        self.at.strftime("%Y-%m-%d %H:%M UTC").to_string()
    }

    /// Returns the content of `cluster.json`, if it was seen shortly enough before `now`.
    pub(crate) fn up_to_date(&self, now: Timestamp) -> Option<&ClusterInfo> {
        self.cluster.as_ref().filter(|_| self.is_up_to_date(now))
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
    /// Returns what was seen last, however long ago. None if the repository was never seen from here.
    #[must_use]
    pub fn seen(&self) -> Option<SeenRepository> {
        self.read(FILE, SeenRepository::parse)
    }

    /// Returns what was seen last, if that was shortly enough before `now`.
    pub(crate) fn up_to_date(&self, now: Timestamp) -> Option<ClusterInfo> {
        self.seen()?.up_to_date(now).cloned()
    }

    /// Replaces what was `seen` before, unless it is the same and up to date. Returns what is recorded afterwards.
    pub(crate) fn record(
        &self,
        now: Timestamp,
        seen: Option<SeenRepository>,
        cluster: &ClusterInfo,
    ) -> SeenRepository {
        if let Some(seen) = seen.filter(|seen| seen.up_to_date(now) == Some(cluster)) {
            return seen;
        }
        // Neither of these fails: they are maps with strings as keys.
        let stored = serde_json::value::to_raw_value(cluster)
            .and_then(|cluster| serde_json::to_vec(&Stored { at: now, cluster }));
        if let Ok(stored) = stored {
            self.write(FILE, &stored);
        }
        let system_identifier = cluster.identity.system_identifier;
        SeenRepository { at: now, system_identifier, cluster: Some(cluster.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf, sync::Arc};

    use object_store::{ObjectStore, memory::InMemory};
    use swiftwal_compression::Format;
    use swiftwal_postgres::SegmentSize;

    use super::*;
    use crate::{
        local::clock::Clock,
        repository::{Repository, cluster::ClusterIdentity},
        storage::Storage,
    };

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

    fn record(state: &StateDir, minutes: i64) {
        state.record(at(minutes), state.seen(), &cluster());
    }

    fn file(state: &StateDir) -> PathBuf {
        state.path().join(FILE)
    }

    #[test]
    fn what_was_seen_is_up_to_date_for_a_while_and_not_before_it_was_seen() {
        let state = tempfile::tempdir().unwrap();
        let state = StateDir::new(state.path().join("a/b"));
        assert_eq!(state.up_to_date(at(100)), None);
        record(&state, 100);
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
        record(&state, 0);
        assert_eq!((state.seen().unwrap().at, state.seen().unwrap().system_identifier), (at(0), 7));
        record(&state, 9);
        assert_eq!(state.seen().unwrap().at, at(0));
        record(&state, 10);
        assert_eq!(state.seen().unwrap().date(), "1970-01-01 00:10 UTC");
    }

    #[test]
    fn a_damaged_file_is_as_good_as_none() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::new(directory.path());
        record(&state, 0);
        fs::write(file(&state), "{\"at\":").unwrap();
        assert_eq!(state.seen(), None);
        record(&state, 0);
        assert!(state.seen().is_some());
    }

    #[test]
    fn what_a_newer_version_saw_and_this_one_does_not_understand_is_not_relied_on_but_known() {
        let state = tempfile::tempdir().unwrap();
        let state = StateDir::new(state.path());
        record(&state, 0);
        let text = fs::read_to_string(file(&state)).unwrap();
        for demand in [r#""requires":["encryption"],"format":1"#, r#""format":2"#] {
            fs::write(file(&state), text.replacen(r#""format":1"#, demand, 1)).unwrap();
            assert_eq!(state.up_to_date(at(0)), None, "{demand}");
            assert_eq!(state.seen().unwrap().system_identifier, 7, "{demand}");
        }
        fs::write(file(&state), text.replacen(r#""format":1"#, r#""more":1,"format":1"#, 1)).unwrap();
        assert!(state.up_to_date(at(0)).is_some());
    }

    #[derive(Debug)]
    struct StoppedClock(Timestamp);

    impl Clock for StoppedClock {
        fn now(&self) -> Timestamp {
            self.0
        }
    }

    #[tokio::test]
    async fn archiving_reads_what_was_seen_once_whatever_the_age_of_that() {
        let directory = tempfile::tempdir().unwrap();
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        for (call, minutes) in [("first", 0), ("up to date", 9), ("too old", 10)] {
            let state = StateDir::new(directory.path());
            for storage in [
                Storage::new(Arc::clone(&store)).with_state_dir(state.clone()),
                Storage::new(Arc::clone(&store)).with_state_dir(state.clone()).with_identity_cache(),
            ] {
                let before = state.reads();
                let repository = Repository::new(storage, "here", Arc::new(StoppedClock(at(minutes))));
                repository
                    .ensure_cluster_unless_cached(Some(&cluster().identity), Format::Zstd)
                    .await
                    .unwrap();
                // The first one reads back what it wrote, as any other process might have written it.
                let most = if call == "first" { 2 } else { 1 };
                assert!((1..=most).contains(&(state.reads() - before)), "{call}");
            }
        }
    }
}
