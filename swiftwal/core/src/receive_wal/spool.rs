//! The spool: the local directory in which received WAL is durable until the repository has it.
//!
//! It contains complete segments under their own names, and segments that are being received as `<SEGMENT>.partial`. A
//! segment gets its own name only when all of it is on the disk. What an earlier process left there is used: complete
//! segments are stored, and a segment that had begun is received again from its start, over the same bytes, so nothing that
//! was reported as written is lost meanwhile. What is sent again must be the same. A complete segment that was damaged is
//! renamed to `<SEGMENT>.damaged`, and counts as missing.
//!
//! One process at a time uses a spool. A killed process leaves no lock behind. Only this user may write there.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, FileExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use rustix::{fs::FlockOperation, io::Errno};
use swiftwal_postgres::{Lsn, SegmentName, SegmentSize, WalName, is_complete_segment};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::{
    error::{Error, Refusal, Result},
    local::{
        blocking::blocking,
        content::{Beginning, Fingerprint},
        private_directory::ensure_private,
        staged_file::StagedFile,
    },
    repository::{wal_file::WalFile, wal_received::ContentLength},
};

/// The file whose lock means that a process uses the spool.
const LOCK: &str = "lock";
/// The end of the name of a damaged segment.
const DAMAGED: &str = ".damaged";
/// How much is read at once.
const PIECE_BYTES: usize = 256 << 10;

/// The local directory with WAL that the repository doesn't have yet.
#[derive(Debug)]
pub(super) struct Spool {
    directory: PathBuf,
    lock: Arc<File>,
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
    /// What was received of it before.
    earlier: Option<Beginning>,
}

