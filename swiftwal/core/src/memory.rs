//! What this machine remembers of a repository, so that the next process needn't ask for it.

use std::{
    fs::{self, DirBuilder},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use jiff::{SignedDuration, Timestamp};
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{ClusterInfo, ObjectName, local::StagedFile};

/// How long what was seen is believed. Who gives a container to another cluster is noticed after so long at the
/// latest.
const BELIEVED: SignedDuration = SignedDuration::from_mins(10);

/// A repository's `cluster.json` as this machine saw it last, in a directory that is this user's alone.
///
/// It is a convenience: whatever goes wrong with it costs a request and a line in the log.
#[derive(Debug)]
pub(crate) struct Memory<'a> {
    directory: &'a Path,
}

#[derive(Serialize, Deserialize)]
struct Seen {
    at: Timestamp,
    cluster: Box<RawValue>,
}

impl<'a> Memory<'a> {
    pub(crate) fn new(directory: &'a Path) -> Self {
        Self { directory }
    }

    /// What was seen a moment before `now`, if anything was.
    pub(crate) fn recall(&self, now: Timestamp) -> Option<ClusterInfo> {
        let text = self.guarded().and_then(|()| fs::read(self.file()));
        let text = match text {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => return self.complain("read", &error),
        };
        let seen: Seen = serde_json::from_slice(&text).ok()?;
        let age = now.duration_since(seen.at);
        let believed = (SignedDuration::ZERO..BELIEVED).contains(&age);
        // A newer version may have written what this one doesn't understand.
        let cluster = ClusterInfo::from_bytes(&ObjectName::Cluster, seen.cluster.get().as_bytes());
        cluster.ok().filter(|_| believed)
    }

    /// Replaces what was seen before.
    pub(crate) fn remember(&self, now: Timestamp, cluster: &ClusterInfo) {
        let cluster = serde_json::value::to_raw_value(cluster).map_err(io::Error::from);
        if let Err(error) = cluster.and_then(|cluster| self.write(&Seen { at: now, cluster })) {
            self.complain::<()>("write", &error);
        }
    }

    fn write(&self, seen: &Seen) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(self.directory)?;
        self.guarded()?;
        let mut file = StagedFile::for_target(&self.file())?;
        file.write_all(&serde_json::to_vec(seen)?)?;
        file.publish()
    }

    /// Fails unless nobody else can write here: another could pass off his cluster's repository as ours.
    fn guarded(&self) -> io::Result<()> {
        let directory = fs::metadata(self.directory)?;
        if directory.uid() == geteuid().as_raw() && directory.mode() & 0o022 == 0 {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the directory must belong to this user, and nobody else may write there (chmod 0700)",
        ))
    }

    fn file(&self) -> PathBuf {
        self.directory.join("cluster.json")
    }

    fn complain<T>(&self, verb: &str, error: &io::Error) -> Option<T> {
        tracing::warn!(directory = %self.directory.display(), %error, "can't {verb} what is known of the repository");
        None
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use swiftwal_compression::Format;
    use swiftwal_postgres::SegmentSize;

    use super::*;
    use crate::ClusterIdentity;

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

    #[test]
    fn what_was_seen_is_believed_for_a_while_and_not_before_it_was_seen() {
        let state = tempfile::tempdir().unwrap();
        let directory = state.path().join("a/b");
        let memory = Memory::new(&directory);
        assert_eq!(memory.recall(at(100)), None);
        memory.remember(at(100), &cluster());
        assert_eq!(memory.recall(at(100)), Some(cluster()));
        assert_eq!(memory.recall(at(109)), Some(cluster()));
        assert_eq!(memory.recall(at(110)), None);
        assert_eq!(memory.recall(at(99)), None);
    }

    #[test]
    fn it_is_for_this_user_alone() {
        let state = tempfile::tempdir().unwrap();
        let directory = state.path().join("memory");
        let memory = Memory::new(&directory);
        memory.remember(at(0), &cluster());
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&directory), mode(&memory.file())), (0o700, 0o600));
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o770)).unwrap();
        assert_eq!(memory.recall(at(0)), None);
    }

    #[test]
    fn what_a_newer_version_saw_and_this_one_does_not_understand_is_not_believed() {
        let state = tempfile::tempdir().unwrap();
        let memory = Memory::new(state.path());
        memory.remember(at(0), &cluster());
        let text = fs::read_to_string(memory.file()).unwrap();
        for demand in [r#""requires":["encryption"],"format":1"#, r#""format":2"#] {
            fs::write(memory.file(), text.replacen(r#""format":1"#, demand, 1)).unwrap();
            assert_eq!(memory.recall(at(0)), None, "{demand}");
        }
        fs::write(memory.file(), text.replacen(r#""format":1"#, r#""more":1,"format":1"#, 1)).unwrap();
        assert!(memory.recall(at(0)).is_some());
    }

    #[test]
    fn a_damaged_file_is_as_good_as_none() {
        let state = tempfile::tempdir().unwrap();
        let memory = Memory::new(state.path());
        memory.remember(at(0), &cluster());
        fs::write(memory.file(), "{\"at\":").unwrap();
        assert_eq!(memory.recall(at(0)), None);
    }
}
