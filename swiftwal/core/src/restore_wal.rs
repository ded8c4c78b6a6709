//! restore-wal: fetches, decompresses, checks and publishes a WAL file.
//!
//! While PostgreSQL replays a segment, a second process fetches the next ones into a spool: `prefetcher` is its work,
//! `window` decides what it fetches, and `prefetched` takes what it has fetched. `missing` decides whether PostgreSQL needs
//! what the repository lacks, and `followed` whether it may read what the repository has. `received` fetches the beginning
//! of a segment in place of the segment.

mod data_directory;
mod followed;
mod messages;
mod missing;
mod prefetched;
mod prefetcher;
mod received;
mod spool;
mod window;

use std::{
    io::{self, Write},
    mem,
    path::{Path, PathBuf},
};

use swiftwal_postgres::WalName;
use tokio::io::AsyncReadExt;

use self::{followed::ensure_followed, missing::as_postgresql_sees_it};
use crate::{
    error::{Error, Result},
    local::staged_file::StagedFile,
    repository::{Repository, segment_check::FetchedWal, wal::WalObject},
};

pub use self::{
    data_directory::DataDirectory,
    prefetched::Prefetcher,
    prefetcher::{PrefetchOptions, prefetch_wal},
    received::restore_received_wal,
    spool::Spool,
};

/// How much of the file is in memory at a time.
const PIECE_BYTES: usize = 256 << 10;

/// Writes the WAL file `name` to `path`, or into `path` if that is a directory. When it returns, the file there is
/// complete and verified, and no other file remains beside it. `observe_size` receives the stored size of each object
/// that may contain it, before it is read.
///
/// The file isn't safe from a power failure: PostgreSQL itself takes care of that, or asks again. The memory that it
/// needs doesn't depend on the size of the file.
///
/// # Errors
///
/// [`Error::WalAbsent`] only if the storage has proven that the file is missing, and either the stored WAL ends there or
/// the data directory of `path` doesn't need the file: it has the segment beside `path`, or begins on the timeline of the
/// history; [`Error::WalHole`] if the file is missing and later WAL is stored, on its timeline or on a later one that began
/// after it and whose history is beside `path`; [`Error::WalBehindBranch`] if a server in recovery is going to replay the
/// segment, and follows a timeline that branched off within it; [`Error::NoRepository`] if there is no repository at all;
/// [`Error::Damaged`] if the stored content can't be what was archived; [`Error::NewerFormat`] and
/// [`Error::NotUnderstood`] if the repository requires more than this program knows.
pub async fn restore_wal(
    repository: &Repository,
    name: WalName,
    path: &Path,
    observe_size: &(dyn Fn(u64) + Send + Sync),
) -> Result<()> {
    fetch(repository, name, path, StagedFile::for_target, observe_size).await.map(drop)
}

/// As [`restore_wal`]. Returns the BLAKE3 hash of the file's content, in lower-case hexadecimal.
///
/// # Errors
///
/// As [`restore_wal`].
pub async fn restore_wal_hashed(
    repository: &Repository,
    name: WalName,
    path: &Path,
    observe_size: &(dyn Fn(u64) + Send + Sync),
) -> Result<String> {
    let hash = fetch(repository, name, path, StagedFile::hashed_for_target, observe_size).await?;
    Ok(hash.map(|hash| hash.to_hex().to_string()).unwrap_or_default())
}

/// Fetches the file into a staged file that `stage` creates, and publishes that.
async fn fetch(
    repository: &Repository,
    name: WalName,
    path: &Path,
    stage: fn(&Path) -> io::Result<StagedFile>,
    observe_size: &(dyn Fn(u64) + Send + Sync),
) -> Result<Option<blake3::Hash>> {
    let target = target_of(name, path);
    let wal = match repository.wal(name, observe_size).await {
        Ok(wal) => wal,
        Err(error) => return Err(Box::pin(as_postgresql_sees_it(repository, &target, error)).await),
    };
    if let WalName::Segment(segment) = name {
        ensure_followed(repository, &target, segment).await?;
    }
    let local = || Error::local("write", &target);
    let mut staged = stage(&target).map_err(local())?;
    write(repository, name, wal, &target, &mut staged, |_| {}).await?;
    staged.publish().map_err(local())
}

/// Returns the file to write for `path`, which may be a directory.
fn target_of(name: WalName, path: &Path) -> PathBuf {
    if path.is_dir() { path.join(name.to_string()) } else { path.to_owned() }
}

/// Writes the content of `wal`, the file `name`, into `staged`, and checks it. `observe_bytes` receives the size of what
/// was written so far. `target` is the name of the file in an error.
async fn write(
    repository: &Repository,
    name: WalName,
    wal: WalObject,
    target: &Path,
    staged: &mut StagedFile,
    observe_bytes: impl Fn(u64) + Send,
) -> Result<FetchedWal> {
    let object = wal.name.clone();
    let mut content = wal.content();
    let (mut buffer, mut written) = (vec![0; PIECE_BYTES], FetchedWal::new(name));
    // A segment that was switched early ends with many zeros.
    let mut zeros = 0;
    loop {
        let read = content.read(&mut buffer).await.map_err(|error| repository.unreadable(&object, error))?;
        if read == 0 {
            break;
        }
        written.add(&buffer[..read]).map_err(|reason| Error::damaged(&object, reason))?;
        if is_zero(&buffer[..read]) {
            zeros += read as u64;
        } else {
            let piece =
                staged.append_zeros(mem::take(&mut zeros)).and_then(|()| staged.write_all(&buffer[..read]));
            piece.map_err(Error::local("write", target))?;
        }
        observe_bytes(written.bytes);
    }
    staged.append_zeros(zeros).map_err(Error::local("write", target))?;
    written.check(&object)?;
    Ok(written)
}

/// Whether all bytes are zero. A comparison of slices is much faster than one of bytes.
fn is_zero(bytes: &[u8]) -> bool {
    bytes.first().is_none_or(|first| *first == 0 && bytes[1..] == bytes[..bytes.len() - 1])
}
