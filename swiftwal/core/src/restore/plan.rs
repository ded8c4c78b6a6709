//! What a restore is going to do, before anything is written.

use std::path::{Path, PathBuf};

use super::{
    Observe, RestoreEvent, RestoreOptions, TargetTimeline,
    choose::{self, Choice},
    claim::{Claimant, Reuse},
    databases::ChosenDatabases,
    destination::Destination,
    reach::StoredEnd,
    recovery,
    reuse::{self, ExistingFiles},
    tablespaces::{self, Tablespaces},
    unarchived,
};
use crate::{
    error::{Error, Result},
    repository::{
        Repository,
        backup::ChosenBackup,
        choice::BackupChoice,
        key::BackupKey,
        record::{BackupKind, BackupRecord},
        timelines::Branch,
    },
};

/// What a restore would do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RestorePlan {
    /// The backup that would be restored.
    pub key: BackupKey,
    /// The content of its `PG_VERSION`, such as `15`; none for a backup of SwiftWAL 0.2.2.
    pub postgres_version: Option<String>,
    /// The repository that it is in.
    pub location: String,
    /// The backups that would be read: this one, those it builds on, the newest first, and a full one last. Empty for a
    /// backup of SwiftWAL 0.2.2.
    pub chain: Vec<PlannedMember>,
    /// The bytes that would be fetched; none if that isn't known, as for a backup of SwiftWAL 0.2.2.
    pub stored_bytes: Option<u64>,
    /// The bytes of all these tars before compression, for a full backup about those of its files; none if that isn't
    /// known.
    pub tar_bytes: Option<u64>,
    /// The timeline that recovery would follow; none if that depends on the version of PostgreSQL.
    pub followed: Option<Branch>,
    /// The timelines that wouldn't be followed, except those on the way.
    pub others: Vec<Branch>,
    /// The tablespaces.
    pub tablespaces: Vec<PlannedTablespace>,
    /// What is known of the content of the data directory, without reading its files; none if it is empty or absent.
    pub existing: Option<ExistingFiles>,
    /// A notice if the backup contains pages that were damaged on the server.
    pub damage: Option<String>,
    /// A notice if the stored WAL doesn't reach the target.
    pub shortfall: Option<String>,
}

/// A backup that would be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlannedMember {
    /// Its name.
    pub key: BackupKey,
    /// Whether it is a full backup.
    pub kind: BackupKind,
    /// The bytes of its tars as they are stored.
    pub stored_bytes: u64,
    /// The bytes of its tars before compression; none if that isn't known.
    pub tar_bytes: Option<u64>,
}

/// A tablespace that would be restored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlannedTablespace {
    /// Its number.
    pub oid: u32,
    /// Its original location.
    pub old: PathBuf,
    /// Its new location.
    pub directory: PathBuf,
}

/// Returns what [`restore`](super::restore) would do with these options. Writes nothing into the directories, and doesn't
/// read the content of their files.
///
/// # Errors
///
/// As `restore`, before it writes.
pub async fn plan_restore(
    repository: &Repository,
    choice: BackupChoice,
    directory: &Path,
    options: &RestoreOptions,
    observe: Observe<'_>,
) -> Result<RestorePlan> {
    let plan = Box::pin(prepare(repository, choice, options, observe)).await?;
    let wal = options.wal_directory.as_deref();
    let destination = Destination::look(directory, &plan.tablespaces, wal, &plan.claimant(options.reuse))?;
    let existing = if destination.is_reused() {
        if !options.discard_wal {
            unarchived::refuse_unarchived(repository, &destination).await?;
        }
        let backups = (&plan.chosen, plan.parents.clone());
        let look = reuse::look(repository, backups, destination, &plan.tablespaces, plan.databases.clone());
        Some(Box::pin(look).await?)
    } else {
        None
    };
    let record = plan.chosen.record.as_ref();
    let chain: Vec<_> = record.into_iter().chain(&plan.parents).map(PlannedMember::of).collect();
    let tablespaces = plan.tablespaces.iter().map(|space| {
        let tablespaces::Tablespace { oid, old, directory } = space.clone();
        PlannedTablespace { oid, old, directory }
    });
    Ok(RestorePlan {
        key: plan.chosen.key,
        postgres_version: record.map(|record| record.postgres_version.clone()),
        location: repository.location().to_owned(),
        stored_bytes: record.map(|_| chain.iter().map(|member| member.stored_bytes).sum()),
        tar_bytes: record.and_then(|_| chain.iter().map(|member| member.tar_bytes).sum()),
        chain,
        tablespaces: tablespaces.collect(),
        existing,
        damage: record.into_iter().chain(&plan.parents).find_map(BackupRecord::damage_notice),
        followed: plan.followed,
        others: plan.others,
        shortfall: plan.shortfall,
    })
}

