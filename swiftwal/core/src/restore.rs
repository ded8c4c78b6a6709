//! restore: commit record → ranges, fetched and decompressed in parallel → files → recovery settings → pg_control.

mod choose;
mod destination;
mod extract;
mod fetch;
mod recovery;
mod root;
mod tablespaces;
mod target;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::mpsc;

pub use self::{
    choose::{BackupChoice, ChosenBackup},
    recovery::{RecoveryTarget, TargetAction, TargetTimeline},
    target::parse_target_time,
};
use self::{
    destination::Destination,
    extract::{Extracted, Extractor},
    fetch::StoredTar,
    tablespaces::Tablespaces,
};
use crate::{BackupKey, Error, Repository, Result, blocking::blocking};

/// How a backup is to be restored.
#[derive(Clone, Debug, Default)]
pub struct RestoreOptions {
    /// Where recovery shall end; none for the end of the WAL.
    pub target: Option<RecoveryTarget>,
    /// Which timeline recovery shall follow; none for what the version of PostgreSQL does by itself.
    pub target_timeline: Option<TargetTimeline>,
    /// What PostgreSQL shall do at the target; none for what it does by itself.
    pub target_action: Option<TargetAction>,
    /// Where tablespaces shall lie: from where they lay, to where they go.
    pub tablespace_mapping: Vec<(PathBuf, PathBuf)>,
    /// Whether the restored server shall stay a standby.
    pub standby: bool,
    /// The command by which PostgreSQL fetches WAL, with its `%f` and `%p`.
    pub restore_command: String,
}

/// What happens during a restore.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum RestoreEvent<'a> {
    /// This backup is going to be restored.
    Chosen(&'a ChosenBackup),
    /// Something the administrator should know.
    Notice(&'a str),
    /// More of it is written.
    Progress {
        /// What was written so far, as bytes of tar.
        tar_bytes: u64,
        /// What there is in all, where that is known.
        total_tar_bytes: Option<u64>,
    },
}

type Observe<'a> = &'a (dyn Fn(RestoreEvent<'_>) + Send + Sync);

/// What a restore came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestoreStats {
    /// The backup that was restored.
    pub key: BackupKey,
    /// How many files were written.
    pub files: u64,
    /// How many bytes they have.
    pub bytes: u64,
}

/// Restores a backup into `directory`, which must be empty or absent, as each tablespace's directory must.
///
/// When it returns, everything is durable, and PostgreSQL can be started there: it will recover to the target. The
/// recovery settings are written before `global/pg_control`, and that comes last, so an interrupted restore can't be
/// started by mistake. When it fails or is dropped, what it wrote is removed; dropped in the very last step, it may
/// complete instead. The removal happens on a blocking thread: a program must not exit before its runtime has ended.
///
/// Run as root, everything belongs to the owner of `directory`, or of its parent if it wasn't there.
///
/// # Errors
/// [`Error::UnknownBackup`], [`Error::Refused`] for a directory with content or a target that can't be reached,
/// [`Error::Damaged`] for a backup that isn't what was stored.
pub async fn restore(
    repository: &Repository,
    choice: BackupChoice,
    directory: &Path,
    options: &RestoreOptions,
    observe: Observe<'_>,
) -> Result<RestoreStats> {
    let chosen = choose::choose(repository, choice, options, observe).await?;
    chosen.refuse_incremental()?;
    let tablespaces = Tablespaces::plan(&chosen, &options.tablespace_mapping)?;
    let destination = Destination::prepare(directory, &tablespaces)?;
    observe(RestoreEvent::Chosen(&chosen));
    let extracted = write_tars(repository, &chosen, &destination, &tablespaces, observe).await?;
    let options = options.clone();
    blocking(move || finish(chosen.key, extracted, destination, tablespaces, &options)).await
}

/// Writes every file but `pg_control`.
async fn write_tars(
    repository: &Repository,
    chosen: &ChosenBackup,
    destination: &Arc<Destination>,
    tablespaces: &Tablespaces,
    observe: Observe<'_>,
) -> Result<Extracted> {
    let tars = fetch::tars(repository, chosen, observe).await?;
    let total_tar_bytes = tars.iter().map(|tar| tar.tar_bytes).sum();
    let written = Arc::new(AtomicU64::new(0));
    let mut extracted = Extracted::default();
    for tar in tars {
        let extractor = Extractor::new(Arc::clone(destination), tar.tablespace, tablespaces)?;
        let progress = || {
            let tar_bytes = written.load(Ordering::Relaxed);
            observe(RestoreEvent::Progress { tar_bytes, total_tar_bytes });
        };
        extracted.add(write_tar(repository, tar, extractor, Arc::clone(&written), &progress).await?);
    }
    Ok(extracted)
}

async fn write_tar(
    repository: &Repository,
    tar: StoredTar,
    extractor: Extractor,
    written: Arc<AtomicU64>,
    progress: &(dyn Fn() + Send + Sync),
) -> Result<Extracted> {
    let (sender, receiver) = mpsc::channel(fetch::PIECES_WAITING);
    let writing = blocking(move || extractor.extract(receiver, &written));
    let fetching = fetch::fetch(repository, tar, sender, progress);
    // Both to their ends, whichever fails: a writer still at work would come after whoever cleans up.
    let (fetched, extracted) = tokio::join!(fetching, writing);
    fetched.and(extracted)
}

/// Writes what makes the files a cluster that can be started, in the order that makes a kill harmless.
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
    if let Some(map) = extracted.tablespace_map {
        destination.write("tablespace_map", tablespaces.map_text(&map).as_bytes())?;
    }
    for file in recovery::files(&version, key, options)? {
        match file.mode {
            recovery::Mode::Whole => destination.write(file.name, file.content.as_bytes())?,
            recovery::Mode::Added => destination.append(file.name, file.content.as_bytes())?,
        }
    }
    destination.sync()?;
    destination.publish_control(&control)?;
    destination.keep();
    Ok(RestoreStats { key, files: extracted.files, bytes: extracted.bytes })
}
