//! restore-wal: get → decompress → check → rename into place.

use std::{io::Write, path::Path};

use swiftwal_compression::{Format, decoder};
use swiftwal_postgres::{SegmentHeader, WalName};
use tokio::{io::AsyncReadExt, time::timeout};

use crate::{
    error::{Error, Result},
    local::StagedFile,
    repository::{
        Repository,
        layout::ObjectName,
        segment_check::{check_segment, most_bytes},
        wal_object::{PATIENCE, find},
    },
};

/// Writes the WAL file `name` to `path`, or into `path` where that is a directory. When it returns, the file
/// there is complete and verified; no other file stays beside it. `observe_size` receives the stored size of each object
/// that may contain it, before it is read.
///
/// It isn't safe from a power failure: PostgreSQL itself takes care of that, or asks again.
///
/// # Errors
/// [`Error::WalAbsent`] only if the storage proved that it isn't there; a place that holds no repository at all
/// is [`Error::NoRepository`]. [`Error::Damaged`] where what is stored can't be what was archived;
/// [`Error::NewerFormat`] and [`Error::NotUnderstood`] where the repository demands more than this program knows.
pub async fn restore_wal(
    repository: &Repository,
    name: WalName,
    path: &Path,
    observe_size: &(dyn Fn(u64) + Send + Sync),
) -> Result<()> {
    // What is there goes through though cluster.json can't be read: so that is waited for only a moment.
    let understood = timeout(PATIENCE, repository.refuse_unknown_unless_seen());
    let (understood, found) = tokio::join!(understood, find(repository, name, observe_size));
    understood.unwrap_or(Ok(()))?;
    let (format, stored) = found?;
    let target = if path.is_dir() { path.join(name.to_string()) } else { path.to_owned() };
    write(name, format, &stored, &target).await
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
        bytes += read as u64;
        let most = most_bytes(name, &start);
        if bytes > most {
            let reason =
                format!("it decompresses to more than {most} bytes, the most that such a file can have");
            return Err(Error::damaged(object, reason));
        }
        staged.write_all(piece).map_err(Error::local("write", target))?;
    }
    if let WalName::Segment(segment) = name {
        check_segment(segment, &start, bytes, &object)?;
    }
    staged.publish().map_err(Error::local("write", target))
}
