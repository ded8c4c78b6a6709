//! restore: the commit record → ranges of the tars, fetched and decompressed in parallel → files → recovery settings →
//! pg_control.

mod chain;
mod choose;
mod claim;
mod combine;
mod configuration;
mod copy;
mod created;
mod databases;
mod destination;
mod durability;
mod entries;
mod extract;
mod finish;
mod owner;
mod plan;
mod reach;
mod recovery;
mod reuse;
mod root;
mod running;
mod tablespaces;
mod target;
mod unarchived;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use self::{
    chain::{ChangedFiles, CompleteFile, FileName},
    copy::Copy,
    destination::Destination,
    extract::{Extracted, Extractor},
    plan::Prepared,
    tablespaces::Tablespaces,
};
pub use self::{
    claim::Reuse,
    plan::{PlannedMember, PlannedTablespace, RestorePlan, plan_restore},
    recovery::{ArchiveMode, RecoveryTarget, TargetAction, TargetTimeline},
    reuse::ExistingFiles,
    target::parse_target_time,
};
use crate::{
    error::Result,
    local::blocking::blocking,
    repository::{
        Repository, backup::ChosenBackup, choice::BackupChoice, fetch::StoredTar, key::BackupKey,
        manifest::Manifest, member_name, record::BackupRecord, timelines::Branch,
    },
};

/// The options of a restore.
#[derive(Clone, Debug, Default)]
pub struct RestoreOptions {
    /// The recovery target; none for the end of the WAL.
    pub target: Option<RecoveryTarget>,
    /// The timeline that recovery follows; none for PostgreSQL's default.
    pub target_timeline: Option<TargetTimeline>,
    /// PostgreSQL's action at the target; none for its default.
    pub target_action: Option<TargetAction>,
    /// The new locations of tablespaces, by their original ones.
    pub tablespace_mapping: Vec<(PathBuf, PathBuf)>,
    /// Whether tablespaces without a mapping are restored to their original locations. Otherwise they are refused: a
    /// commit record can name any directory of this machine.
    pub tablespaces_in_place: bool,
    /// The directory in which each tablespace without a mapping gets one of its own, named after its number. It must be an
    /// absolute path. Tablespaces are not restored in place then.
    pub tablespaces_below: Option<PathBuf>,
    /// The directory for the WAL, to which `pg_wal` becomes a link; none for a `pg_wal` in the data directory.
    pub wal_directory: Option<PathBuf>,
    /// Whether the files are restored without recovery settings. The settings below have no effect then.
    pub no_recovery: bool,
    /// Whether `postgresql.auto.conf` gets the recovery settings only, without those of the original server: for a server
    /// that is started with a configuration of its own.
    pub only_recovery_settings: bool,
    /// The databases whose content is restored; all of them if none is named.
    pub databases: Vec<String>,
    /// What is done with directories that aren't empty.
    pub reuse: Reuse,
    /// Whether WAL may be given up that a reused data directory has and the repository hasn't.
    pub discard_wal: bool,
    /// Whether the restored server archives its WAL.
    pub archive_mode: ArchiveMode,
    /// Whether the restored server is set up as a standby.
    pub standby: bool,
    /// The command with which PostgreSQL fetches WAL, with its `%f` and `%p`.
    pub restore_command: String,
    /// The command with which a standby removes WAL that it no longer needs, with its `%r`; none to leave its setting
    /// alone.
    pub archive_cleanup_command: Option<String>,
}

