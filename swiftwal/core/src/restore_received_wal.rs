//! restore-wal --use-partial: fetches the beginning of a segment that receive-wal was receiving, as the last WAL.
//!
//! Recovery takes it for a complete segment whose rest was never written. That is right only at the end of the WAL, so it is
//! refused if anything newer is stored.

use std::{io::Write, path::Path};

use swiftwal_postgres::{SegmentHeader, SegmentName, WalName};
use tokio::io::AsyncReadExt;

use crate::{
    error::{Error, Result},
    local::staged_file::StagedFile,
    repository::{
        Repository,
        inventory::{Inventory, StoredWal},
        segment_check::{check_segment, most_bytes},
    },
};

/// How much of the file is in memory at a time.
const PIECE_BYTES: usize = 256 << 10;

/// Writes the stored beginning of `segment` to `path`, or into `path` if that is a directory, with zeros up to the size of
/// a segment. The segment itself must be proven to be missing. Returns false, and writes nothing, if no beginning is stored,
/// or if anything newer is: WAL of a later timeline, or of a later position of this one.
///
/// # Errors
///
/// [`Error::Damaged`] if the stored content isn't the beginning of that segment; those of the storage.
pub async fn restore_received_wal(
    repository: &Repository,
    segment: SegmentName,
    path: &Path,
) -> Result<bool> {
    if has_newer(&repository.inventory().await?, segment) {
        return Ok(false);
    }
    let Some(stored) = repository.received(segment).await? else { return Ok(false) };
    let object = stored.name.clone();
    let target = if path.is_dir() { path.join(segment.to_string()) } else { path.to_owned() };
    let local = || Error::local("write", &target);
    let mut staged = StagedFile::for_target(&target).map_err(local())?;
    let mut content = stored.content();
    let (mut buffer, mut start, mut bytes) = (vec![0; PIECE_BYTES], Vec::new(), 0);
    loop {
        let read = content.read(&mut buffer).await.map_err(|error| repository.unreadable(&object, error))?;
        if read == 0 {
            break;
        }
        start.extend(buffer[..read].iter().take(SegmentHeader::BYTES - start.len()));
        bytes += read as u64;
        if bytes > most_bytes(WalName::Partial(segment), &start) {
            return Err(Error::damaged(&object, "it decompresses to more than a segment"));
        }
        staged.write_all(&buffer[..read]).map_err(local())?;
    }
    check_segment(segment, &start, bytes, &object)?;
    staged.publish().map_err(local())?;
    tracing::warn!("{segment} is incomplete: it is used as the last WAL of timeline {}", segment.timeline());
    Ok(true)
}

/// Whether anything behind the segment is stored. What another server made of the segment is not.
fn has_newer(inventory: &Inventory, segment: SegmentName) -> bool {
    let is_newer = |wal: &StoredWal| {
        let is_later = wal.name.segment().is_some_and(|other| other.position() > segment.position());
        let timeline = wal.name.timeline();
        timeline > segment.timeline() || (timeline == segment.timeline() && is_later)
    };
    inventory.wal.iter().any(is_newer)
}
