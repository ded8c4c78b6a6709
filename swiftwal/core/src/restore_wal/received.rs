//! restore-wal --use-partial: fetches the beginning of a segment that receive-wal was receiving, as the last WAL.
//!
//! Recovery takes it for a complete segment whose rest was never written. That is right only at the end of the WAL, so it is
//! refused if anything newer is stored.

use std::path::Path;

use swiftwal_postgres::{SegmentName, WalName};

use super::{target_of, write};
use crate::{
    error::{Error, Result},
    local::staged_file::StagedFile,
    repository::{
        Repository,
        inventory::{Inventory, StoredWal},
    },
};

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
    let name = WalName::Segment(segment);
    let target = target_of(name, path);
    let local = || Error::local("write", &target);
    let mut staged = StagedFile::for_target(&target).map_err(local())?;
    write(repository, name, stored, &target, &mut staged, |_| {}).await?;
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
