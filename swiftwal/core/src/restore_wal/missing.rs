//! Whether the data directory for which restore-wal fetches WAL needs a missing file.

use std::path::Path;

use swiftwal_postgres::{BackupLabel, ControlFile, SegmentName, Timeline, WalName, is_complete_segment};

use super::followed::{data_directory, descendants};
use crate::{
    error::{Error, Result},
    local::{blocking::blocking, regular_file::read_regular_file},
    repository::{Repository, wal_file::WalFile},
};

/// More than a `backup_label` or a `pg_control` has.
const MOST_BYTES: u64 = 1 << 20;

/// Returns the error to report for `error`, with which fetching a file for `target` has failed: what is missing may be a
/// hole only for the timeline that recovery follows, or be one that PostgreSQL doesn't need.
pub(super) async fn as_postgresql_sees_it(repository: &Repository, target: &Path, error: Error) -> Error {
    let error = match error {
        Error::WalAbsent { name: WalName::Segment(segment), .. } => {
            match hole_before_branch(repository, target, segment).await {
                Ok(hole) => hole.unwrap_or(error),
                Err(failure) => failure,
            }
        }
        other => other,
    };
    unless_not_needed(target, error)
}

/// Returns the hole if recovery is to go on to a later timeline that began after the segment, and whose WAL is stored. Then
/// there was such a segment, although it may be the last one missing on its timeline: a primary was lost before it had
/// archived everything, for example. PostgreSQL puts the histories of the timelines that it follows into `pg_wal`.
async fn hole_before_branch(
    repository: &Repository,
    target: &Path,
    segment: SegmentName,
) -> Result<Option<Error>> {
    let target = target.to_owned();
    let descendants = blocking(move || Ok(descendants(&target, segment))).await?;
    for timeline in descendants {
        if let Some(hole) = repository.hole_before(segment, timeline).await? {
            return Ok(Some(hole));
        }
    }
    Ok(None)
}

/// Returns the error for a file that is missing and was to be written to `target`. A hole isn't one for PostgreSQL if it
/// doesn't need the file from the archive:
///
/// - a segment that is in the directory of `target`, its `pg_wal`: PostgreSQL reads what the archive doesn't have from
///   there, such as the WAL that is included in a backup. If the segment ends early there, as after a crash, the hole
///   remains;
/// - the history of the timeline on which the data directory begins, or of an older one.
fn unless_not_needed(target: &Path, error: Error) -> Error {
    let Error::WalHole { name, ref location, .. } = error else { return error };
    let reason = match name {
        WalName::History(timeline) if begins_on(target).is_some_and(|begins_on| begins_on >= timeline) => {
            "this server begins on that timeline"
        }
        WalName::Segment(_) if is_beside(target, name) => "PostgreSQL has it in pg_wal",
        _ => return error,
    };
    tracing::warn!(
        "{name} is missing in {location}, which has later WAL. Recovery doesn't need it from there: {reason}"
    );
    Error::WalAbsent { name, location: location.clone() }
}

/// Whether the complete segment is in the directory of `target`.
fn is_beside(target: &Path, name: WalName) -> bool {
    let file = WalFile::open(&target.with_file_name(name.to_string()));
    file.is_ok_and(|file| is_complete_segment(file.content().reader()).unwrap_or(false))
}

/// Returns the timeline on which recovery begins in the data directory in whose `pg_wal` the `target` is; none if that
/// isn't known.
fn begins_on(target: &Path) -> Option<Timeline> {
    let data_directory = data_directory(target)?;
    let read = |name: &str| read_regular_file(&data_directory.join(name), MOST_BYTES).ok();
    let of_label = read("backup_label").and_then(|label| BackupLabel::from_bytes(&label).ok());
    of_label
        .map(|label| label.start_timeline())
        .or_else(|| ControlFile::checkpoint_timeline(&read("global/pg_control")?))
}