/// An event of a restore.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum RestoreEvent<'a> {
    /// This backup will be restored.
    Chosen(&'a ChosenBackup),
    /// A tablespace will be restored.
    Tablespace {
        /// The tablespace's number.
        oid: u32,
        /// Its original location.
        old: &'a Path,
        /// Its new location.
        directory: &'a Path,
    },
    /// The timeline that recovery will follow, and the ends of the others. Reported before anything is copied.
    Timelines {
        /// The timeline to follow; none if that depends on the version of PostgreSQL, as for a backup of SwiftWAL
        /// 0.2.2.
        followed: Option<&'a Branch>,
        /// The timelines that aren't followed, except those on the way.
        others: &'a [Branch],
    },
    /// A notice that the stored WAL doesn't reach the target.
    Shortfall(&'a str),
    /// A notice for the administrator.
    Notice(&'a str),
    /// More data has been written.
    Progress {
        /// The bytes of tar that were written so far.
        tar_bytes: u64,
        /// The total, if known.
        total_tar_bytes: Option<u64>,
    },
}

type Observe<'a> = &'a (dyn Fn(RestoreEvent<'_>) + Send + Sync);

/// The result of a restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreStats {
    /// The backup that was restored.
    pub key: BackupKey,
    /// The number of files.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// How many of the files existed and had the same content, so that they were kept.
    pub kept_files: u64,
    /// The size of the tars' parts that were fetched, as they are stored; none if the tars were fetched as a whole.
    pub fetched_bytes: Option<u64>,
    /// The databases that were restored without their content.
    pub left_out: Vec<String>,
    /// The content of `PG_VERSION`: `15`, `9.6`.
    pub postgres_version: String,
}

/// Restores a backup into `directory`. That directory and each tablespace's must be empty or absent, unless the options
/// allow to reuse what they contain.
///
/// When it returns, everything is durable, and PostgreSQL can be started there: it will recover to the target. The
/// recovery settings are written before `global/pg_control`, which comes last, so an interrupted restore can't be
/// started by mistake. The directories are claimed first, so that no other restore writes into them meanwhile. If it
/// fails or is dropped, it removes what it created, and nothing else; dropped in the very last step, it may complete
/// instead. A restore that reuses files leaves them instead, without `global/pg_control`. WAL that isn't in the
/// repository is given up only if the options say so. The removal takes place in a blocking thread: a program must not exit before its runtime has ended.
///
/// If it runs as root, everything belongs to the owner of `directory`, or of its parent if it didn't exist.
///
/// # Errors
///
/// [`Error::UnknownBackup`], [`Error::Usage`], [`Error::Refused`] for a directory with content or a target that can't
/// be reached, [`Error::Damaged`] for a backup that isn't what was stored.
///
/// [`Error::UnknownBackup`]: crate::Error::UnknownBackup
/// [`Error::Usage`]: crate::Error::Usage
/// [`Error::Refused`]: crate::Error::Refused
/// [`Error::Damaged`]: crate::Error::Damaged
pub async fn restore(
    repository: &Repository,
    choice: BackupChoice,
    directory: &Path,
    options: &RestoreOptions,
    observe: Observe<'_>,
) -> Result<RestoreStats> {
    // The large futures are boxed, since each of them would be on the stack several times.
    let plan = Box::pin(plan::prepare(repository, choice, options, observe)).await?;
    let wal = options.wal_directory.as_deref();
    let destination = Destination::claim(directory, &plan.tablespaces, wal, &plan.claimant(options.reuse))?;
    plan.announce(observe);
    let target_timeline = plan.target_timeline;
    let (key, tablespaces) = (plan.chosen.key, plan.tablespaces.clone());
    let left_out = plan.databases.as_ref().map(|databases| databases.left_out().to_vec()).unwrap_or_default();
    if destination.belongs_to_root() {
        observe(RestoreEvent::Notice(&format!(
            "the files restored into {} will belong to root, and PostgreSQL doesn't run as root: give the directory to the \
             user that PostgreSQL runs as, as with chown -R postgres",
            directory.display()
        )));
    }
    if options.reuse == Reuse::Interrupted && !destination.is_reused() {
        destination.leave();
    }
    let writing = write_files(repository, plan, &destination, options.discard_wal, observe);
    let written = Box::pin(writing).await?;
    let written = finish::add_checksums(written, &destination).await?;
    for notice in notices(&destination, options)? {
        observe(RestoreEvent::Notice(&notice));
    }
    let options = RestoreOptions { target_timeline, ..options.clone() };
    let finish = move || finish::finish(key, written, destination, tablespaces, &options);
    Ok(RestoreStats { left_out, ..blocking(finish).await? })
}

/// Returns notices about the current state of the directories.
fn notices(destination: &Destination, options: &RestoreOptions) -> Result<Vec<String>> {
    let mut notices = match options.only_recovery_settings {
        true => Vec::new(),
        false => configuration::missing_files(&destination.root(None)?),
    };
    if !destination.unused().is_empty() {
        notices.push(format!(
            "directories that the cluster used before are left alone; look at them before you remove them: {}",
            destination.unused().join(", ")
        ));
    }
    // What a reused directory contained before and kept isn't told apart from what appeared.
    let foreign = if destination.is_reused() { Vec::new() } else { destination.foreign_files() };
    if !foreign.is_empty() {
        notices.push(format!(
            "other processes created files in the directory during the restore, which were left alone: {}",
            foreign.join(", ")
        ));
    }
    Ok(notices)
}

/// The files that were written.
#[derive(Debug)]
struct Written {
    extracted: Extracted,
    manifest: Option<Manifest>,
    /// The files that were combined from a chain; none for a full backup.
    combined: Option<BTreeMap<FileName, CompleteFile>>,
}

/// Writes every file but `pg_control`: what the directories lack, or the whole tars.
async fn write_files(
    repository: &Repository,
    plan: Prepared,
    destination: &Arc<Destination>,
    discard_wal: bool,
    observe: Observe<'_>,
) -> Result<Written> {
    let Prepared { chosen, parents, tablespaces, databases, .. } = plan;
    if destination.is_reused() {
        if !discard_wal {
            unarchived::refuse_unarchived(repository, destination).await?;
        }
    } else if databases.is_none() {
        return write_tars(repository, &chosen, parents, destination, &tablespaces, observe).await;
    }
    reuse::write_tars(repository, (&chosen, parents), destination, &tablespaces, databases, observe).await
}

/// Writes whole tars.
async fn write_tars(
    repository: &Repository,
    chosen: &ChosenBackup,
    parents: Vec<BackupRecord>,
    destination: &Arc<Destination>,
    tablespaces: &Tablespaces,
    observe: Observe<'_>,
) -> Result<Written> {
    let directory = destination.root(None)?;
    let directory = directory.path();
    let tars = copy::tars(repository, chosen, directory, observe).await?;
    let parents = copy::members(repository, parents, directory, observe).await?;
    let all = tars.iter().chain(parents.iter().flat_map(|parent| &parent.tars));
    let copy = Copy::new(repository, destination, all.map(StoredTar::tar_bytes).sum(), observe);
    let manifest =
        copy::read_manifest(repository, chosen.record.as_ref(), Some(directory), None, observe).await?;
    let algorithm = manifest.as_ref().map(|manifest| manifest.algorithm);
    let changed = (!parents.is_empty()).then(Arc::<ChangedFiles>::default);
    let mut extracted = Extracted::default();
    for tar in tars {
        let destination = Arc::clone(destination);
        let (tar, extractor) =
            Extractor::new(destination, tar, tablespaces, algorithm, changed.clone(), None)?;
        extracted.add(copy.tar(tar, move |pieces, count| extractor.extract(pieces, count)).await?);
    }
    copy.check(manifest.as_ref(), &extracted)?;
    let Some(changed) = changed else {
        return Ok(Written { extracted, manifest, combined: None });
    };
    combine::fill(&copy, (chosen.key, &extracted), parents, &changed).await?;
    let combined = changed.take_complete();
    extracted.bytes += combined.values().map(|file| file.bytes).sum::<u64>();
    Ok(Written { extracted, manifest, combined: Some(combined) })
}
