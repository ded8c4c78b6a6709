//! Restores into directories that already contain files of the same cluster, or what an interrupted restore left.
//!
//! The backup's index says which content each file must have. A file that has it is kept, and of the others only those
//! frames of the tars are fetched that contain something of them. What isn't in the backup is removed. Before the first
//! change `global/pg_control` is removed, and the marker says whose files these are: a restore that is interrupted can't be
//! started, and the same command continues with what is there.
//!
//! Of an incremental backup, the content of a file is known beforehand if it is that of an older backup, unchanged
//! ([`unchanged`]). The others are combined as by any other restore; of the older backups, only what they need is fetched.
//!
//! A restore of some of the databases goes the same way, into an empty directory as well: it fetches nothing of the others,
//! or, of an incremental backup, only what says how large their files are.

mod clear;
mod compare;
mod content;
mod existing;
mod fetcher;
mod file;
mod known_content;
mod listed;
mod selection;
mod unchanged;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

pub use self::existing::ExistingFiles;
use self::{
    clear::{Clearing, Scope},
    compare::{Compared, compare},
    content::{ArrivingFrames, read_older, write_content},
    fetcher::Fetcher,
    file::{Files, Members},
    known_content::UnchangedFiles,
    listed::ListedNames,
    selection::SelectedTar,
};
use super::{
    Observe, Written,
    chain::ChangedFiles,
    claim::Reuse,
    combine::ChainChecks,
    copy::read_manifest,
    databases::ChosenDatabases,
    destination::Destination,
    extract::{Extracted, Extractor, OlderTar, Places},
    tablespaces::Tablespaces,
};
use crate::{
    error::{Error, ErrorKind, Refusal, Result},
    local::blocking::blocking,
    repository::{
        Repository,
        backup::ChosenBackup,
        fetch::{self, StoredTar},
        file_names::WAL,
        key::BackupKey,
        layout::BackupPart,
        manifest::{Algorithm, RestoredFiles},
        record::BackupRecord,
    },
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

/// The tars of a backup and of those that it builds on.
#[derive(Debug)]
struct Chain<T> {
    key: BackupKey,
    tars: Vec<T>,
    /// The older backups, the newest first; none for a full backup.
    older: Vec<(BackupRecord, Vec<T>)>,
}

/// What is needed to write the tars.
#[derive(Clone, Debug)]
struct Work {
    destination: Arc<Destination>,
    tablespaces: Tablespaces,
    databases: Option<Arc<ChosenDatabases>>,
    /// What is known of the files of an incremental backup; none for a full one.
    unchanged: Option<Arc<UnchangedFiles>>,
    /// The files that are combined; none for a full backup.
    changed: Option<Arc<ChangedFiles>>,
    /// The algorithm of PostgreSQL's manifest, if there is one.
    algorithm: Option<Algorithm>,
    stop: Stop,
}

/// Refuses to reuse files, or to restore only some of the databases, for a backup without an index, or one that builds on
/// such a backup.
pub(super) fn check(
    chosen: &ChosenBackup,
    parents: &[BackupRecord],
    reuse: Reuse,
    has_databases: bool,
) -> Result<()> {
    if reuse == Reuse::Nothing && !has_databases {
        return Ok(());
    }
    let has_index =
        |record: &BackupRecord| record.objects.iter().any(|object| object.part() == Some(BackupPart::Index));
    let without = match &chosen.record {
        Some(record) => std::iter::once(record).chain(parents).find(|record| !has_index(record)),
        None => return Err(without_index(&format!("backup {} has no index", chosen.key))),
    };
    without.map_or(Ok(()), |record| Err(without_index(&format!("backup {} has no index", record.key))))
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
    (chosen, parents): (&ChosenBackup, Vec<BackupRecord>),
    destination: &Arc<Destination>,
    tablespaces: &Tablespaces,
    databases: Option<ChosenDatabases>,
    observe: Observe<'_>,
) -> Result<Written> {
    let directory = destination.root(None)?;
    let chain = Chain::read(repository, chosen, parents, directory.path()).await?;
    let record = chosen.record.as_ref();
    // PostgreSQL's manifest would list the files of the other databases with their content.
    let kept = Some(directory.path()).filter(|_| databases.is_none());
    let manifest = read_manifest(repository, record, kept, databases.as_ref(), observe).await?;
    let work = Work {
        destination: Arc::clone(destination),
        tablespaces: tablespaces.clone(),
        databases: databases.map(Arc::new),
        unchanged: None,
        changed: (!chain.older.is_empty()).then(Arc::default),
        algorithm: manifest.as_ref().map(|manifest| manifest.algorithm),
        stop: Stop::default(),
    };
    let _guard = StopGuard(work.stop.clone());
    let prepared = work.clone();
    let chain = blocking(move || prepared.prepare(chain)).await?;
    let fetcher = Fetcher::new(repository, chain.all().map(|tar| tar.selected.tar_bytes()).sum(), observe);
    let Chain { key, tars, older } = chain;
    let (mut extracted, mut combined) = (Extracted::default(), BTreeMap::new());
    for mut tar in tars {
        combined.append(&mut tar.compared.complete);
        extracted.add(work.write(&fetcher, tar).await?);
    }
    refuse_other_index(&extracted)?;
    if let Some(manifest) = &manifest {
        manifest.check(extracted.sum)?;
    }
    let Some(changed) = &work.changed else { return Ok(Written { extracted, manifest, combined: None }) };
    let (records, older) = older.into_iter().unzip();
    let mut checks = ChainChecks::begin(key, &extracted, records)?;
    for (number, tars) in (1..).zip::<Vec<_>>(older) {
        let older = work.read_older(&fetcher, number, tars, changed).await?;
        checks.check(number, &older, changed)?;
        extracted.add_fetched(older.fetched_bytes);
    }
    checks.finish(changed, observe)?;
    let complete = changed.take_complete();
    extracted.bytes += complete.values().map(|file| file.bytes).sum::<u64>();
    combined.extend(complete);
    Ok(Written { extracted, manifest, combined: Some(combined) })
}

/// Returns what is known of the files in the data directory without reading them. The text of the indexes is kept in the
/// directory for temporary files meanwhile.
///
/// # Errors
///
/// As [`write_tars`], before it changes anything.
pub(super) async fn look(
    repository: &Repository,
    (chosen, parents): (&ChosenBackup, Vec<BackupRecord>),
    destination: Arc<Destination>,
    tablespaces: &Tablespaces,
    databases: Option<ChosenDatabases>,
) -> Result<ExistingFiles> {
    let chain = Chain::read(repository, chosen, parents, &std::env::temp_dir()).await?;
    let work = Work {
        destination,
        tablespaces: tablespaces.clone(),
        databases: databases.map(Arc::new),
        unchanged: None,
        changed: None,
        algorithm: None,
        stop: Stop::default(),
    };
    let _guard = StopGuard(work.stop.clone());
    blocking(move || work.look(chain)).await
}

/// Fails if an index had other files when it was read again.
fn refuse_other_index(read: &Extracted) -> Result<()> {
    if !read.differs_from_index {
        return Ok(());
    }
    let reason = "it was another when it was read again, so not every file was compared with its checksum";
    Err(Error::damaged("the copy of the backup's index", reason))
}

impl<T> Chain<T> {
    /// Returns the tars of all backups.
    fn all(&self) -> impl Iterator<Item = &T> {
        self.tars.iter().chain(self.older.iter().flat_map(|(_, tars)| tars))
    }
}

impl Chain<StoredTar> {
    /// Reads the indexes of a backup and of its parents, whose text is kept in files without names in `directory`.
    async fn read(
        repository: &Repository,
        chosen: &ChosenBackup,
        parents: Vec<BackupRecord>,
        directory: &Path,
    ) -> Result<Self> {
        let tars = indexed_tars(repository, chosen, directory).await?;
        let mut older = Vec::new();
        for record in parents {
            let backup = ChosenBackup { key: record.key, record: Some(record.clone()) };
            older.push((record, indexed_tars(repository, &backup, directory).await?));
        }
        Ok(Self { key: chosen.key, tars, older })
    }
}

/// Returns the tars of a backup with their index.
async fn indexed_tars(
    repository: &Repository,
    chosen: &ChosenBackup,
    directory: &Path,
) -> Result<Vec<StoredTar>> {
    let index = fetch::index(repository, chosen, directory).await.map_err(|error| {
        if error.kind() == ErrorKind::Damaged { without_index(&error.in_full()) } else { error }
    })?;
    let tars = fetch::tars(chosen, Some(index), &|_| {});
    match tars.iter().find(|tar| tar.members.is_none()) {
        Some(tar) => Err(without_index(&format!("the backup's index doesn't fit {}", tar.name()))),
        None => Ok(tars),
    }
}

impl Work {
    /// Removes what isn't in the backup, compares what remains, and selects what must be fetched.
    fn prepare(mut self, chain: Chain<StoredTar>) -> Result<Chain<SelectedTar>> {
        self.find_unchanged(&chain)?;
        if self.destination.is_reused() {
            let listed = self.listed(&chain.tars)?;
            self.check_removed(&listed)?;
            self.destination.begin_changes()?;
            for (tablespace, listed) in &listed {
                self.clearings(*tablespace, listed)?.try_for_each(|mut clearing| clearing.clear(b""))?;
            }
        }
        self.select(chain, |tar, files| {
            if !self.destination.is_reused() {
                return Ok(Compared::default());
            }
            let places = Places::for_tar(&self.destination, tar.tablespace)?;
            compare(&places, files, &RestoredFiles::new(self.algorithm, tar.tablespace), &self.stop)
        })
    }

    /// Returns what is known of the existing files by their sizes, and changes nothing.
    fn look(mut self, chain: Chain<StoredTar>) -> Result<ExistingFiles> {
        self.find_unchanged(&chain)?;
        self.check_removed(&self.listed(&chain.tars)?)?;
        let mut existing = ExistingFiles::default();
        let chain = self.select(chain, |tar, files| {
            let places = Places::for_tar(&self.destination, tar.tablespace).ok();
            existing.add(places, files, &self.stop)
        })?;
        existing.stored_bytes = chain.all().map(|tar| tar.selected.stored_bytes).sum();
        Ok(existing)
    }

    /// Finds what is known of the files of an incremental backup.
    fn find_unchanged(&mut self, chain: &Chain<StoredTar>) -> Result<()> {
        let Chain { key, tars, older } = chain;
        if older.is_empty() {
            return Ok(());
        }
        let files =
            |tars: &[StoredTar]| tars.iter().filter_map(|tar| Some(self.indexed(tar)?.files())).collect();
        let older = older.iter().map(|(record, tars)| (record.key, files(tars))).collect();
        let unchanged = UnchangedFiles::find((*key, files(tars)), older, &self.stop)?;
        self.unchanged = Some(Arc::new(unchanged));
        Ok(())
    }

    /// Selects what must be fetched after `compare` has compared the files of each tar.
    fn select(
        &self,
        chain: Chain<StoredTar>,
        mut compare: impl FnMut(&StoredTar, Files) -> Result<Compared>,
    ) -> Result<Chain<SelectedTar>> {
        let Chain { key, tars, older } = chain;
        let tars = tars.into_iter().map(|tar| {
            let members = self.members(&tar).ok_or(Error::Stopped)?;
            let compared = compare(&tar, members.again().files())?;
            SelectedTar::new(tar, members, compared)
        });
        let tars = tars.collect::<Result<Vec<_>>>()?;
        let mut combined = BTreeSet::new();
        tars.iter().try_for_each(|tar| tar.add_combined(&mut combined))?;
        let mut select = |tar: StoredTar| {
            let members = self.indexed(&tar).ok_or(Error::Stopped)?;
            SelectedTar::of_older(tar, members, &mut combined)
        };
        let older = older.into_iter().map(|(record, tars)| {
            Ok((record, tars.into_iter().map(&mut select).collect::<Result<Vec<_>>>()?))
        });
        let older = older.collect::<Result<Vec<_>>>()?;
        Ok(Chain { key, tars, older })
    }

    /// Returns the names in each directory that exists.
    fn listed(&self, tars: &[StoredTar]) -> Result<Vec<(Option<u32>, ListedNames)>> {
        let tablespaces: BTreeSet<_> = tars.iter().map(|tar| tar.tablespace).collect();
        let existing =
            tablespaces.into_iter().filter(|tablespace| self.destination.root(*tablespace).is_ok());
        existing
            .map(|tablespace| {
                // The tars of in-place tablespaces belong into the data directory, too.
                let tars = tars.iter().filter(|tar| tar.tablespace == tablespace);
                let members = tars.filter_map(|tar| self.members(tar)).flatten();
                Ok((tablespace, ListedNames::collect(members)?))
            })
            .collect()
    }

    /// Refuses to remove what isn't the cluster's.
    fn check_removed(&self, listed: &[(Option<u32>, ListedNames)]) -> Result<()> {
        for (tablespace, listed) in listed {
            self.clearings(*tablespace, listed)?.try_for_each(|mut clearing| clearing.check(b""))?;
        }
        Ok(())
    }

    /// Returns the members of a tar as they are stored.
    fn indexed(&self, tar: &StoredTar) -> Option<Members> {
        let members = tar.members.as_ref()?.again();
        Some(Members::new(members, tar.name(), tar.tablespace, &self.tablespaces))
    }

    /// Returns the members of a tar of the backup that is restored.
    fn members(&self, tar: &StoredTar) -> Option<Members> {
        let members = self.indexed(tar)?.with_unchanged(self.unchanged.clone());
        Some(members.with_databases(self.databases.clone()))
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

    /// Fetches and writes what a tar's directories lack.
    async fn write(&self, fetcher: &Fetcher<'_>, tar: SelectedTar) -> Result<Extracted> {
        let SelectedTar { tar, members, compared, selected } = tar;
        let destination = Arc::clone(&self.destination);
        let (changed, databases) = (self.changed.clone(), self.databases.clone());
        let (tar, extractor) =
            Extractor::new(destination, tar, &self.tablespaces, self.algorithm, changed, databases)?;
        let write = move |frames: ArrivingFrames<'_>| {
            let mut extracted = write_content(extractor, members, compared.needed.as_deref(), frames)?;
            extracted.sum += compared.kept;
            Ok(extracted)
        };
        fetcher.fetch(tar, selected, write).await
    }

    /// Fetches what is needed of the older backup with this number, and fills the `changed` files.
    async fn read_older(
        &self,
        fetcher: &Fetcher<'_>,
        number: u32,
        tars: Vec<SelectedTar>,
        changed: &Arc<ChangedFiles>,
    ) -> Result<Extracted> {
        let mut read = Extracted::default();
        for SelectedTar { mut tar, members, compared, selected } in tars {
            let destination = Arc::clone(&self.destination);
            // The algorithm is that of the result's manifest, for the files that this backup has completely.
            let older = OlderTar::new(destination, &mut tar, number, Arc::clone(changed), self.algorithm)?;
            let write = move |frames: ArrivingFrames<'_>| {
                read_older(older, members, compared.needed.as_deref(), frames)
            };
            read.add(fetcher.fetch(tar, selected, write).await?);
        }
        refuse_other_index(&read)?;
        Ok(read)
    }
}