impl Spool {
    /// Opens the spool, and creates the directory if it is missing.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if another process uses it; [`Error::Local`] if another user may write there.
    pub(super) fn open(directory: &Path) -> Result<Self> {
        let failed = |action| Error::local(action, directory);
        create_durably(directory).map_err(failed("create"))?;
        ensure_private(directory).map_err(failed("use"))?;
        let lock = File::options().write(true).create(true).truncate(false).open(directory.join(LOCK));
        let lock = lock.map_err(failed("write to"))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { directory: directory.to_owned(), lock: Arc::new(lock) }),
            Err(Errno::WOULDBLOCK) => {
                let what = format!("another receive-wal uses the spool {}", directory.display());
                Err(Refusal::overtaken(
                    what,
                    "stop it first; if it receives for another repository, give this one another --spool",
                )
                .into())
            }
            Err(error) => Err(failed("lock")(error.into())),
        }
    }

    pub(super) fn path_of(&self, name: WalName) -> PathBuf {
        self.directory.join(name.to_string())
    }

    /// Returns when the disk of the spool has answered.
    pub(super) async fn wait_for_disk(&self) -> Result<()> {
        let (lock, path) = (Arc::clone(&self.lock), self.directory.join(LOCK));
        blocking(move || {
            // Without a change there would be nothing to write.
            let write = || lock.write_all_at(b"\n", 0).and_then(|()| lock.sync_all());
            write().map_err(Error::local("write to", path))
        })
        .await
    }

    /// Puts the segments aside that were damaged while no process used the spool, and returns their names.
    pub(super) async fn put_damaged_aside(&self) -> Result<Vec<WalName>> {
        let mut damaged = Vec::new();
        let complete = self.complete().await?.into_iter().map(WalName::Segment);
        for name in complete.chain(self.begun().await?.into_iter().map(WalName::Partial)) {
            let (path, directory) = (self.path_of(name), self.directory.clone());
            let is_damaged = blocking(move || {
                let Some(reason) = damage(name, &path)? else { return Ok(false) };
                let aside = directory.join(format!("{name}{DAMAGED}"));
                let put_aside = || {
                    rustix::fs::rename(&path, &aside)?;
                    sync_directory(&directory)
                };
                put_aside().map_err(Error::local("rename", &path))?;
                tracing::warn!(
                    "{name} in the spool is damaged and isn't stored: {reason}. It is kept as {}",
                    aside.display()
                );
                Ok(true)
            });
            if is_damaged.await? {
                damaged.push(name);
            }
        }
        Ok(damaged)
    }

    /// Returns the complete segments, in order.
    pub(super) async fn complete(&self) -> Result<Vec<SegmentName>> {
        self.names(|name| match name {
            WalName::Segment(segment) => Some(segment),
            _ => None,
        })
        .await
    }

    /// Returns the segments that were begun, in order.
    pub(super) async fn begun(&self) -> Result<Vec<SegmentName>> {
        self.names(|name| match name {
            WalName::Partial(segment) => Some(segment),
            _ => None,
        })
        .await
    }

    async fn names(&self, wanted: fn(WalName) -> Option<SegmentName>) -> Result<Vec<SegmentName>> {
        let directory = self.directory.clone();
        blocking(move || {
            let read = || -> io::Result<Vec<SegmentName>> {
                let mut names = Vec::new();
                for entry in fs::read_dir(&directory)? {
                    let name = entry?.file_name();
                    names.extend(name.to_str().and_then(|name| name.parse().ok()).and_then(wanted));
                }
                Ok(names)
            };
            let mut names = read().map_err(Error::local("read", &directory))?;
            names.sort_unstable();
            Ok(names)
        })
        .await
    }

    /// Returns how many bytes the complete segments take.
    pub(super) async fn bytes(&self, size: SegmentSize) -> Result<u64> {
        Ok(size.bytes().saturating_mul(self.complete().await?.len() as u64))
    }

    /// Begins a segment, over what an earlier stream received of it, with which it is compared. If there is more of the segment
    /// `parent`, in which its timeline branched off, it is compared with that, as far as its bytes belong to this timeline.
    pub(super) async fn begin(
        &self,
        name: SegmentName,
        size: SegmentSize,
        parent: Option<(SegmentName, u64)>,
    ) -> Result<BegunSegment> {
        let (path, directory) = (self.path_of(WalName::Partial(name)), self.directory.clone());
        let parent = parent.map(|(parent, bytes)| (self.path_of(WalName::Partial(parent)), bytes));
        blocking(move || {
            let open = || {
                let file = File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
                let file = Arc::new(file);
                let mut earlier = beginning_of(Arc::clone(&file))?;
                if let Some((parent, bytes)) = parent
                    && parent.try_exists()?
                {
                    let mut before = beginning_of(Arc::new(File::open(parent)?))?;
                    before.written = before.written.min(bytes);
                    earlier = if before.written > earlier.written { before } else { earlier };
                }
                // Then writing needn't make a new size durable.
                file.set_len(size.bytes())?;
                sync_directory(&directory)?;
                Ok((file, Some(earlier).filter(|earlier| earlier.written > 0)))
            };
            let (file, earlier) = open().map_err(Error::local("write", &path))?;
            Ok(BegunSegment { name, path, file, size, written: 0, earlier })
        })
        .await
    }

    /// Puts the beginning of a segment into the spool, as it was stored. Damaged content is left out, with a warning. `failed`
    /// returns the error for one of reading it.
    pub(super) async fn put_begun(
        &self,
        name: SegmentName,
        content: &mut (impl AsyncRead + Unpin),
        failed: impl Fn(io::Error) -> Error,
    ) -> Result<()> {
        let path = self.path_of(WalName::Partial(name));
        let file = blocking({
            let path = path.clone();
            move || StagedFile::for_target(&path).map_err(Error::local("write", path))
        });
        let mut file = file.await?;
        loop {
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            match content.take(PIECE_BYTES as u64).read_to_end(&mut piece).await.map_err(&failed) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error @ Error::Damaged { .. }) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the stored beginning of {name} is replaced"
                    );
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
            let path = path.clone();
            file = blocking(move || {
                file.write_all(&piece).map_err(Error::local("write", path))?;
                Ok(file)
            })
            .await?;
        }
        blocking(move || file.publish_durably().map(drop).map_err(Error::local("write", path))).await
    }

    /// Opens a segment that was begun: its content is what was received, with zeros up to its size.
    pub(super) async fn open_begun(&self, name: SegmentName) -> Result<Beginning> {
        let path = self.path_of(WalName::Partial(name));
        blocking(move || {
            let open = || beginning_of(Arc::new(File::open(&path)?));
            open().map_err(Error::local("read", &path))
        })
        .await
    }

    /// Returns the state of a segment that was begun, without reading it. None if there is none.
    pub(super) async fn fingerprint(&self, name: SegmentName) -> Result<Option<Fingerprint>> {
        let path = self.path_of(WalName::Partial(name));
        blocking(move || match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            found => found.map(|found| Some(Fingerprint::of(&found))).map_err(Error::local("read", &path)),
        })
        .await
    }

    /// Opens a complete segment to store it.
    pub(super) async fn open_complete(&self, name: SegmentName) -> Result<WalFile> {
        let path = self.path_of(WalName::Segment(name));
        blocking(move || WalFile::open(&path)).await
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
    pub(super) async fn remove(&self, name: WalName) -> Result<()> {
        let path = self.path_of(name);
        blocking(move || fs::remove_file(&path).map_err(Error::local("remove", &path))).await
    }
}

