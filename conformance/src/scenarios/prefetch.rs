//! Scenarios of segments that are fetched ahead.

use std::{fs, num::NonZeroUsize, path::PathBuf};

use anyhow::{Context, Result};
use swiftwal_compression::{Codec, compress_frame};
use swiftwal_core::{DataDirectory, PrefetchOptions, Prefetcher, Spool, prefetch_wal};
use swiftwal_postgres::SegmentName;
use tokio::task;

use super::site::Site;
use crate::{SyntheticCluster, subject::Subject};

/// The data directory of a server that recovers, and a prefetcher for it.
struct Recovery<'a> {
    site: &'a Site,
    path: PathBuf,
    data: DataDirectory,
    spool: Spool,
    prefetcher: task::JoinHandle<swiftwal_core::Result<()>>,
}

impl<'a> Recovery<'a> {
    /// Starts the prefetcher after that segment.
    fn start(site: &'a Site, delivered: SegmentName) -> Result<Self> {
        let path = site.subject.path("recovered");
        site.cluster.run_in(&path)?;
        let data = DataDirectory::open(&path)?;
        let spool = Spool::new(&site.subject.path("spool"), &site.repository, &data)?;
        let prefetcher = {
            let (repository, data, spool) = (site.repository.clone(), data.clone(), spool.clone());
            let two = NonZeroUsize::new(2).context("2 isn't 0")?;
            let options = PrefetchOptions { jobs: two, segments: two };
            task::spawn(Box::pin(async move {
                prefetch_wal(&repository, &spool, &data, delivered, &options).await
            }))
        };
        Ok(Self { site, path, data, spool, prefetcher })
    }

    async fn connect(&self) -> Prefetcher {
        loop {
            if let Some(prefetcher) = Prefetcher::connect(&self.spool).await {
                return prefetcher;
            }
            assert!(!self.prefetcher.is_finished());
            task::yield_now().await;
        }
    }

    /// Takes a segment from the spool, if it is there or will be.
    async fn take(&self, name: SegmentName) -> Result<Option<Vec<u8>>> {
        let target = self.path.join("pg_wal/RECOVERYXLOG");
        let taken = self.connect().await.take(&self.spool, &self.data, name, &target, &|_| None).await?;
        Ok(taken.then(|| fs::read(target)).transpose()?)
    }

    /// Takes a segment when it is in the spool.
    async fn take_when_ready(&self, name: SegmentName) -> Result<Vec<u8>> {
        loop {
            if let Some(bytes) = self.take(name).await? {
                return Ok(bytes);
            }
            task::yield_now().await;
        }
    }

    /// Fetches the segment itself, as restore-wal does then.
    async fn fetch(&self, cluster: &SyntheticCluster, number: u64) -> Result<()> {
        assert_eq!(self.site.restored_wal(cluster.wal_name(number)).await?, cluster.segment(number));
        assert!(self.connect().await.delivered(cluster.segment_name(number)).await);
        Ok(())
    }

    /// Stops the server. Returns when the prefetcher has ended.
    async fn stop(self) -> Result<()> {
        fs::remove_file(self.path.join("postmaster.pid"))?;
        self.prefetcher.await??;
        assert!(!self.spool.path().exists());
        Ok(())
    }
}

pub(crate) async fn segments_that_are_fetched_ahead_are_those_that_were_archived(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(3..=6).await?;
    let promoted = site.cluster.promoted();
    site.archive_of(&promoted, 6..=8).await?;
    let recovery = Recovery::start(&site, site.cluster.segment_name(3))?;
    for number in 4..=5 {
        let taken = recovery.take(site.cluster.segment_name(number)).await?;
        assert_eq!(taken, Some(site.cluster.segment(number)), "{number}");
    }
    // The server goes on along the next timeline, which can't be known before it asks.
    assert_eq!(recovery.take(promoted.segment_name(6)).await?, None);
    recovery.fetch(&promoted, 6).await?;
    for number in 7..=8 {
        let taken = recovery.take_when_ready(promoted.segment_name(number)).await?;
        assert_eq!(taken, promoted.segment(number), "{number}");
    }
    // What was missing is looked for again.
    assert_eq!(recovery.take(promoted.segment_name(9)).await?, None);
    site.archive_of(&promoted, 9..=10).await?;
    recovery.fetch(&promoted, 9).await?;
    assert_eq!(recovery.take_when_ready(promoted.segment_name(10)).await?, promoted.segment(10));
    recovery.stop().await
}

pub(crate) async fn what_can_not_be_checked_is_left_to_restore_wal(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(3..=8).await?;
    let object = |number| format!("wal_{}.zst", site.cluster.wal_name(number));
    let foreign = compress_frame(Codec::default(), &SyntheticCluster::new(2).segment(5))?;
    site.subject.put(&object(5), foreign).await?;
    let torn = site.subject.get(&object(7)).await?;
    site.subject.put(&object(7), torn[..torn.len() / 2].to_vec()).await?;
    let recovery = Recovery::start(&site, site.cluster.segment_name(3))?;
    assert_eq!(recovery.take(site.cluster.segment_name(4)).await?, Some(site.cluster.segment(4)));
    assert_eq!(recovery.take(site.cluster.segment_name(5)).await?, None, "another cluster's");
    assert!(recovery.connect().await.delivered(site.cluster.segment_name(5)).await);
    assert_eq!(recovery.take_when_ready(site.cluster.segment_name(6)).await?, site.cluster.segment(6));
    assert_eq!(recovery.take(site.cluster.segment_name(7)).await?, None, "a torn one");
    recovery.stop().await
}