impl PlannedMember {
    fn of(record: &BackupRecord) -> Self {
        let tars = || record.objects.iter().filter(|object| object.tar_bytes.is_some());
        Self {
            key: record.key,
            kind: record.kind,
            stored_bytes: tars().map(|tar| tar.bytes).sum(),
            tar_bytes: tars().map(|tar| tar.tar_bytes).sum(),
        }
    }
}

/// A restore that is about to begin.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) chosen: ChosenBackup,
    /// The backups that it builds on, the newest first.
    pub(super) parents: Vec<BackupRecord>,
    /// The timeline for the recovery settings.
    pub(super) target_timeline: Option<TargetTimeline>,
    pub(super) tablespaces: Tablespaces,
    /// The databases to restore; none for all of them.
    pub(super) databases: Option<ChosenDatabases>,
    followed: Option<Branch>,
    others: Vec<Branch>,
    shortfall: Option<String>,
}

/// Chooses the backup and its directories, and checks the options.
pub(super) async fn prepare(
    repository: &Repository,
    choice: BackupChoice,
    options: &RestoreOptions,
    observe: Observe<'_>,
) -> Result<Prepared> {
    recovery::check(options)?;
    if let Some(wal) = options.wal_directory.as_ref().filter(|wal| !wal.is_absolute()) {
        return Err(Error::Usage(format!(
            "the WAL directory '{}' is not an absolute path, which PostgreSQL requires",
            wal.display()
        )));
    }
    let Choice { backup: chosen, parents, target_timeline, followed, others } =
        choose::choose(repository, choice, options, observe).await?;
    let databases = ChosenDatabases::plan(&chosen, options)?;
    reuse::check(&chosen, &parents, options.reuse, databases.is_some())?;
    let tablespaces = Tablespaces::plan(&chosen, options)?;
    let shortfall = shortfall(&chosen, followed.as_ref(), options);
    let plan =
        Prepared { chosen, parents, target_timeline, tablespaces, databases, followed, others, shortfall };
    for tablespaces::Tablespace { oid, old, directory } in plan.tablespaces.iter() {
        observe(RestoreEvent::Tablespace { oid: *oid, old, directory });
    }
    Ok(plan)
}

impl Prepared {
    /// Returns the restore as the claimant of its directories.
    pub(super) fn claimant(&self, reuse: Reuse) -> Claimant {
        let cluster = self.chosen.record.as_ref().map(|record| record.system_identifier);
        Claimant { key: self.chosen.key, cluster, reuse }
    }

    /// Reports the backup and the timelines.
    pub(super) fn announce(&self, observe: Observe<'_>) {
        observe(RestoreEvent::Chosen(&self.chosen));
        // A block of a parent may be in the result.
        for notice in self.chosen.record.iter().chain(&self.parents).filter_map(BackupRecord::damage_notice) {
            observe(RestoreEvent::Notice(&notice));
        }
        observe(RestoreEvent::Timelines { followed: self.followed.as_ref(), others: &self.others });
        if let Some(notice) = &self.shortfall {
            observe(RestoreEvent::Shortfall(notice));
        }
    }
}

/// Returns a notice if the stored WAL doesn't reach the target.
fn shortfall(chosen: &ChosenBackup, followed: Option<&Branch>, options: &RestoreOptions) -> Option<String> {
    let (last_wal, stored) = followed.and_then(|branch| branch.last_wal.zip(branch.last_wal_stored))?;
    let segment_size = chosen.record.as_ref()?.wal_segment_bytes;
    StoredEnd { last_wal, stored, segment_size }.shortfall(options.target.as_ref()?)
}
