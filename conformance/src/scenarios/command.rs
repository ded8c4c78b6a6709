//! Runs every command on a faulty storage. The requirements on all of them are tables.

use std::{fs, num::NonZeroU32, path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use swiftwal_core::{
    ArchiveOptions, BackupChoice, BackupKey, BackupOptions, Error, ErrorKind, PrunePolicy, Repository,
    RestoreOptions, TargetTimeline, archive_cleanup, archive_wal, discard_timeline, label,
    plan_archive_cleanup, plan_discard, plan_prune, prune, restore, restore_wal, timelines,
};

use super::{
    site::{Site, assert_restored, options, request, restore_options, take},
    stray::store_history,
};
use crate::{SyntheticCluster, SyntheticSource, subject::Subject};

/// The segments from which recovery from each of the two backups begins.
const STARTS: [u64; 2] = [3, 6];
/// The last archived segment, which compresses well.
const LAST: u64 = 8;

/// A repository in which each command finds something to do: two backups, WAL that no backup needs, and a stray
/// timeline.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) site: Site,
    /// A copy of the server, on the stray timeline.
    copy: SyntheticCluster,
    /// The keys of the backups, oldest first.
    pub(super) keys: [BackupKey; 2],
}

impl Scene {
    pub(super) async fn new(subject: Subject) -> Result<Self> {
        let site = Site::of(subject, SyntheticCluster::new(1).with_table_bytes(3000))?;
        let copy = site.cluster.promoted();
        site.archive(1..=2).await?;
        let older = site.back_up(STARTS[0], STARTS[0] + 1).await?;
        store_history(&site, &copy, 5).await?;
        site.archive_of(&copy, 5..=5).await?;
        let newer = site.back_up(STARTS[1], STARTS[1] + 1).await?;
        site.archive_as(site.cluster.wal_name(LAST), &quiet_segment(&site.cluster, LAST)).await?;
        Ok(Self { site, copy, keys: [older.key, newer.key] })
    }

    /// The path to which restore-wal writes.
    fn fetched(&self) -> PathBuf {
        self.site.subject.path("RECOVERYXLOG")
    }

    /// The directory into which a backup is restored.
    fn restored(&self) -> PathBuf {
        self.site.subject.path("restored")
    }

    fn source(&self, key: BackupKey) -> SyntheticSource {
        let start = if key == self.keys[0] { STARTS[0] } else { STARTS[1] };
        self.site.cluster.backup(start, start + 1)
    }

    /// Checks that one of the two backups can be restored completely.
    pub(super) async fn assert_restorable(&self, key: BackupKey) -> Result<()> {
        self.assert_restores(key, &self.source(key)).await
    }

    async fn assert_restores(&self, key: BackupKey, source: &SyntheticSource) -> Result<()> {
        let directory = self.site.subject.new_path("whole");
        let options = with_timeline(&self.site);
        self.site.restore_into(BackupChoice::Key(key), &directory, &options).await?;
        assert_restored(&directory, &source.data_directory(&request(false)))?;
        Ok(fs::remove_dir_all(directory)?)
    }
}

/// Returns a segment of a server without activity.
fn quiet_segment(cluster: &SyntheticCluster, number: u64) -> Vec<u8> {
    let mut segment = cluster.segment(number);
    segment[8192..].fill(0);
    segment
}

/// With the stray timeline, the restore would ask for a choice.
fn with_timeline(site: &Site) -> RestoreOptions {
    let timeline = TargetTimeline::Id(site.cluster.timeline());
    RestoreOptions { target_timeline: Some(timeline), ..restore_options() }
}

/// A command with its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    ArchiveWal,
    ArchiveWalAgain,
    ArchiveWalByForce,
    RestoreWal,
    RestoreWalNotStored,
    Backup,
    ListBackups,
    ListWal,
    Label,
    LabelOfLatest,
    Restore,
    RestoreLatest,
    Prune,
    ArchiveCleanup,
    Timelines,
    DiscardTimeline,
}

impl Command {
    pub(super) const ALL: [Self; 16] = [
        Self::ArchiveWal,
        Self::ArchiveWalAgain,
        Self::ArchiveWalByForce,
        Self::RestoreWal,
        Self::RestoreWalNotStored,
        Self::Backup,
        Self::ListBackups,
        Self::ListWal,
        Self::Label,
        Self::LabelOfLatest,
        Self::Restore,
        Self::RestoreLatest,
        Self::Prune,
        Self::ArchiveCleanup,
        Self::Timelines,
        Self::DiscardTimeline,
    ];

    /// Whether it stores or removes objects.
    pub(super) fn changes(self) -> bool {
        self.removes() || matches!(self, Self::ArchiveWal | Self::ArchiveWalByForce | Self::Backup)
    }

    /// Whether it removes objects.
    pub(super) fn removes(self) -> bool {
        matches!(self, Self::Prune | Self::ArchiveCleanup | Self::DiscardTimeline)
    }

