//! Restores into directories that already contain files of the same cluster, or what an interrupted restore left.
//!
//! The backup's index says which content each file must have. A file that has it is kept, and of the others only those
//! frames of the tars are fetched that contain something of them. What isn't in the backup is removed. Before the first
//! change `global/pg_control` is removed, and the marker says whose files these are: a restore that is interrupted can't be
//! started, and the same command continues with what is there.
//!
//! A restore of some of the databases goes the same way, into an empty directory as well: it fetches nothing of the others.

mod clear;
mod compare;
mod content;
mod file;
mod listed;

use std::{
    collections::BTreeSet,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use swiftwal_postgres::tar_stream::MemberKind;
use tokio::sync::mpsc;

use self::{
    clear::{Clearing, Scope},
    compare::{Compared, compare},
    content::{ArrivingFrames, is_needed, write_content},
    file::{IndexedFile, Members},
    listed::ListedNames,
};
use super::{
    Observe, RestoreEvent, Written,
    claim::Reuse,
    copy::read_manifest,
    databases::ChosenDatabases,
    destination::Destination,
    extract::{Extracted, Extractor, Places},
    fetch::{self, Buffers, SelectedFrames, StoredTar},
    file_names::WAL,
    manifest::{Algorithm, RestoredFiles},
    tablespaces::Tablespaces,
};
use crate::{
    error::{Error, ErrorKind, Refusal, Result},
    local::blocking::blocking,
    repository::{Repository, backup::ChosenBackup, layout::BackupPart, record::BackupKind},
};

/// A request to end work in other threads.
#[derive(Clone, Debug, Default)]
struct Stop(Arc<AtomicBool>);

/// Ends the work when it is dropped.
#[derive(Debug)]
struct StopGuard(Stop);

impl Stop {
    /// Fails if the work must end.
    fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(Error::Stopped) } else { Ok(()) }
    }
}

impl Drop for StopGuard {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// A tar, the result of its comparison, and the frames to fetch.
#[derive(Debug)]
struct ComparedTar {
    tar: StoredTar,
    members: Members,
    compared: Compared,
    selected: SelectedFrames,
}

/// What is needed to write the tars.
#[derive(Clone, Debug)]
struct Work {
    destination: Arc<Destination>,
    tablespaces: Tablespaces,
    databases: Option<Arc<ChosenDatabases>>,
    /// The algorithm of PostgreSQL's manifest, if there is one.
    algorithm: Option<Algorithm>,
    stop: Stop,
}

/// Refuses to reuse files, or to restore only some of the databases, for a backup without an index, and for an incremental
/// one.
pub(super) fn check(chosen: &ChosenBackup, reuse: Reuse, has_databases: bool) -> Result<()> {
    if reuse == Reuse::Nothing && !has_databases {
        return Ok(());
    }
    let key = chosen.key;
    if chosen.record.as_ref().is_some_and(|record| record.kind == BackupKind::Incremental) {
        return Err(Error::Refused(Refusal::destination(
            format!(
                "backup {key} is incremental, and --delta, --resume and --database restore full backups only"
            ),
            "give the key of the full backup that list-backups shows above it: with the same target, recovery reaches the \
             same point; or restore into an empty directory, without these options",
        )));
    }
    let objects = chosen.record.iter().flat_map(|record| &record.objects);
    let has_index = objects.into_iter().any(|object| object.part() == Some(BackupPart::Index));
    if has_index { Ok(()) } else { Err(without_index(&format!("backup {key} has no index"))) }
}

fn without_index(reason: &str) -> Error {
    Error::Refused(Refusal::destination(
        format!("{reason}, and without it swiftwal can't tell which files to fetch"),
        "restore into an empty directory, without --delta, --resume and --database",
    ))
}

/// Writes every file but `pg_control`, and removes what isn't in the backup.
pub(super) async fn write_tars(
    repository: &Repository,
    chosen: &ChosenBackup,
    destination: &Arc<Destination>,
    tablespaces: &Tablespaces,
    databases: Option<ChosenDatabases>,
    observe: Observe<'_>,
) -> Result<Written> {
    let tars = indexed_tars(repository, chosen, destination).await?;
    let directory = destination.root(None)?;
    let record = chosen.record.as_ref();
    // PostgreSQL's manifest would list the files of the other databases with their content.
    let kept = Some(directory.path()).filter(|_| databases.is_none());
    let manifest = read_manifest(repository, record, kept, databases.as_ref(), observe).await?;
    let work = Work {
        destination: Arc::clone(destination),
        tablespaces: tablespaces.clone(),
        databases: databases.map(Arc::new),
        algorithm: manifest.as_ref().map(|manifest| manifest.algorithm),
        stop: Stop::default(),
    };
    let _guard = StopGuard(work.stop.clone());
    let prepared = work.clone();
    let tars = blocking(move || prepared.prepare(tars)).await?;
    let total_tar_bytes = Some(tars.iter().map(|tar| tar.selected.tar_bytes()).sum());
    let written = Arc::new(AtomicU64::new(0));
    let progress = || {
        let tar_bytes = written.load(Ordering::Relaxed);
        observe(RestoreEvent::Progress { tar_bytes, total_tar_bytes });
    };
    let (mut extracted, buffers) = (Extracted::default(), Buffers::new());
    for tar in tars {
        extracted.add(work.write(repository, tar, &buffers, &written, &progress).await?);
    }
    if extracted.differs_from_index {
        let reason =
            "it was another when it was read again, so not every file was compared with its checksum";
        return Err(Error::damaged("the copy of the backup's index", reason));
    }
    if let Some(manifest) = &manifest {
        manifest.check(extracted.sum)?;
    }
    Ok(Written { extracted, manifest, combined: None })
}

/// Returns the tars of the backup with their index.
async fn indexed_tars(
    repository: &Repository,
    chosen: &ChosenBackup,
    destination: &Arc<Destination>,
) -> Result<Vec<StoredTar>> {
    let directory = destination.root(None)?;
    let index = fetch::index(repository, chosen, directory.path()).await.map_err(|error| {
        if error.kind() == ErrorKind::Damaged { without_index(&error.in_full()) } else { error }
    })?;
    let tars = fetch::tars(chosen, Some(index), &|_| {});
    match tars.iter().find(|tar| tar.members.is_none()) {
        Some(tar) => Err(without_index(&format!("the backup's index doesn't fit {}", tar.name()))),
        None => Ok(tars),
    }
}

impl Work {
    /// Removes what isn't in the backup, and compares what remains.
    fn prepare(self, tars: Vec<StoredTar>) -> Result<Vec<ComparedTar>> {
        if self.destination.is_reused() {
            self.clear_all(&tars)?;
        }
        tars.into_iter().map(|tar| self.compare(tar)).collect()
    }

