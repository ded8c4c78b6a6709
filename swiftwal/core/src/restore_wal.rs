//! restore-wal: get → decompress → check → rename into place.

use std::{io::Write, path::Path};

use bytes::Bytes;
use swiftwal_compression::{Format, decoder};
use swiftwal_postgres::{SegmentHeader, WalName};
use tokio::io::AsyncReadExt;

use crate::{Error, ObjectName, Repository, Result, local::StagedFile, segment_check::check_segment};

/// Writes the WAL file `name` to `path`, or into `path` where that is a directory. When it returns, the file
/// there is whole and checked; no other file stays beside it.
///
/// It isn't safe from a power failure: PostgreSQL itself takes care of that, or asks again.
///
/// # Errors
/// [`Error::WalAbsent`] only if the storage proved that it isn't there; a place that holds no repository at all
/// is [`Error::NoRepository`]. [`Error::Damaged`] where what is stored can't be what was archived.
pub async fn restore_wal(repository: &Repository, name: WalName, path: &Path) -> Result<()> {
    let (format, stored) = find(repository, name).await?;
    let target = if path.is_dir() { path.join(name.to_string()) } else { path.to_owned() };
    write(name, format, &stored, &target).await
}

/// The content of the object that holds `name`, and how it is compressed.
///
/// It asks for every compression there is, the likeliest first, and relies on no list of those in use: such a list
/// may be old, and a wrong "absent" makes PostgreSQL promote. For the same reason what is not there, and yet is
/// listed, is not absent.
pub(crate) async fn find(repository: &Repository, name: WalName) -> Result<(Format, Bytes)> {
    for format in Format::ALL {
        if let Some(stored) = repository.read(&ObjectName::Wal { name, format }).await? {
            return Ok((format, stored));
        }
    }
    let location = repository.location().to_owned();
    // SwiftWAL 0.2.2 left no cluster.json; but a place with nothing at all is no archive.
    if repository.cluster().await?.is_none() && repository.is_empty().await? {
        return Err(Error::NoRepository { location });
    }
    match repository.listed_wal(name).await? {
        Some(format) => listed(repository, name, format).await,
        None => Err(Error::WalAbsent { name, location }),
    }
}

/// The content of what wasn't there when it was asked for, and is listed: somebody has stored it meanwhile, or the
/// storage has lost it, or it was pruned and the listing lags. Swift puts aside what it finds damaged, and says then
/// that there is no such object.
async fn listed(repository: &Repository, name: WalName, format: Format) -> Result<(Format, Bytes)> {
    let object = ObjectName::Wal { name, format };
    let stored = repository.read(&object).await?;
    let hint = "if nobody has pruned it just now and a server's pg_wal still has the file, store it again by archive-wal";
    stored
        .map(|stored| (format, stored))
        .ok_or_else(|| Error::damaged(object, format!("the storage lists it and doesn't give it; {hint}")))
}

async fn write(name: WalName, format: Format, stored: &[u8], target: &Path) -> Result<()> {
    let object = ObjectName::Wal { name, format };
    let mut staged = StagedFile::for_target(target).map_err(Error::local("write", target))?;
    let mut content = decoder(format, stored);
    let mut buffer = vec![0; 256 << 10];
    let mut start = Vec::with_capacity(SegmentHeader::BYTES);
    let mut bytes = 0;
    loop {
        let read = content.read(&mut buffer).await.map_err(|error| Error::damaged(&object, error))?;
        if read == 0 {
            break;
        }
        let piece = &buffer[..read];
        start.extend(piece.iter().take(SegmentHeader::BYTES - start.len()));
        staged.write_all(piece).map_err(Error::local("write", target))?;
        bytes += read as u64;
    }
    if let WalName::Segment(segment) = name {
        check_segment(segment, &start, bytes, &object)?;
    }
    staged.publish().map_err(Error::local("write", target))
}
