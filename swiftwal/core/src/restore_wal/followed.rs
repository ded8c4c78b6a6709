//! The timelines that recovery follows: PostgreSQL puts their histories into `pg_wal`.
//!
//! `missing` asks which of them began after a missing segment, and restore-wal whether a stored one belongs to their past.
//! Where a timeline branched off within a segment, and the older timeline went on, there are two segments of that number.
//! PostgreSQL asks for that of the new timeline, which begins with a copy of what both share. If it doesn't get that, it
//! asks for the other one, and replays it to its end: also what isn't the past of the timeline that it follows.

use std::{fs, path::Path};

use swiftwal_postgres::{ControlFile, Lsn, SegmentName, SegmentSize, Timeline, TimelineHistory, WalName};

use crate::{
    error::{Error, Result},
    local::{blocking::blocking, regular_file::read_regular_file},
    repository::Repository,
};

/// More than a `pg_control` or a history has.
const MOST_BYTES: u64 = 1 << 20;
/// The name of the file that PostgreSQL is going to replay.
const RECOVERED: &str = "RECOVERYXLOG";

/// Returns the timelines that began after the segment, according to the histories beside `target`; none if that isn't in a
/// data directory.
pub(super) fn descendants(target: &Path, segment: SegmentName) -> Vec<Timeline> {
    let Some((histories, size)) = later_histories(target, segment) else { return Vec::new() };
    let Some(last_byte) = segment.last_byte(size) else { return Vec::new() };
    let began_after = |history: &TimelineHistory| history.contains(segment.timeline(), last_byte);
    histories.iter().filter(|history| began_after(history)).map(TimelineHistory::timeline).collect()
}

/// Refuses a stored segment, to be written to `target`, if recovery follows a timeline that branched off within it.
///
/// # Errors
///
/// [`Error::WalBehindBranch`].
pub(super) async fn ensure_followed(
    repository: &Repository,
    target: &Path,
    segment: SegmentName,
) -> Result<()> {
    let Some(Branch { at, needed }) = branch_in(target, segment).await? else { return Ok(()) };
    let location = repository.location().to_owned();
    Err(Error::WalBehindBranch { segment, location, at, needed })
}

/// Where recovery leaves the timeline of a segment, within that segment.
pub(super) struct Branch {
    at: Lsn,
    /// The segment of the same number that recovery needs in its place.
    needed: SegmentName,
}

/// Returns where recovery leaves the timeline of the segment; none if not within the segment, or if `target` isn't the file
/// that a server in recovery replays: pg_rewind must read what an old primary wrote behind the branch.
pub(super) async fn branch_in(target: &Path, segment: SegmentName) -> Result<Option<Branch>> {
    if !target.ends_with(RECOVERED) {
        return Ok(None);
    }
    let target = target.to_owned();
    blocking(move || Ok(find_branch(&target, segment))).await
}

fn find_branch(target: &Path, segment: SegmentName) -> Option<Branch> {
    let (histories, size) = later_histories(target, segment)?;
    // That of the timeline on which recovery is to end.
    let followed = histories.last()?;
    let left = followed.ancestors().iter().find(|left| left.timeline == segment.timeline())?;
    let (start, last_byte) = (segment.start(size)?, segment.last_byte(size)?);
    let needed = segment.on_timeline(followed.timeline_at(last_byte));
    (start..=last_byte).contains(&left.switchpoint).then_some(Branch { at: left.switchpoint, needed })
}

/// Returns the histories beside `target` of timelines after that of the segment, in order, and the size of the cluster's
/// segments; none if there are no such histories, or it isn't in a data directory.
fn later_histories(target: &Path, segment: SegmentName) -> Option<(Vec<TimelineHistory>, SegmentSize)> {
    let pg_wal = target.parent()?;
    let names = fs::read_dir(if pg_wal.as_os_str().is_empty() { Path::new(".") } else { pg_wal }).ok()?;
    let names = names.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut timelines: Vec<_> = names
        .filter_map(|name| match name {
            WalName::History(timeline) if timeline > segment.timeline() => Some(timeline),
            _ => None,
        })
        .collect();
    timelines.sort_unstable();
    if timelines.is_empty() {
        return None;
    }
    let control = read_regular_file(&data_directory(target)?.join("global/pg_control"), MOST_BYTES).ok()?;
    let size = ControlFile::parse(&control).ok()?.segment_size;
    let histories = timelines.into_iter().filter_map(|timeline| {
        let file = pg_wal.join(WalName::History(timeline).to_string());
        TimelineHistory::parse(timeline, &read_regular_file(&file, MOST_BYTES).ok()?).ok()
    });
    Some((histories.collect(), size))
}

/// Returns the directory that has a `target` in its `pg_wal`.
pub(super) fn data_directory(target: &Path) -> Option<&Path> {
    target.parent()?.parent()
}
