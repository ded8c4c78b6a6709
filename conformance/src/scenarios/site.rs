//! Helpers that the scenarios share: a cluster that archives, backs up and restores.

use std::{
    fs,
    future::pending,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;
use jiff::SignedDuration;
use swiftwal_compression::Codec;
use swiftwal_core::{
    ArchiveOptions, Archived, BackupChoice, BackupEvent, BackupKey, BackupMode, BackupOptions, BackupRecord,
    Error, Repository, RestoreEvent, RestoreOptions, RestoreStats, archive_wal, backup, plan_restore,
    restore, restore_wal,
};
use swiftwal_postgres::{BaseBackupRequest, BaseBackupSource, Checkpoint, WalName};
use tokio::sync::mpsc;

use crate::{Entry, SyntheticCluster, SyntheticSource, Tree, subject::Subject};

/// A repository under test, and the cluster that uses it.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) subject: Subject,
    pub(super) repository: Repository,
    pub(super) cluster: SyntheticCluster,
}

impl Site {
    pub(super) fn new(subject: Subject) -> Result<Self> {
        Self::of(subject, SyntheticCluster::new(1))
    }

    pub(super) fn of(subject: Subject, cluster: SyntheticCluster) -> Result<Self> {
        let repository = subject.repository()?;
        Ok(Self { subject, repository, cluster })
    }

