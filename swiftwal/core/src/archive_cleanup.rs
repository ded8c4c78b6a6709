//! archive-cleanup: removes old WAL as pg_archivecleanup does, but keeps what stored backups need.

use serde::Serialize;
use swiftwal_postgres::WalName;

use crate::{
    error::{Error, Result},
    repository::{Repository, inventory::StoredWal, needs::Needs},
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
    let needs = if ignore_backups { None } else { Some(Needs::of_all(repository, &inventory).await?) };
    let notices = needs.iter().flat_map(Needs::notices).collect();
    let older = inventory.wal.into_iter().filter(|wal| match wal.name {
        WalName::Segment(segment) | WalName::Partial(segment) => segment.position() < oldest.position(),
        _ => false,
    });
    let is_needed = |wal: &StoredWal| needs.as_ref().is_some_and(|needs| needs.includes(wal.name));
    let (kept, remove): (Vec<_>, Vec<_>) = older.partition(is_needed);
    Ok(CleanupPlan { remove, kept_for_backups: kept.len(), notices })
}

/// Carries out the plan.
///
/// # Errors
///
/// Those of the storage.
pub async fn archive_cleanup(repository: &Repository, plan: &CleanupPlan) -> Result<()> {
    let names: Vec<_> = plan.remove.iter().map(StoredWal::object_name).collect();
    repository.delete_all(names.into_iter()).await
}
