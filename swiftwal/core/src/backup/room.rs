//! Checks that a backup will fit, as soon as the server has reported its size.

use super::{BackupEvent, Observe};
use crate::{
    error::{Error, Refusal, Result},
    repository::Repository,
};

/// The best compression that is assumed if no earlier backup of this cluster shows its ratio. Tables full of blanks, as
/// pgbench creates them, shrink to a twelfth, and pages that are mostly empty to less.
const BEST_RATIO: u64 = 50;
/// A compression that many clusters don't exceed.
const POOR_RATIO: u64 = 3;
/// By how much this backup may compress better than the last one: newer data of the cluster may compress better.
const RATIO_MARGIN: u64 = 2;

/// Refuses a backup of about `tar_bytes` if it certainly doesn't fit, and otherwise reports the estimate.
///
/// # Errors
///
/// [`Error::Refused`], which names the free space and the expected size.
pub(super) async fn expect(repository: &Repository, tar_bytes: u64, observe: Observe<'_>) -> Result<()> {
    check(repository, tar_bytes, observe).await?;
    observe(BackupEvent::Estimate { tar_bytes });
    Ok(())
}

/// Fails if there is certainly no room for a backup of `tar_bytes` before compression, and warns if there may be too
/// little.
async fn check(repository: &Repository, tar_bytes: u64, observe: Observe<'_>) -> Result<()> {
    let Some(space) = repository.storage().space() else { return Ok(()) };
    let free = match space.free_bytes().await {
        Ok(free) if free >= tar_bytes => return Ok(()),
        Ok(free) => free,
        Err(error) => {
            let error = repository.failed("determine the free space for", "the backup")(error);
            observe(BackupEvent::Warning(&error.in_full()));
            return Ok(());
        }
    };
    match room(free, tar_bytes, last_ratio(repository).await) {
        Room::Enough => Ok(()),
        Room::Doubtful => {
            let notice = format!(
                "{} may have too little room: {} are free, and the server has {} to back up",
                repository.location(),
                mebibytes(free),
                mebibytes(tar_bytes)
            );
            observe(BackupEvent::Warning(&notice));
            Ok(())
        }
        Room::TooLittle { expected } => Err(Error::Refused(Refusal::NoRoom {
            location: repository.location().to_owned(),
            free: mebibytes(free),
            expected: mebibytes(expected),
        })),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Room {
    Enough,
    Doubtful,
    TooLittle { expected: u64 },
}

/// Judges whether `tar_bytes` fit into `free` bytes. `last` is the size of the last backup before and after
/// compression.
fn room(free: u64, tar_bytes: u64, last: Option<(u64, u64)>) -> Room {
    let at_ratio = |from: u64, to: u64| {
        let expected = u128::from(tar_bytes) * u128::from(to) / u128::from(from.max(1));
        u64::try_from(expected).unwrap_or(u64::MAX)
    };
    let (expected, least) = match last {
        Some((from, to)) => (at_ratio(from, to), at_ratio(from, to) / RATIO_MARGIN),
        None => (at_ratio(POOR_RATIO, 1), at_ratio(BEST_RATIO, 1)),
    };
    match free {
        free if free < least => Room::TooLittle { expected: least },
        free if free < expected => Room::Doubtful,
        _ => Room::Enough,
    }
}

/// Returns the size of the newest full backup's tars, before and after compression: changed blocks compress differently.
///
/// None if it can't be listed or read. Another step reports that if it matters.
async fn last_ratio(repository: &Repository) -> Option<(u64, u64)> {
    let stored = repository.list().await.ok()??;
    let mut key = stored.backups.iter().rev().find(|backup| !backup.legacy)?.key;
    let mut record = repository.record(key).await.ok()?;
    while let Some(parent) = record.parent.filter(|parent| *parent < key) {
        key = parent;
        record = repository.record(key).await.ok()?;
    }
    let tars = || record.objects.iter().filter_map(|object| Some((object.tar_bytes?, object.bytes)));
    Some((tars().map(|(tar, _)| tar).sum(), tars().map(|(_, stored)| stored).sum()))
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_backup_tells_how_much_this_one_takes_at_least() {
        let last = Some((1000, 250));
        assert_eq!(room(300, 1000, last), Room::Enough);
        assert_eq!(room(249, 1000, last), Room::Doubtful);
        assert_eq!(room(124, 1000, last), Room::TooLittle { expected: 125 });
    }

    #[test]
    fn without_one_only_what_is_certain_is_refused() {
        assert_eq!(room(400, 1000, None), Room::Enough);
        assert_eq!(room(300, 1000, None), Room::Doubtful);
        assert_eq!(room(19, 1000, None), Room::TooLittle { expected: 20 });
    }
}