impl BegunSegment {
    /// Appends `pieces`, which must fit. They are on the disk when it returns.
    ///
    /// # Errors
    ///
    /// [`Refusal::AnotherWal`] if they differ from what was received before. Nothing was written then.
    pub(super) async fn append(&mut self, pieces: Vec<Bytes>) -> Result<()> {
        let (file, path, start) = (Arc::clone(&self.file), self.path.clone(), self.written);
        let (earlier, segment, size) = (self.earlier.clone(), self.name, self.size);
        let end = blocking(move || {
            let failed = Error::local("write", &path);
            if let Some(earlier) = earlier {
                let difference = difference(&earlier, &pieces, start).map_err(Error::local("read", &path))?;
                if let Some(offset) = difference {
                    let at = segment.start(size).map_or(Lsn(0), |begin| Lsn(begin.0 + offset));
                    return Err(Refusal::AnotherWal { segment, at }.into());
                }
            }
            let write = || {
                let mut position = start;
                for piece in &pieces {
                    file.write_all_at(piece, position)?;
                    position += piece.len() as u64;
                }
                file.sync_data()?;
                Ok(position)
            };
            write().map_err(failed)
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

/// Returns what is wrong with a segment, or with the beginning of one. None if nothing is.
fn damage(name: WalName, path: &Path) -> Result<Option<String>> {
    if let WalName::Partial(segment) = name {
        let beginning = File::open(path).and_then(|file| beginning_of(Arc::new(file)));
        let beginning = beginning.map_err(Error::local("read", path))?;
        return match WalFile::beginning(segment, path, beginning) {
            Err(Error::Damaged { reason, .. }) => Ok(Some(reason)),
            checked => checked.map(|_| None),
        };
    }
    match WalFile::open(path) {
        Err(Error::Damaged { reason, .. }) => return Ok(Some(reason)),
        opened => drop(opened?),
    }
    let is_complete = || is_complete_segment(io::BufReader::new(File::open(path)?));
    let is_complete = is_complete().map_err(Error::local("read", path))?;
    Ok((!is_complete).then(|| "a page isn't the one of its position".to_owned()))
}

/// Returns the content of a file without the zeros at its end.
fn beginning_of(file: Arc<File>) -> io::Result<Beginning> {
    let bytes = file.metadata()?.len();
    let mut beginning = Beginning { file, written: bytes, bytes };
    let (mut piece, mut length) = (vec![0; PIECE_BYTES], ContentLength::default());
    loop {
        match beginning.read_at(&mut piece, length.read)? {
            0 => break,
            read => length.add(&piece[..read]),
        }
    }
    beginning.written = length.without_zeros;
    Ok(beginning)
}

/// Returns where the pieces, which begin at `start`, differ from the earlier content. Zeros there differ from nothing: a
/// crash of the machine may have left out what wasn't reported.
fn difference(earlier: &Beginning, pieces: &[Bytes], start: u64) -> io::Result<Option<u64>> {
    let mut position = start;
    let mut before = Vec::new();
    for piece in pieces {
        let mut rest = &piece[..];
        while !rest.is_empty() && position < earlier.written {
            before.resize(rest.len(), 0);
            let read = earlier.read_at(&mut before, position)?;
            let mut pairs = before[..read].iter().zip(rest);
            if let Some(at) = pairs.position(|(before, now)| before != now && *before != 0) {
                return Ok(Some(position + at as u64));
            }
            position += read as u64;
            rest = &rest[read..];
        }
    }
    Ok(None)
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

/// Creates a directory for a spool.
#[cfg(test)]
pub(super) fn private_directory() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o700)).tempdir().unwrap()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use swiftwal_postgres::Timeline;

    use super::*;
    use crate::repository::segment_check::synthetic_segment;

    const SEGMENT_BYTES: u64 = 1 << 20;

    fn size() -> SegmentSize {
        SegmentSize::new(SEGMENT_BYTES).unwrap()
    }

    fn segment(number: u32) -> SegmentName {
        format!("00000001{:08X}{number:08X}", 0).parse().unwrap()
    }

    fn spool(directory: &tempfile::TempDir) -> Spool {
        Spool::open(directory.path()).unwrap()
    }

    async fn begun(spool: &Spool, number: u32, content: &'static str) -> BegunSegment {
        let mut begun = spool.begin(segment(number), size(), None).await.unwrap();
        begun.append(vec![content.into()]).await.unwrap();
        begun
    }

    #[tokio::test]
    async fn a_segment_gets_its_name_when_it_is_complete_and_is_received_again_over_the_same_bytes() {
        let directory = private_directory();
        let spool = Spool::open(&directory.path().join("spool")).unwrap();
        let mut first = spool.begin(segment(5), size(), None).await.unwrap();
        first.append(vec!["abc".into(), "def".into()]).await.unwrap();
        let in_spool = async || (spool.begun().await.unwrap(), spool.complete().await.unwrap());
        assert_eq!(in_spool().await, (vec![segment(5)], vec![]));
        // The next process.
        drop(first);
        let mut begun = begun(&spool, 5, "abc").await;
        let left = fs::read(spool.path_of(WalName::Partial(segment(5)))).unwrap();
        assert_eq!(&left[..7], b"abcdef\0");
        let mut read = [1; 5];
        let content = crate::local::content::Content::Beginning(begun.beginning());
        assert_eq!(content.read_at(&mut read, 0).unwrap(), 3);
        assert_eq!(content.read_at(&mut read[3..], 3).unwrap(), 2);
        assert_eq!(&read, b"abc\0\0");
        let mut rest = b"def".to_vec();
        rest.resize(usize::try_from(begun.missing()).unwrap(), 7);
        begun.append(vec![rest.into()]).await.unwrap();
        assert_eq!(begun.missing(), 0);
        spool.complete_segment(begun).await.unwrap();
        assert_eq!(in_spool().await, (vec![], vec![segment(5)]));
        let complete = WalName::Segment(segment(5));
        assert_eq!(fs::metadata(spool.path_of(complete)).unwrap().len(), SEGMENT_BYTES);
    }

    #[tokio::test]
    async fn what_is_received_again_must_be_the_same_except_what_a_crash_left_out() {
        let directory = private_directory();
        let spool = spool(&directory);
        begun(&spool, 5, "abc\0\0fgh").await;
        let begin = || spool.begin(segment(5), size(), None);
        let mut same = begin().await.unwrap();
        same.append(vec!["abcde".into()]).await.unwrap();
        same.append(vec!["fg".into(), "hij".into()]).await.unwrap();
        for (pieces, at) in [(vec!["abX"], 2), (vec!["ab", "cde", "fghX"], 8), (vec!["abcdefghijk"], 11)] {
            let pieces = pieces.into_iter().map(Bytes::from).collect();
            let appended = begin().await.unwrap().append(pieces).await;
            match appended {
                Err(Error::Refused(Refusal::AnotherWal { at: found, .. })) => {
                    assert_eq!(found, Lsn(5 * SEGMENT_BYTES + at));
                }
                other => assert!(other.is_ok() && at == 11, "{other:?}"),
            }
        }
        let left = fs::read(spool.path_of(WalName::Partial(segment(5)))).unwrap();
        assert_eq!(&left[..12], b"abcdefghijk\0");
    }

    #[tokio::test]
    async fn a_branch_begins_with_the_bytes_of_the_older_timeline() {
        let directory = private_directory();
        let spool = spool(&directory);
        begun(&spool, 5, "abcdef").await;
        let branch = segment(5).on_timeline(Timeline::new(2).unwrap());
        let begin = |bytes| spool.begin(branch, size(), Some((segment(5), bytes)));
        begin(3).await.unwrap().append(vec!["abcXYZ".into()]).await.unwrap();
        fs::remove_file(spool.path_of(WalName::Partial(branch))).unwrap();
        let error = begin(4).await.unwrap().append(vec!["abcXYZ".into()]).await.unwrap_err();
        assert!(matches!(error, Error::Refused(Refusal::AnotherWal { segment, .. }) if segment == branch));
    }

    #[tokio::test]
    async fn a_damaged_segment_is_put_aside_and_counts_as_missing() {
        let directory = private_directory();
        let spool = spool(&directory);
        let put = |number: u32, content: &[u8]| {
            fs::write(spool.path_of(WalName::Segment(segment(number))), content).unwrap();
        };
        let whole = valid_segment(5);
        put(5, &whole);
        put(6, &[0; SEGMENT_BYTES as usize]);
        put(7, &valid_segment(7)[..5000]);
        let mut torn = valid_segment(8);
        torn[500_000..510_000].fill(0);
        put(8, &torn);
        // Of what was begun, nothing is on the disk; or the first page is damaged.
        let begun = |number: u32| spool.path_of(WalName::Partial(segment(number)));
        fs::write(begun(9), vec![0; SEGMENT_BYTES as usize]).unwrap();
        let mut beginning = valid_segment(10)[..20_000].to_vec();
        beginning[9] ^= 1;
        beginning.resize(SEGMENT_BYTES as usize, 0);
        fs::write(begun(10), beginning).unwrap();
        let mut damaged: Vec<_> = [6, 7, 8].map(segment).map(WalName::Segment).into();
        damaged.push(WalName::Partial(segment(10)));
        assert_eq!(spool.put_damaged_aside().await.unwrap(), damaged);
        assert_eq!(spool.complete().await.unwrap(), [segment(5)]);
        assert_eq!(spool.begun().await.unwrap(), [segment(9)]);
        for name in damaged {
            assert!(directory.path().join(format!("{name}.damaged")).exists());
        }
        assert_eq!(spool.put_damaged_aside().await.unwrap(), []);
    }

    /// Returns a segment in which every page has its header.
    fn valid_segment(number: u32) -> Vec<u8> {
        let mut segment = synthetic_segment(number, SEGMENT_BYTES as u32);
        for page in (8192..segment.len()).step_by(8192) {
            segment.copy_within(..8, page);
            segment[page + 2] = 0;
            let address = u64::from(number) * SEGMENT_BYTES + page as u64;
            segment[page + 8..page + 16].copy_from_slice(&address.to_ne_bytes());
        }
        segment
    }

    #[tokio::test]
    async fn other_files_are_left_alone() {
        let directory = private_directory();
        let spool = spool(&directory);
        for name in ["000000020000000000000003", "000000010000000000000002", "notes", "x.partial"] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        let names: Vec<_> = spool.complete().await.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["000000010000000000000002", "000000020000000000000003"]);
    }

    #[test]
    fn a_second_process_is_refused() {
        let directory = private_directory();
        let spool = Spool::open(directory.path()).unwrap();
        let error = Spool::open(directory.path()).unwrap_err();
        assert!(error.to_string().contains("another receive-wal uses the spool"), "{error}");
        drop(spool);
        Spool::open(directory.path()).unwrap();
    }

    /// Whoever may write there could make others' WAL look like the server's.
    #[test]
    fn a_spool_that_another_user_may_write_to_is_refused() {
        let directory = private_directory();
        for (mode, is_private) in [(0o770, false), (0o702, false), (0o755, true)] {
            fs::set_permissions(directory.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(Spool::open(directory.path()).is_ok(), is_private, "{mode:o}");
        }
    }
}