    /// Starts a backup of `source`, which must stall, and awaits `work` when an event `is_reached`. The backup is then
    /// abandoned.
    pub(super) async fn during_backup<T>(
        &self,
        source: &SyntheticSource,
        is_reached: impl Fn(&BackupEvent<'_>) -> bool + Sync,
        work: impl Future<Output = T>,
    ) -> T {
        self.during_backup_with(&options(), source, is_reached, work).await
    }

    /// As [`during_backup`](Self::during_backup), with these options.
    pub(super) async fn during_backup_with<T>(
        &self,
        options: &BackupOptions,
        source: &SyntheticSource,
        is_reached: impl Fn(&BackupEvent<'_>) -> bool + Sync,
        work: impl Future<Output = T>,
    ) -> T {
        let (sender, mut reached) = mpsc::unbounded_channel();
        let observe = |event: BackupEvent<'_>| {
            if is_reached(&event) {
                let _ = sender.send(());
            }
        };
        let backup = backup(&self.repository, source, options, &observe, pending());
        tokio::pin!(backup);
        tokio::select! {
            outcome = &mut backup => panic!("a stalled backup came to {outcome:?}"),
            event = reached.recv() => assert!(event.is_some()),
        }
        work.await
    }

    /// Advances the clock.
    pub(super) fn wait_hours(&self, hours: i64) {
        self.subject.clock().advance(SignedDuration::from_hours(hours));
    }

    /// Creates a WAL file as the server would pass it to its archive_command.
    pub(super) fn wal_file(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let directory = self.subject.path("pg_wal");
        fs::create_dir_all(&directory)?;
        let path = directory.join(name);
        fs::write(&path, bytes)?;
        Ok(path)
    }

    /// Archives `bytes` under `name`.
    pub(super) async fn archive_as(&self, name: impl ToString, bytes: &[u8]) -> Result<Archived> {
        self.archive_with(name, bytes, &ArchiveOptions::default()).await
    }

    pub(super) async fn archive_with(
        &self,
        name: impl ToString,
        bytes: &[u8],
        options: &ArchiveOptions,
    ) -> Result<Archived> {
        Ok(archive_wal(&self.repository, &self.wal_file(&name.to_string(), bytes)?, options).await?)
    }

    /// Archives segments of the cluster.
    pub(super) async fn archive(&self, numbers: RangeInclusive<u64>) -> Result<()> {
        self.archive_of(&self.cluster, numbers).await
    }

    pub(super) async fn archive_of(
        &self,
        cluster: &SyntheticCluster,
        numbers: RangeInclusive<u64>,
    ) -> Result<()> {
        for number in numbers {
            self.archive_as(cluster.wal_name(number), &cluster.segment(number)).await?;
        }
        Ok(())
    }

    /// Returns the bytes that restore-wal fetches for `name`.
    pub(super) async fn restored_wal(&self, name: WalName) -> Result<Vec<u8>, Error> {
        let path = self.subject.path("RECOVERYXLOG");
        restore_wal(&self.repository, name, &path, &|_| {}).await?;
        let bytes = fs::read(&path).and_then(|bytes| fs::remove_file(&path).map(|()| bytes));
        bytes.map_err(|source| Error::Local { action: "take", path, source })
    }

    /// Takes a backup that needs the segments `start` to `stop`, which are archived first. Then an hour passes.
    pub(super) async fn back_up(&self, start: u64, stop: u64) -> Result<BackupRecord> {
        self.back_up_of(&self.cluster, start, stop).await
    }

    pub(super) async fn back_up_of(
        &self,
        cluster: &SyntheticCluster,
        start: u64,
        stop: u64,
    ) -> Result<BackupRecord> {
        self.archive_of(cluster, start..=stop).await?;
        let record = self.take(&cluster.backup(start, stop)).await?;
        self.wait_hours(1);
        Ok(record)
    }

    /// Takes a backup without WAL.
    pub(super) async fn take(&self, source: &dyn BaseBackupSource) -> Result<BackupRecord, Error> {
        take(&self.repository, source, &options()).await
    }

    /// Takes a backup that includes the WAL it needs.
    pub(super) async fn take_with_wal(&self, source: &dyn BaseBackupSource) -> Result<BackupRecord, Error> {
        take(&self.repository, source, &BackupOptions { include_wal: true, ..options() }).await
    }

    /// Returns the keys of the listed backups, oldest first.
    pub(super) async fn listed(&self) -> Result<Vec<BackupKey>> {
        match self.repository.inventory().await {
            Ok(inventory) => Ok(inventory.backups.iter().map(|backup| backup.key).collect()),
            Err(Error::NoRepository { .. }) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the names of the listed WAL files, sorted.
    pub(super) async fn listed_wal(&self) -> Result<Vec<String>> {
        Ok(self.repository.inventory().await?.wal.iter().map(|wal| wal.name.to_string()).collect())
    }

    /// Restores a backup into a new directory.
    pub(super) async fn restore(&self, choice: BackupChoice) -> Result<PathBuf, Error> {
        let directory = self.subject.new_path("pgdata");
        self.restore_into(choice, &directory, &restore_options()).await?;
        Ok(directory)
    }

    pub(super) async fn restore_into(
        &self,
        choice: BackupChoice,
        directory: &Path,
        options: &RestoreOptions,
    ) -> Result<RestoreStats, Error> {
        restore(&self.repository, choice, directory, options, &|_| {}).await
    }

    /// Expects that a restore is refused, and by a dry run for the same reason, and that neither changes the directory.
    pub(super) async fn refuse_restore(
        &self,
        choice: BackupChoice,
        directory: &Path,
        options: &RestoreOptions,
    ) -> Result<Error> {
        let before = Tree::read(directory)?;
        let planned = plan_restore(&self.repository, choice, directory, options, &|_| {}).await;
        let planned = refused(planned);
        let differences = before.differences(&Tree::read(directory)?);
        assert!(differences.is_empty(), "after a dry run: {differences:?}");
        let error = refused(self.restore_into(choice, directory, options).await);
        assert_eq!(shown(&planned), shown(&error), "by a dry run");
        let differences = before.differences(&Tree::read(directory)?);
        assert!(differences.is_empty(), "{error}: {differences:?}");
        Ok(error)
    }

    /// Restores a backup and returns the notices, too.
    pub(super) async fn restore_noting(
        repository: &Repository,
        choice: BackupChoice,
        directory: &Path,
        options: &RestoreOptions,
    ) -> Result<(RestoreStats, Vec<String>), Error> {
        let (sender, notices) = std::sync::mpsc::channel();
        let observe = |event: RestoreEvent<'_>| {
            if let RestoreEvent::Notice(notice) = event {
                let _ = sender.send(notice.to_owned());
            }
        };
        let stats = restore(repository, choice, directory, options, &observe).await?;
        Ok((stats, notices.try_iter().collect()))
    }

    /// Restores a backup and compares it with the content of `source`.
    pub(super) async fn assert_restorable(
        &self,
        record: &BackupRecord,
        source: &SyntheticSource,
    ) -> Result<()> {
        let directory = self.restore(BackupChoice::Key(record.key)).await?;
        assert_restored(&directory, &source.data_directory(&request(record.includes_wal)))?;
        Ok(fs::remove_dir_all(directory)?)
    }
}

/// Returns a site with a full backup in segment 2, an incremental one in segment 3, and a full one in segment 5.
pub(super) async fn site_with_chain(subject: Subject) -> Result<(Site, [BackupKey; 3])> {
    let site = Site::new(subject)?;
    site.archive(1..=9).await?;
    let mut keys = Vec::new();
    let latest = BackupMode::Incremental(BackupChoice::Latest);
    for (number, mode) in [(2, BackupMode::Full), (3, latest), (5, BackupMode::Full)] {
        let source = site.cluster.backup(number, number).that_sends_a_manifest();
        keys.push(take(&site.repository, &source, &BackupOptions { mode, ..options() }).await?.key);
        site.wait_hours(1);
    }
    Ok((site, [keys[0], keys[1], keys[2]]))
}

/// The options of the scenarios' backups, by default.
pub(super) fn options() -> BackupOptions {
    BackupOptions {
        label: "conformance".to_owned(),
        mode: BackupMode::Full,
        checkpoint: Checkpoint::Fast,
        include_wal: false,
        codec: Codec::default(),
        archive_timeout: Duration::from_secs(600),
        copy: swiftwal_postgres::CopyOptions::default(),
        estimate_size: false,
    }
}

/// The options of the scenarios' restores, by default: recovery to the end of the WAL.
pub(super) fn restore_options() -> RestoreOptions {
    RestoreOptions { restore_command: "swiftwal restore-wal %f %p".to_owned(), ..RestoreOptions::default() }
}

/// Compares a restored data directory with the original: only the recovery settings may differ.
pub(super) fn assert_restored(directory: &Path, original: &Tree) -> Result<()> {
    let (mut original, mut found) = (original.clone(), Tree::read(directory)?);
    for settings in ["recovery.signal", "standby.signal", "recovery.conf"] {
        found.remove(settings);
    }
    let auto_conf = "postgresql.auto.conf";
    match (original.remove(auto_conf), found.remove(auto_conf)) {
        (Some(Entry::File { bytes: before, .. }), Some(Entry::File { bytes: after, .. })) => {
            assert!(after.starts_with(&before), "{auto_conf} lost what it held");
        }
        (before, after) => assert_eq!(before, after, "{auto_conf}"),
    }
    let differences = original.differences(&found);
    assert!(differences.is_empty(), "what was restored differs: {differences:#?}");
    Ok(())
}

pub(super) async fn take(
    repository: &Repository,
    source: &dyn BaseBackupSource,
    options: &BackupOptions,
) -> Result<BackupRecord, Error> {
    backup(repository, source, options, &|_| {}, pending()).await
}

/// The request that a backup with [`options`] sends to its source.
pub(super) fn request(include_wal: bool) -> BaseBackupRequest {
    let mut request = BaseBackupRequest::new(options().label);
    request.include_wal = include_wal;
    request
}

/// Returns the names of the files in a directory.
pub(super) fn file_names(directory: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Returns the error; a success fails the test.
pub(super) fn refused<T: std::fmt::Debug>(outcome: Result<T, Error>) -> Error {
    match outcome {
        Err(error) => error,
        Ok(done) => panic!("it should have been refused, and came to {done:?}"),
    }
}

/// Returns the text and the hint of an error, as a program shows them.
pub(super) fn shown(error: &Error) -> String {
    format!("{error}; {}", error.hint().unwrap_or_default())
}
