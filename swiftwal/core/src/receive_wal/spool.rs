//! The spool: the local directory in which received WAL is durable until the repository has it.
//!
//! It contains complete WAL files under their own names, and segments that are being received as `<SEGMENT>.partial`. A
//! segment gets its own name only when all of it is on the disk. What an earlier process left there is used: complete files
//! are stored, and a segment that had begun is received again from its start, over the same bytes, so nothing that was
//! reported as written is lost meanwhile.
//!
//! One process at a time uses a spool. A killed process leaves no lock behind.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, FileExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use rustix::{fs::FlockOperation, io::Errno};
use swiftwal_postgres::{SegmentName, SegmentSize, Timeline, WalName};

use crate::{
    error::{Error, Refusal, Result},
    local::{blocking::blocking, content::Beginning, staged_file::StagedFile},
};

/// The file whose lock means that a process uses the spool.
const LOCK: &str = "lock";

/// The local directory with WAL that the repository doesn't have yet.
#[derive(Debug)]
pub(super) struct Spool {
    directory: PathBuf,
    _lock: File,
}

/// A segment that is being received.
#[derive(Debug)]
pub(super) struct BegunSegment {
    pub(super) name: SegmentName,
    path: PathBuf,
    file: Arc<File>,
    size: SegmentSize,
    /// How much of it was received and is on the disk.
    written: u64,
}

impl Spool {
    /// Opens the spool, and creates the directory if it is missing.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if another process uses it.
    pub(super) fn open(directory: &Path) -> Result<Self> {
        let failed = |action| Error::local(action, directory);
        create_durably(directory).map_err(failed("create"))?;
        let lock = File::options().write(true).create(true).truncate(false).open(directory.join(LOCK));
        let lock = lock.map_err(failed("write to"))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { directory: directory.to_owned(), _lock: lock }),
            Err(Errno::WOULDBLOCK) => {
                let what = format!("another receive-wal uses the spool {}", directory.display());
                Err(Refusal::overtaken(what, "stop it first, or give this one another --spool").into())
            }
            Err(error) => Err(failed("lock")(error.into())),
        }
    }

    pub(super) fn path_of(&self, name: WalName) -> PathBuf {
        self.directory.join(name.to_string())
    }

    /// Returns the complete files, in the order in which they must be stored: a history is before the segments of its
    /// timeline.
    pub(super) fn complete(&self) -> Result<Vec<WalName>> {
        self.names(|name| matches!(name, WalName::Segment(_) | WalName::History(_)).then_some(name))
    }

    /// Returns the segments that were begun, in order.
    pub(super) fn begun(&self) -> Result<Vec<SegmentName>> {
        self.names(|name| match name {
            WalName::Partial(segment) => Some(segment),
            _ => None,
        })
    }

    fn names<T: Ord>(&self, wanted: impl Fn(WalName) -> Option<T>) -> Result<Vec<T>> {
        let read = || -> io::Result<Vec<T>> {
            let mut names = Vec::new();
            for entry in fs::read_dir(&self.directory)? {
                let name = entry?.file_name();
                names.extend(name.to_str().and_then(|name| name.parse().ok()).and_then(&wanted));
            }
            Ok(names)
        };
        let mut names = read().map_err(Error::local("read", &self.directory))?;
        names.sort_unstable();
        Ok(names)
    }

    /// Returns how many bytes the complete segments take.
    pub(super) fn bytes(&self, size: SegmentSize) -> Result<u64> {
        let segments = self.names(|name| matches!(name, WalName::Segment(_)).then_some(name))?;
        Ok(size.bytes().saturating_mul(segments.len() as u64))
    }

    /// Writes the history of a timeline, durably.
    pub(super) fn put_history(&self, timeline: Timeline, content: &[u8]) -> Result<()> {
        let path = self.path_of(WalName::History(timeline));
        let put = || {
            let mut file = StagedFile::for_target(&path)?;
            file.write_all(content)?;
            file.publish_durably().map(drop)
        };
        put().map_err(Error::local("write", &path))
    }

    /// Begins a segment, over what an earlier process received of it.
    pub(super) fn begin(&self, name: SegmentName, size: SegmentSize) -> Result<BegunSegment> {
        let path = self.path_of(WalName::Partial(name));
        let open = || {
            let file = File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
            // Then writing needn't make a new size durable.
            file.set_len(size.bytes())?;
            sync_directory(&self.directory)?;
            Ok(file)
        };
        let file = open().map_err(Error::local("write", &path))?;
        Ok(BegunSegment { name, path, file: Arc::new(file), size, written: 0 })
    }

    /// Opens a segment that was begun. Its content ends with zeros where nothing was received.
    pub(super) fn open_begun(&self, name: SegmentName) -> Result<Beginning> {
        let path = self.path_of(WalName::Partial(name));
        let open = || {
            let file = File::open(&path)?;
            let bytes = file.metadata()?.len();
            Ok(Beginning { file: Arc::new(file), written: bytes, bytes })
        };
        open().map_err(Error::local("read", &path))
    }

    /// Gives a complete segment its name, durably.
    pub(super) async fn complete_segment(&self, segment: BegunSegment) -> Result<()> {
        let BegunSegment { name, path, file, .. } = segment;
        let (target, directory) = (self.path_of(WalName::Segment(name)), self.directory.clone());
        blocking(move || {
            let complete = || {
                file.sync_all()?;
                rustix::fs::rename(&path, &target)?;
                sync_directory(&directory)
            };
            complete().map_err(Error::local("write", &target))
        })
        .await
    }

    /// Removes a file that the repository has.
    pub(super) fn remove(&self, name: WalName) -> Result<()> {
        let path = self.path_of(name);
        fs::remove_file(&path).map_err(Error::local("remove", &path))
    }
}

