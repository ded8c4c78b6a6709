//! info: what a repository contains, and what can be done with it, from one listing.
//!
//! What can't be read is in the report, and everything else is there all the same: it is read on the worst day.

mod backups;
mod continuity;
mod report;
mod wal;
mod windows;

use std::path::Path;

use futures::join;
use jiff::Timestamp;

pub use self::report::{
    BackupInfo, Hole, Info, Kept, PassedProof, ReadyFiles, RecoveryWindow, RestoreForecast, TimelineInfo,
};
use self::{
    backups::{Backups, forecast},
    continuity::Way,
    wal::Wal,
    windows::windows,
};
use crate::{
    error::{Error, ErrorKind, Result},
    local::{archive_status::count_waiting, blocking::blocking},
    repository::{
        Repository,
        backup_tree::BackupTree,
        cluster::ClusterIdentity,
        gap::WalGap,
        inventory::Inventory,
        key::BackupKey,
        pin::Pins,
        proof::{Proof, ProofKind, Proofs},
        record::BackupRecord,
        timelines::{Content, Timelines, with_records},
    },
};

/// Everything that the report is made from.
struct Read {
    location: String,
    at: Timestamp,
    cluster: Option<ClusterIdentity>,
    inventory: Inventory,
    timelines: Timelines,
    pins: Pins,
    proofs: Proofs,
    gaps: Vec<WalGap>,
    ready: Option<ReadyFiles>,
    errors: Vec<Error>,
}

/// Reports what the repository contains. `data_directory` is that of the server, if it is on this machine.
///
/// # Errors
///
/// Those of the storage, [`Error::NoRepository`], [`Error::NewerFormat`] and [`Error::NotUnderstood`] for the repository
/// itself, and [`Error::Local`] if the data directory can't be read. What else is damaged or can't be read is in the
/// report.
pub async fn info(repository: &Repository, data_directory: Option<&Path>) -> Result<Info> {
    Ok(report(Box::pin(read(repository, data_directory)).await?))
}

async fn read(repository: &Repository, data_directory: Option<&Path>) -> Result<Read> {
    let ready = match data_directory {
        Some(directory) => Some(ready(repository, directory).await?),
        None => None,
    };
    let mut errors = Vec::new();
    let cluster = match repository.cluster_if_readable().await? {
        Ok(cluster) => cluster,
        Err(error) => {
            errors.push(error);
            None
        }
    };
    let mut inventory = repository.inventory().await?;
    let records = repository.read_records(&mut inventory, cluster.as_ref()).await;
    let backups = with_records(repository, &inventory, records).await?;
    let timelines = Timelines::of(repository, &inventory, cluster.as_ref(), backups).await?;
    let (pins, proofs, gaps, at) = join!(
        repository.pins(&inventory),
        repository.proofs(&inventory),
        repository.gaps(&inventory),
        now(repository)
    );
    let gaps = match gaps {
        Err(error) if error.kind() != ErrorKind::Failed => {
            errors.push(error);
            Vec::new()
        }
        gaps => gaps?,
    };
    Ok(Read {
        location: repository.location().to_owned(),
        at,
        cluster: cluster.map(|cluster| cluster.identity),
        timelines,
        pins: pins?,
        proofs: proofs?,
        gaps,
        ready,
        errors,
        inventory,
    })
}

/// Returns the storage's time; this machine's if the storage can't be asked without writing an object, or fails.
async fn now(repository: &Repository) -> Timestamp {
    repository.storage_now_if_told().await.unwrap_or_else(|| repository.clock().now())
}

/// Looks for what waits to be archived in a data directory.
async fn ready(repository: &Repository, data_directory: &Path) -> Result<ReadyFiles> {
    let (directory, now) = (data_directory.to_owned(), repository.clock().now());
    let waiting = blocking(move || {
        let pg_wal = directory.join("pg_wal");
        count_waiting(&pg_wal).map_err(Error::local("read", pg_wal.join("archive_status")))
    });
    let waiting = waiting.await?;
    let age = |oldest| u64::try_from(now.duration_since(oldest).as_secs()).unwrap_or(0);
    Ok(ReadyFiles {
        data_directory: data_directory.to_owned(),
        files: waiting.files,
        oldest_seconds: waiting.oldest.map(age),
    })
}

fn report(read: Read) -> Info {
    let Read { location, at, cluster, inventory, timelines, pins, proofs, gaps, ready, errors } = read;
    let records = timelines.backups.iter().filter_map(|backup| backup.backup()?.record.as_ref());
    let records: Vec<&BackupRecord> = records.collect();
    let keys = inventory.backups.iter().map(|backup| backup.key);
    let tree = &BackupTree::new(keys, records.iter().copied());
    let main = timelines.main_tip();
    let way = main.map(|tip| Way::to(&timelines, tip));
    let backups = Backups {
        inventory: &inventory,
        timelines: &timelines,
        tree,
        pins: &pins,
        proofs: &proofs,
        way: way.as_ref(),
        now: at,
    };
    let restorable = backups.restorable();
    let newest = restorable.iter().map(|(record, _)| *record).max_by_key(|record| record.finished);
    let wal = Wal { inventory: &inventory, timelines: &timelines, records: &records, gaps: &gaps };
    let notices = inventory.foreign.iter().chain(&proofs.notices).cloned();
    let notices = notices.chain(pins.notices()).chain(timelines.histories.notices()).collect();
    let info = Info {
        location,
        at,
        cluster,
        stored_bytes: inventory.stored_bytes(),
        timeline: main,
        recovery_windows: way.as_ref().map(|way| windows(way, &restorable)).unwrap_or_default(),
        timelines: wal.timelines(),
        backups: backups.describe_all(),
        last_drill: proofs.last_passed(ProofKind::Drill).map(passed),
        last_verify: proofs.last_passed(ProofKind::Verify).map(passed),
        restore_forecast: newest.and_then(|newest| forecast(newest, &proofs, &records, tree)),
        ready,
        notices,
        errors,
    };
    let unreadable = timelines.backups.into_iter().filter_map(|backup| match backup.content {
        Content::Unreadable(error) => Some(error),
        Content::Backup(_) | Content::NoBackup(_) => None,
    });
    Info { errors: info.errors.into_iter().chain(unreadable).collect(), ..info }
}

fn passed((backup, proof): (BackupKey, &Proof)) -> PassedProof {
    PassedProof { backup, at: proof.at, seconds: proof.seconds }
}
