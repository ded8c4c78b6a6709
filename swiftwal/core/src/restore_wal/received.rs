//! restore-wal --use-partial: fetches the beginning of a segment that receive-wal was receiving, as the last WAL.
//!
//! Recovery takes it for a complete segment whose rest was never written. That is right only at the end of the WAL, so it is
//! refused if anything newer is stored. A listing may lag behind, so the next segment and the history of the next timeline
//! are also requested by name.

use std::{collections::BTreeSet, os::unix::fs::FileExt, path::Path};

use swiftwal_postgres::{Lsn, SegmentName, SegmentSize, Timeline, WalName};

use tokio::io::AsyncReadExt;

use super::{PIECE_BYTES, target_of, write};
use crate::{
    error::{Error, Result},
    local::{regular_file::open_regular_file, staged_file::StagedFile},
    repository::{
        Repository,
        history::Histories,
        inventory::Inventory,
        layout::ObjectName,
        wal_received::{ContentLength, received_object},
    },
};

/// Writes the stored beginning of `segment` to `path`, or into `path` if that is a directory, with zeros up to the size of
/// a segment. The segment itself must be proven to be missing. Returns false, and writes nothing, if no beginning is stored,
/// or, with a warning, if anything newer is: WAL of a later position of this timeline, or a timeline that branched off from
/// this one in that segment or later; or if the segment beside `path`, in `pg_wal`, has as much.
///
/// # Errors
///
/// [`Error::Damaged`] if the stored content isn't the beginning of that segment; those of the storage.
pub async fn restore_received_wal(
    repository: &Repository,
    segment: SegmentName,
    path: &Path,
) -> Result<bool> {
    let object = received_object(segment);
    if repository.size(&object).await?.is_none() {
        return Ok(false);
    }
    if let Some(newer) = newer_than(repository, segment).await? {
        tracing::warn!("{object} isn't used as the last WAL, because there is newer WAL: {newer}");
        return Ok(false);
    }
    let name = WalName::Segment(segment);
    let target = target_of(name, path);
    let beside = target.with_file_name(segment.to_string());
    if beside != target && has_all_of(&beside, repository, segment).await? {
        tracing::warn!("{object} isn't used, because {} has as much or more", beside.display());
        return Ok(false);
    }
    let Some(stored) = repository.received(segment).await? else { return Ok(false) };
    let local = || Error::local("write", &target);
    let mut staged = StagedFile::for_target(&target).map_err(local())?;
    write(repository, name, stored, &target, &mut staged, |_| {}).await?;
    staged.publish().map_err(local())?;
    tracing::warn!("{segment} is incomplete: it is used as the last WAL of timeline {}", segment.timeline());
    Ok(true)
}

/// Whether the file at `path` has everything that the stored beginning of the segment has. PostgreSQL reads the segment in
/// `pg_wal` if the archive lacks it, and replaces it by what the archive has.
async fn has_all_of(path: &Path, repository: &Repository, segment: SegmentName) -> Result<bool> {
    let Ok(file) = open_regular_file(path) else { return Ok(false) };
    let Some(stored) = repository.received(segment).await? else { return Ok(false) };
    let (object, mut content) = (stored.name.clone(), stored.content());
    let (mut piece, mut own) = (vec![0; PIECE_BYTES], Vec::new());
    let (mut length, mut differs) = (ContentLength::default(), u64::MAX);
    loop {
        let read = content.read(&mut piece).await.map_err(|error| repository.unreadable(&object, error))?;
        if read == 0 {
            return Ok(length.without_zeros <= differs);
        }
        own.resize(read, 0);
        let at = match file.read_exact_at(&mut own, length.read) {
            Ok(()) => piece[..read].iter().zip(&own).position(|(stored, own)| stored != own),
            Err(_) => Some(0),
        };
        differs = differs.min(at.map_or(u64::MAX, |at| length.read + at as u64));
        length.add(&piece[..read]);
    }
}

/// Returns what is stored that comes after the segment. What another server made of the segment doesn't.
async fn newer_than(repository: &Repository, segment: SegmentName) -> Result<Option<String>> {
    let inventory = repository.inventory().await?;
    let cluster = repository.cluster_once().await?;
    let size = cluster.map_or_else(SegmentSize::default, |info| info.identity.wal_segment_bytes);
    if let Some(later) = later_object(&inventory, segment) {
        return Ok(Some(later.to_string()));
    }
    if let Some(next) = segment.next(size).map(WalName::Segment)
        && let Some(format) = repository.wal_format(next).await?
    {
        return Ok(Some(ObjectName::Wal { name: next, format }.to_string()));
    }
    let start = segment.start(size).unwrap_or(Lsn(0));
    let mut histories = Histories::listed(repository, &inventory).await?;
    histories.look_beyond(repository, segment.timeline()).await?;
    let listed = inventory.wal.iter().map(|wal| wal.name.timeline());
    let timelines: BTreeSet<_> = listed.chain(histories.timelines()).collect();
    for timeline in timelines.into_iter().filter(|timeline| *timeline > segment.timeline()) {
        histories.look_for(repository, timeline).await?;
        if let Some(newer) = continues(&histories, timeline, segment.timeline(), start) {
            return Ok(Some(newer));
        }
    }
    Ok(None)
}

/// Returns a listed object of the timeline of `segment` with WAL from after it.
fn later_object(inventory: &Inventory, segment: SegmentName) -> Option<ObjectName> {
    let is_later =
        |other: SegmentName| other.timeline() == segment.timeline() && other.position() > segment.position();
    let later = inventory.wal.iter().find(|wal| wal.name.segment().is_some_and(is_later));
    later.map(|wal| wal.object_name())
}

/// Returns a description of `timeline` unless its history proves that it left the timeline `left` before `start`: it may
/// have WAL that comes after that on `left`. If it was left right at `start`, recovery to the later timeline may ask for the
/// segment of `left` as well, and must not get what was written there afterwards.
fn continues(histories: &Histories, timeline: Timeline, left: Timeline, start: Lsn) -> Option<String> {
    let Some(history) = histories.get(timeline) else {
        return Some(format!("WAL of timeline {timeline}, whose history isn't stored or can't be read"));
    };
    let ancestor = history.ancestors().iter().find(|ancestor| ancestor.timeline == left)?;
    let switchpoint = ancestor.switchpoint;
    let goes_on = switchpoint >= start;
    goes_on.then(|| {
        format!("WAL of timeline {timeline}, which branched off from timeline {left} at {switchpoint}")
    })
}
