//! restore: the commit record → ranges of the tars, fetched and decompressed in parallel → files → recovery settings →
//! pg_control.

mod choose;
mod claim;
mod configuration;
mod created;
mod destination;
mod extract;
mod fetch;
mod indexed_members;
mod manifest;
mod member_name;
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
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::mpsc;

use self::{
    claim::Claimant,
    destination::Destination,
    extract::{Extracted, Extractor},
    fetch::{Buffers, StoredTar},
    manifest::Manifest,
    plan::Prepared,
    tablespaces::Tablespaces,
};
pub use self::{
    plan::{PlannedTablespace, RestorePlan, plan_restore},
    recovery::{ArchiveMode, RecoveryTarget, TargetAction, TargetTimeline},
    reuse::Reuse,
    target::parse_target_time,
};
use crate::{
    error::{Error, ErrorKind, Result},
    local::blocking::blocking,
    repository::{Repository, backup::ChosenBackup, choice::BackupChoice, key::BackupKey, timelines::Branch},
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
    /// The directory for the WAL, to which `pg_wal` becomes a link; none for a `pg_wal` in the data directory.
    pub wal_directory: Option<PathBuf>,
    /// Whether the files are restored without recovery settings. The settings below have no effect then.
    pub no_recovery: bool,
    /// What is done with directories that aren't empty.
    pub reuse: Reuse,
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
/// instead. A restore that reuses files leaves them instead, without `global/pg_control`. WAL that was never archived isn't
/// removed. The removal takes place in a blocking thread: a program must not exit before its runtime has ended.
///
/// If it runs as root, everything belongs to the owner of `directory`, or of its parent if it didn't exist.
///
/// # Errors
///
/// [`Error::UnknownBackup`], [`Error::Usage`], [`Error::Refused`] for a directory with content or a target that can't
/// be reached, [`Error::Damaged`] for a backup that isn't what was stored.
pub async fn restore(
    repository: &Repository,
    choice: BackupChoice,
    directory: &Path,
    options: &RestoreOptions,
    observe: Observe<'_>,
) -> Result<RestoreStats> {
    let plan = plan::prepare(repository, choice, options, observe).await?;
    let wal = options.wal_directory.as_deref();
    let claimant = Claimant {
        key: plan.chosen.key,
        cluster: plan.chosen.record.as_ref().map(|record| record.system_identifier),
        reuse: options.reuse,
    };
    let destination = Destination::claim(directory, &plan.tablespaces, wal, &claimant)?;
    plan.announce(observe);
    let Prepared { chosen, tablespaces, target_timeline, .. } = plan;
    if destination.belongs_to_root() {
        observe(RestoreEvent::Notice(&format!(
            "the files restored into {} will belong to root, and PostgreSQL doesn't run as root: give the directory to the \
             user that PostgreSQL runs as, as with chown -R postgres",
            directory.display()
        )));
    }
    let extracted = if destination.is_reused() {
        unarchived::refuse_unarchived(repository, &destination).await?;
        reuse::write_tars(repository, &chosen, &destination, &tablespaces, observe).await?
    } else {
        if options.reuse == Reuse::Interrupted {
            destination.leave();
        }
        write_tars(repository, &chosen, &destination, &tablespaces, observe).await?
    };
    for notice in notices(&destination)? {
        observe(RestoreEvent::Notice(&notice));
    }
    let options = RestoreOptions { target_timeline, ..options.clone() };
    blocking(move || finish(chosen.key, extracted, destination, tablespaces, &options)).await
}

/// Returns notices about the current state of the directories.
fn notices(destination: &Destination) -> Result<Vec<String>> {
    let mut notices = configuration::missing_files(&destination.root(None)?);
    if !destination.unused().is_empty() {
        notices.push(format!(
            "directories that the cluster used before are left alone, and may be removed: {}",
            destination.unused().join(", ")
        ));
    }
    let foreign = destination.foreign_files();
    if !foreign.is_empty() {
        notices.push(format!(
            "other processes created files in the directory during the restore, which were left alone: {}",
            foreign.join(", ")
        ));
    }
    Ok(notices)
}

/// Writes every file but `pg_control`.
async fn write_tars(
    repository: &Repository,
    chosen: &ChosenBackup,
    destination: &Arc<Destination>,
    tablespaces: &Tablespaces,
    observe: Observe<'_>,
) -> Result<Extracted> {
    let directory = destination.root(None)?;
    let index = fetch::index_if_usable(repository, chosen, directory.path(), observe).await?;
    let tars = fetch::tars(chosen, index, observe);
    let total_tar_bytes = tars.iter().map(StoredTar::tar_bytes).sum();
    let written = Arc::new(AtomicU64::new(0));
    let manifest = read_manifest(repository, chosen, observe).await?;
    let algorithm = manifest.as_ref().map(|manifest| manifest.algorithm);
    let mut extracted = Extracted::default();
    let buffers = Buffers::new();
    for mut tar in tars {
        let (name, members) = (tar.name(), tar.members.take());
        let extractor =
            Extractor::new(Arc::clone(destination), name, tar.tablespace, tablespaces, members, algorithm)?;
        let progress = || {
            let tar_bytes = written.load(Ordering::Relaxed);
            observe(RestoreEvent::Progress { tar_bytes, total_tar_bytes });
        };
        let written = Arc::clone(&written);
        extracted.add(write_tar(repository, tar, extractor, &buffers, written, &progress, observe).await?);
    }
    if let Some(manifest) = manifest {
        manifest.check(extracted.sum)?;
    }
    if extracted.differs_from_index {
        observe(RestoreEvent::Notice(
            "the backup's index doesn't list the same files as its data, so not every file could be compared with its \
             checksum; the stored data as a whole is what was backed up",
        ));
    }
    Ok(extracted)
}

/// Reads PostgreSQL's manifest, if the backup has one. A missing or damaged one isn't needed, as the stored data has
/// checksums of its own.
async fn read_manifest(
    repository: &Repository,
    chosen: &ChosenBackup,
    observe: Observe<'_>,
) -> Result<Option<Manifest>> {
    let Some(record) = &chosen.record else { return Ok(None) };
    match Manifest::read(repository, &record.objects).await {
        Err(error) if error.kind() == ErrorKind::Damaged => {
            observe(RestoreEvent::Notice(&format!(
                "restoring without comparing the files with PostgreSQL's manifest of the backup: {}",
                error.in_full()
            )));
            Ok(None)
        }
        read => read,
    }
}

async fn write_tar(
    repository: &Repository,
    tar: StoredTar,
    extractor: Extractor,
    buffers: &Buffers,
    written: Arc<AtomicU64>,
    progress: &(dyn Fn() + Send + Sync),
    observe: Observe<'_>,
) -> Result<Extracted> {
    let (sender, receiver) = mpsc::channel(fetch::PIECES_WAITING);
    let writing = blocking(move || extractor.extract(receiver, &written));
    let fetching = fetch::fetch(repository, tar, sender, buffers, progress, observe);
    // Both run to their ends, even if one fails: a writer that is still running would outlast the cleanup.
    let (fetched, extracted) = tokio::join!(fetching, writing);
    fetched.and(extracted)
}

/// Writes the files that make a cluster startable, in an order in which a kill does no harm.
fn finish(
    key: BackupKey,
    extracted: Extracted,
    destination: Arc<Destination>,
    tablespaces: Tablespaces,
    options: &RestoreOptions,
) -> Result<RestoreStats> {
    let lacks = |what: &str| Error::damaged(format!("backup {key}"), format!("it has no {what}"));
    let control = extracted.control.ok_or_else(|| lacks("global/pg_control"))?;
    let version = extracted.version.ok_or_else(|| lacks("PG_VERSION"))?;
    let label = extracted.label.ok_or_else(|| lacks("backup_label"))?;
    if let Some(map) = extracted.tablespace_map {
        let map = tablespaces.map(&map).map_err(|oid| {
            let reason = format!("its tablespace_map names a tablespace {oid} that it doesn't contain");
            Error::damaged(format!("backup {key}"), reason)
        })?;
        destination.write("tablespace_map", &map)?;
    }
    if !options.no_recovery {
        write_settings(&destination, &version, key, options)?;
    }
    destination.restrict(recovery::major(&version)?)?;
    destination.sync()?;
    destination.publish_control(&control, &label)?;
    destination.keep();
    let postgres_version = version.trim().to_owned();
    let Extracted { files, bytes, kept_files, fetched_bytes, .. } = extracted;
    Ok(RestoreStats { key, files, bytes, kept_files, fetched_bytes, postgres_version })
}

/// Writes the recovery settings.
fn write_settings(
    destination: &Destination,
    version: &str,
    key: BackupKey,
    options: &RestoreOptions,
) -> Result<()> {
    if options.standby {
        destination.drop_lines(recovery::AUTO_CONF, recovery::is_emptied_by_a_restore)?;
    }
    for file in recovery::files(version, key, options)? {
        match file.mode {
            recovery::Mode::Whole => destination.write(file.name, file.content.as_bytes())?,
            recovery::Mode::Added => destination.append(file.name, file.content.as_bytes())?,
        }
    }
    Ok(())
}
