//! archive-cleanup: removes old WAL as pg_archivecleanup does, but keeps what stored backups need.

use jiff::Timestamp;
use serde::Serialize;
use swiftwal_postgres::WalName;

use crate::{
    error::{Error, Result},
    repository::{
        Repository,
        clocks::Liveness,
        inventory::StoredWal,
        layout::ObjectName,
        markers::remove_stale_marks,
        needs::Needs,
        running::Considered,
        wal_removal::{WalRemoval, stale_wal_marks},
    },
};

/// The WAL files that archive-cleanup removes.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct CleanupPlan {
    /// The segments and `.partial` files to remove, in the order of their names.
    pub remove: Vec<StoredWal>,
    /// The number of older files that are kept because a backup needs them.
    pub kept_for_backups: usize,
    /// Notices for the administrator.
    pub notices: Vec<String>,
    /// What the plan takes into account; none if it ignores backups.
    #[serde(skip)]
    considered: Option<Considered>,
    /// Marks of removals of WAL that have ended, and when each was written.
    #[serde(skip)]
    stale_marks: Vec<(ObjectName, Timestamp)>,
}

/// Plans which segments and `.partial` files before `oldest_kept` to remove, of every timeline; those that a stored
/// backup needs are kept, unless `ignore_backups` is set. It changes nothing.
///
/// # Errors
///
/// [`Error::Usage`] for the name of a history, which has no position in the WAL.
pub async fn plan_archive_cleanup(
    repository: &Repository,
    oldest_kept: WalName,
    ignore_backups: bool,
) -> Result<CleanupPlan> {
    let Some(oldest) = oldest_kept.segment() else {
        return Err(Error::Usage(format!(
            "{oldest_kept} names no segment; give the oldest WAL file to be kept, such as 000000010000000000000012"
        )));
    };
    // Objects of a newer version may need more than this program knows of.
    repository.check_before_deleting().await?;
    let inventory = match ignore_backups {
        true => repository.inventory().await?,
        false => repository.inventory_with_every_record().await?,
    };
    let (mut needs, mut considered) = (None, None);
    if !ignore_backups {
        let Liveness { now, before, .. } = repository.liveness(&inventory).await;
        needs = Some(Needs::of_all(repository, &inventory, before).await?);
        let known = inventory.backups.iter().map(|backup| backup.key).collect();
        considered = Some(Considered { known, now, before });
    }
    let notices = needs.iter().flat_map(Needs::notices).collect();
    let (older, newer): (Vec<_>, Vec<_>) = inventory.wal.into_iter().partition(|wal| match wal.name {
        WalName::Segment(segment) | WalName::Partial(segment) => segment.position() < oldest.position(),
        _ => false,
    });
    let is_needed = |wal: &StoredWal| needs.as_ref().is_some_and(|needs| needs.includes(wal.name));
    let (kept, remove): (Vec<_>, Vec<_>) = older.into_iter().partition(is_needed);
    let kept_for_backups = kept.len();
    let stale_marks = considered.as_ref().map(|Considered { before, .. }| {
        stale_wal_marks(&inventory.removing_wal, &[kept, newer].concat(), *before)
    });
    let stale_marks = stale_marks.unwrap_or_default();
    Ok(CleanupPlan { remove, kept_for_backups, notices, considered, stale_marks })
}

/// Carries out the plan.
///
/// # Errors
///
/// [`Error::Refused`] if a backup was begun meanwhile that may need what was to be removed; those of the storage.
pub async fn archive_cleanup(repository: &Repository, plan: &CleanupPlan) -> Result<()> {
    WalRemoval::of(&plan.remove, plan.considered.as_ref()).run(repository).await?;
    remove_stale_marks(repository, &plan.stale_marks).await
}