    /// Runs the command on `repository`, which is that of the scene on a faulty storage.
    pub(super) async fn run(self, scene: &Scene, repository: &Repository) -> Result<(), Error> {
        let (site, older) = (&scene.site, scene.keys[0]);
        match self {
            Self::ArchiveWal => archive(scene, repository, LAST + 1, false).await,
            Self::ArchiveWalAgain => archive(scene, repository, LAST, false).await,
            Self::ArchiveWalByForce => archive(scene, repository, LAST, true).await,
            Self::RestoreWal => fetch(scene, repository, LAST).await,
            Self::RestoreWalNotStored => fetch(scene, repository, LAST + 1).await,
            Self::Backup => {
                let hurried = BackupOptions { archive_timeout: Duration::from_millis(200), ..options() };
                take(repository, &site.cluster.backup(LAST, LAST), &hurried).await.map(drop)
            }
            Self::ListBackups => list_backups(repository).await,
            Self::ListWal => repository.inventory().await.map(drop),
            Self::Label => label(repository, BackupChoice::Key(older)).await.map(drop),
            Self::LabelOfLatest => label(repository, BackupChoice::Latest).await.map(drop),
            Self::Restore => fill(scene, repository, BackupChoice::Key(older)).await,
            Self::RestoreLatest => fill(scene, repository, BackupChoice::Latest).await,
            Self::Prune => {
                let policy = PrunePolicy::newest(NonZeroU32::MIN);
                let plan = plan_prune(repository, &policy).await?;
                repository.check_removal().await?;
                prune(repository, &plan).await
            }
            Self::ArchiveCleanup => {
                let oldest = site.cluster.wal_name(STARTS[0]);
                let plan = plan_archive_cleanup(repository, oldest, false).await?;
                archive_cleanup(repository, &plan).await
            }
            Self::Timelines => timelines(repository).await.map(drop),
            Self::DiscardTimeline => {
                let plan = plan_discard(repository, scene.copy.timeline()).await?;
                discard_timeline(repository, &plan).await
            }
        }
    }

    /// Waits until the local files of an interrupted run are removed.
    pub(super) async fn settle(self, scene: &Scene, succeeded: bool) {
        // The writing thread removes them as soon as it notices the interruption.
        while !succeeded && scene.restored().exists() {
            tokio::task::yield_now().await;
        }
    }

    /// Checks which local files a run left and what it acknowledged, and removes the files: they must be complete or
    /// missing.
    pub(super) async fn check(self, scene: &Scene, succeeded: bool) -> Result<()> {
        let site = &scene.site;
        match self {
            Self::RestoreWal | Self::RestoreWalNotStored => {
                let found = scene.fetched().exists();
                assert_eq!(found, succeeded, "restore-wal left a file, or none");
                if found {
                    assert!(fs::read(scene.fetched())? == quiet_segment(&site.cluster, LAST));
                    fs::remove_file(scene.fetched())?;
                }
            }
            Self::Restore | Self::RestoreLatest => {
                assert_eq!(scene.restored().exists(), succeeded, "restore left a directory, or none");
                if succeeded {
                    let label = fs::read_to_string(scene.restored().join("backup_label"))?;
                    let of_newer = label.contains(&site.cluster.segment_name(STARTS[1]).to_string());
                    let source = scene.source(scene.keys[usize::from(of_newer)]);
                    assert_restored(&scene.restored(), &source.data_directory(&request(false)))?;
                    fs::remove_dir_all(scene.restored())?;
                }
            }
            Self::ArchiveWal if succeeded => {
                let name = site.cluster.wal_name(LAST + 1);
                assert!(site.restored_wal(name).await? == quiet_segment(&site.cluster, LAST + 1));
            }
            Self::ArchiveWalAgain | Self::ArchiveWalByForce if succeeded => {
                let name = site.cluster.wal_name(LAST);
                assert!(site.restored_wal(name).await? == quiet_segment(&site.cluster, LAST));
            }
            Self::Backup if succeeded => {
                let newest = *site.listed().await?.last().context("nothing is listed")?;
                assert!(newest > scene.keys[1], "the backup isn't listed");
                scene.assert_restores(newest, &site.cluster.backup(LAST, LAST)).await?;
            }
            _ => {}
        }
        Ok(())
    }
}

async fn archive(scene: &Scene, repository: &Repository, number: u64, force: bool) -> Result<(), Error> {
    let site = &scene.site;
    let name = site.cluster.wal_name(number).to_string();
    let path = site.wal_file(&name, &quiet_segment(&site.cluster, number));
    let path = path.map_err(|error| Error::Usage(error.to_string()))?;
    archive_wal(repository, &path, &ArchiveOptions { force, ..ArchiveOptions::default() }).await.map(drop)
}

async fn fetch(scene: &Scene, repository: &Repository, number: u64) -> Result<(), Error> {
    restore_wal(repository, scene.site.cluster.wal_name(number), &scene.fetched(), &|_| {}).await
}

async fn fill(scene: &Scene, repository: &Repository, choice: BackupChoice) -> Result<(), Error> {
    restore(repository, choice, &scene.restored(), &with_timeline(&scene.site), &|_| {}).await.map(drop)
}

/// Like the command, it continues after a record that it can't read, and fails at the end.
async fn list_backups(repository: &Repository) -> Result<(), Error> {
    let cluster = repository.cluster_if_readable().await?;
    let mut inventory = repository.inventory().await?;
    let ours = cluster.as_ref().ok().and_then(Option::as_ref);
    repository.read_records(&mut inventory, ours).await.into_iter().find_map(Result::err).map_or(Ok(()), Err)
}

/// Whether the error says that the requested object is missing, which only this command may report.
pub(super) fn is_rightly_absent(command: Command, error: &Error) -> bool {
    error.kind() == ErrorKind::Absent && command == Command::RestoreWalNotStored
}
