//! The state directory of a repository: what this machine saw of it, for the next process.
//!
//! Two things stand on it. A storage whose requests take their time spares `archive-wal` the reading of
//! `cluster.json` for ten minutes. And a repository that was there before and is gone now, since its disk isn't
//! mounted, is told from one that never was: only the latter may be created without being asked for.
//!
//! It may be deleted at any time. Whatever goes wrong with it costs a warning and what it is good for.

use std::{
    fs::{self, DirBuilder},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use jiff::{SignedDuration, Timestamp};
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    local::{StagedFile, regular_file::read_regular_file},
    repository::{cluster::ClusterInfo, layout::ObjectName},
};

/// How long what was seen counts as up to date. A container that is given to another cluster is noticed after so long
/// at the latest.
const UP_TO_DATE: SignedDuration = SignedDuration::from_mins(10);

/// The file has a few hundred bytes.
const MOST_BYTES: u64 = 64 << 10;

/// The directory in which this machine keeps what it knows of one repository. Only its owner can read or write there.
#[derive(Clone, Debug)]
pub struct StateDir {
    directory: Arc<Path>,
    /// Whether a warning was given: one for each process is enough.
    warned: Arc<AtomicBool>,
}

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
    /// The directory below `state`, a user's directory for this program, that belongs to `place` and to no other. Its
    /// name doesn't disclose the place.
    #[must_use]
    pub fn of_place(state: &Path, place: &str) -> Self {
        Self::new(state.join(blake3::hash(place.as_bytes()).to_hex().as_str()))
    }

    /// The directory at this path, which needn't exist.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into().into(), warned: Arc::default() }
    }

    /// The path of the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// What was seen last, however long ago; nothing if the repository was never seen from here.
    #[must_use]
    pub fn seen(&self) -> Option<SeenRepository> {
        let parsed = self
            .guarded()
            .and_then(|()| read_regular_file(&self.file(), MOST_BYTES))
            .and_then(|text| SeenRepository::parse(&text));
        match parsed {
            Ok(seen) => Some(seen),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                self.warn("read", &error);
                None
            }
        }
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
        let cluster = serde_json::value::to_raw_value(cluster).map_err(io::Error::from);
        if let Err(error) = cluster.and_then(|cluster| self.write(&Stored { at: now, cluster })) {
            self.warn("write", &error);
        }
    }

    fn write(&self, seen: &Stored) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        self.guarded()?;
        let mut file = StagedFile::for_target(&self.file())?;
        file.write_all(&serde_json::to_vec(seen)?)?;
        // A disk that isn't mounted often follows a loss of power.
        file.publish_durably()
    }

    /// Fails unless this user alone can write here: another could pass off another cluster's repository as ours.
    fn guarded(&self) -> io::Result<()> {
        let directory = fs::metadata(&self.directory)?;
        if directory.uid() == geteuid().as_raw() && directory.mode() & 0o022 == 0 {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the directory must belong to this user, and no other user may write there (chmod 0700)",
        ))
    }

    fn file(&self) -> PathBuf {
        self.directory.join("cluster.json")
    }

    fn warn(&self, verb: &str, error: &io::Error) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                directory = %self.directory.display(), %error,
                "can't {verb} the state directory, so a repository that vanishes from here can't be told from a new one"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rustix::fs::{CWD, FileType, Mode, mknodat};
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
    fn it_is_for_this_user_alone() {
        let state = tempfile::tempdir().unwrap();
        let state = StateDir::new(state.path().join("state"));
        state.remember(at(0), &cluster());
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(state.path()), mode(&state.file())), (0o700, 0o600));
        fs::set_permissions(state.path(), fs::Permissions::from_mode(0o770)).unwrap();
        assert_eq!(state.seen(), None);
    }

    #[test]
    fn a_damaged_file_or_a_fifo_is_as_good_as_none() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::new(directory.path());
        state.remember(at(0), &cluster());
        fs::write(state.file(), "{\"at\":").unwrap();
        assert_eq!(state.seen(), None);
        fs::remove_file(state.file()).unwrap();
        mknodat(CWD, state.file(), FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert_eq!(state.seen(), None);
        state.remember(at(0), &cluster());
        assert!(state.seen().is_some());
    }

    #[test]
    fn what_a_newer_version_saw_and_this_one_does_not_understand_is_not_relied_on_but_known() {
        let state = tempfile::tempdir().unwrap();
        let state = StateDir::new(state.path());
        state.remember(at(0), &cluster());
        let text = fs::read_to_string(state.file()).unwrap();
        for demand in [r#""requires":["encryption"],"format":1"#, r#""format":2"#] {
            fs::write(state.file(), text.replacen(r#""format":1"#, demand, 1)).unwrap();
            assert_eq!(state.up_to_date(at(0)), None, "{demand}");
            assert_eq!(state.seen().unwrap().system_identifier, 7, "{demand}");
        }
        fs::write(state.file(), text.replacen(r#""format":1"#, r#""more":1,"format":1"#, 1)).unwrap();
        assert!(state.up_to_date(at(0)).is_some());
    }

    #[test]
    fn each_place_has_a_directory_of_its_own() {
        let of = |place: &str| StateDir::of_place(Path::new("state"), place).path().to_owned();
        assert_eq!(of("file file:///a").parent(), Some(Path::new("state")));
        assert_ne!(of("file file:///a"), of("file file:///b"));
    }
}