impl BegunSegment {
    /// Appends `pieces`, which must fit. They are on the disk when it returns.
    pub(super) async fn append(&mut self, pieces: Vec<Bytes>) -> Result<()> {
        let (file, path, start) = (Arc::clone(&self.file), self.path.clone(), self.written);
        let end = blocking(move || {
            let write = || {
                let mut position = start;
                for piece in &pieces {
                    file.write_all_at(piece, position)?;
                    position += piece.len() as u64;
                }
                file.sync_data()?;
                Ok(position)
            };
            write().map_err(Error::local("write", path))
        });
        self.written = end.await?;
        Ok(())
    }

    /// Returns how many bytes are missing.
    pub(super) fn missing(&self) -> u64 {
        self.size.bytes().saturating_sub(self.written)
    }

    /// Returns what was received so far.
    pub(super) fn beginning(&self) -> Beginning {
        Beginning { file: Arc::clone(&self.file), written: self.written, bytes: self.size.bytes() }
    }
}

/// Creates a directory, and those that contain it, unless they exist.
fn create_durably(directory: &Path) -> io::Result<()> {
    let missing: Vec<_> = directory.ancestors().take_while(|path| !path.exists()).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let containing = missing.iter().filter_map(|path| path.parent());
    containing
        .map(|path| if path == Path::new("") { Path::new(".") } else { path })
        .try_for_each(sync_directory)
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(number: u32) -> SegmentName {
        format!("00000001{:08X}{number:08X}", 0).parse().unwrap()
    }

    #[tokio::test]
    async fn a_segment_gets_its_name_when_it_is_complete_and_is_received_again_over_the_same_bytes() {
        let directory = tempfile::tempdir().unwrap();
        let spool = Spool::open(&directory.path().join("spool")).unwrap();
        let size = SegmentSize::new(1 << 20).unwrap();
        let mut begun = spool.begin(segment(5), size).unwrap();
        begun.append(vec!["abc".into(), "def".into()]).await.unwrap();
        assert_eq!((spool.begun().unwrap(), spool.complete().unwrap()), (vec![segment(5)], vec![]));
        // The next process.
        drop(begun);
        let mut begun = spool.begin(segment(5), size).unwrap();
        begun.append(vec!["abc".into()]).await.unwrap();
        let left = fs::read(spool.path_of(WalName::Partial(segment(5)))).unwrap();
        assert_eq!(&left[..7], b"abcdef\0");
        let mut read = [1; 5];
        let content = crate::local::content::Content::Beginning(begun.beginning());
        assert_eq!(content.read_at(&mut read, 0).unwrap(), 3);
        assert_eq!(content.read_at(&mut read[3..], 3).unwrap(), 2);
        assert_eq!(&read, b"abc\0\0");
        let rest = vec![7; usize::try_from(begun.missing()).unwrap()];
        begun.append(vec![rest.into()]).await.unwrap();
        assert_eq!(begun.missing(), 0);
        spool.complete_segment(begun).await.unwrap();
        let complete = WalName::Segment(segment(5));
        assert_eq!((spool.begun().unwrap(), spool.complete().unwrap()), (vec![], vec![complete]));
        assert_eq!(fs::metadata(spool.path_of(complete)).unwrap().len(), size.bytes());
    }

    #[test]
    fn a_history_is_stored_before_the_segments_of_its_timeline_and_other_files_are_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let spool = Spool::open(directory.path()).unwrap();
        for name in ["000000020000000000000003", "000000010000000000000002", "notes", "x.partial"] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        spool.put_history(Timeline::new(2).unwrap(), b"1\t0/3000000\tnone\n").unwrap();
        let names: Vec<_> = spool.complete().unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["000000010000000000000002", "00000002.history", "000000020000000000000003"]);
    }

    #[test]
    fn a_second_process_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let spool = Spool::open(directory.path()).unwrap();
        let error = Spool::open(directory.path()).unwrap_err();
        assert!(error.to_string().contains("another receive-wal uses the spool"), "{error}");
        drop(spool);
        Spool::open(directory.path()).unwrap();
    }
}