    /// Begins to change the directories: removes what isn't in the backup.
    fn clear_all(&self, tars: &[StoredTar]) -> Result<()> {
        let tablespaces: BTreeSet<_> = tars.iter().map(|tar| tar.tablespace).collect();
        let mut listed = Vec::new();
        for tablespace in tablespaces {
            // The tars of in-place tablespaces belong into the data directory, too.
            let tars = tars.iter().filter(|tar| tar.tablespace == tablespace);
            let members = tars.filter_map(|tar| self.members(tar)).flatten();
            listed.push((tablespace, ListedNames::collect(members)?));
        }
        for (tablespace, listed) in &listed {
            self.clearings(*tablespace, listed)?.try_for_each(|mut clearing| clearing.check(b""))?;
        }
        self.destination.begin_changes()?;
        for (tablespace, listed) in &listed {
            self.clearings(*tablespace, listed)?.try_for_each(|mut clearing| clearing.clear(b""))?;
        }
        Ok(())
    }

    fn members(&self, tar: &StoredTar) -> Option<Members> {
        let members = tar.members.as_ref()?.again();
        let databases = self.databases.clone();
        Some(Members::new(members, tar.name(), tar.tablespace, &self.tablespaces, databases))
    }

    /// Returns the directories of a tar, to remove what isn't in the backup.
    fn clearings<'a>(
        &'a self,
        tablespace: Option<u32>,
        listed: &'a ListedNames,
    ) -> Result<impl Iterator<Item = Clearing<'a>>> {
        let wal = self.destination.wal_root().filter(|_| tablespace.is_none());
        let scope = match tablespace {
            None => Scope::Data { has_wal_link: wal.is_some() },
            Some(_) => Scope::Tablespace(&self.tablespaces),
        };
        let root = self.destination.root(tablespace)?;
        let name = WAL.into_iter().find(|name| listed.contains(name, super::created::Kind::Directory));
        let wal = wal.map(|root| (root, Scope::Wal(name.unwrap_or_default())));
        let places = std::iter::once((root, scope)).chain(wal);
        Ok(places.map(|(root, scope)| Clearing { root, scope, listed, stop: &self.stop }))
    }

    fn compare(&self, mut tar: StoredTar) -> Result<ComparedTar> {
        let members = self.members(&tar).ok_or(Error::Stopped)?;
        let places = Places::for_tar(&self.destination, tar.tablespace)?;
        let sums = RestoredFiles::new(self.algorithm, tar.tablespace);
        let compared = if self.destination.is_reused() {
            compare(&places, members.again().files(), &sums, &self.stop)?
        } else {
            Compared::default()
        };
        let object = tar.name();
        let needed = members.again().files().filter_map(|file| match file {
            Ok(file) if file.has_content() && is_needed(compared.needed.as_deref(), file.number) => {
                Some(file.content(&object))
            }
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        });
        let selected = tar.select(needed)?;
        Ok(ComparedTar { tar, members, compared, selected })
    }

    /// Fetches and writes what a tar's directories lack.
    async fn write(
        &self,
        repository: &Repository,
        tar: ComparedTar,
        buffers: &Buffers,
        written: &Arc<AtomicU64>,
        progress: &(dyn Fn() + Send + Sync),
    ) -> Result<Extracted> {
        let ComparedTar { tar, members, compared, selected } = tar;
        let destination = Arc::clone(&self.destination);
        let (tar, extractor) = Extractor::new(destination, tar, &self.tablespaces, self.algorithm, None)?;
        let (sender, receiver) = mpsc::channel(fetch::PIECES_WAITING);
        let written = Arc::clone(written);
        let writing = blocking(move || {
            let frames = ArrivingFrames::new(receiver, selected.frames, &written);
            let mut extracted = write_content(extractor, members, compared.needed.as_deref(), frames)?;
            extracted.sum += compared.kept;
            extracted.fetched_bytes = Some(selected.stored_bytes);
            Ok(extracted)
        });
        let fetching = fetch::fetch_selected(repository, tar, sender, buffers, progress);
        // Both run to their ends, even if one fails: a writer that is still running would outlast the destination.
        let (fetched, extracted) = tokio::join!(fetching, writing);
        fetched.and(extracted)
    }
}

impl IndexedFile {
    /// Returns where the file's content is in the tar `object`.
    fn content(&self, object: &str) -> Result<Range<u64>> {
        debug_assert_eq!(self.member.kind, MemberKind::File);
        let end = self.member.offset.checked_add(self.member.bytes);
        let end = end.ok_or_else(|| Error::damaged(object, "its index has a file of an impossible size"))?;
        Ok(self.member.offset..end)
    }
}
