//! Base backups of the synthetic cluster.

pub(crate) mod incremental;
mod manifest;
mod server;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, atomic::Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use swiftwal_postgres::{
    BackupStart, BaseBackupEvent, BaseBackupRequest, BaseBackupSource, BaseBackupStream, ExpectedArchive,
    Lsn, SegmentName, ServerFacts, ServerSession, SourceError, SourceErrorKind, Tablespace, Timeline,
};

use self::{
    manifest::ManifestText,
    server::{Facts, SyntheticSession, WalHold},
};
use super::{
    Entry, SyntheticCluster, Tree,
    archive::tar,
    script::{Script, Step},
};
use crate::random::Random;

/// A base backup of the synthetic cluster. It can be taken any number of times.
#[derive(Clone, Debug)]
pub struct SyntheticSource {
    cluster: SyntheticCluster,
    start: u64,
    stop: u64,
    started: Timestamp,
    estimate: Option<u64>,
    /// Whether it reports all facts about the server when the backup has begun, as the replication protocol does.
    tells_at_start: bool,
    manifest: ManifestText,
    /// Where the backup begins that this incremental one builds on.
    incremental_from: Option<(Lsn, Timeline)>,
    /// The entries that differ from the cluster's, by their paths in the data directory or a tablespace; none for those
    /// that are missing.
    entries: Vec<(Option<u32>, String, Option<Entry>)>,
    damaged_pages: u64,
    facts: Facts,
    /// Clones are the same server.
    wal: Arc<WalHold>,
    fault: Option<SourceFault>,
}

/// 2013-08-28 18:10:42 UTC.
const FIRST_START: Timestamp = Timestamp::constant(1_377_713_442, 0);

/// The fault of a base backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceFault {
    /// No event ever arrives: the server's checkpoint never ends.
    NeverBegins,
    /// The server reports an error after this many bytes of tar.
    FailsAfter(usize),
    /// After this many bytes of tar nothing more arrives, not even an error.
    StallsAfter(usize),
    /// The last archive ends after this many bytes of all tars, and the server reports success.
    TruncatedAfter(usize),
    /// Nothing more arrives after the tablespaces and the first byte of the data directory's tar.
    StallsBeforeTheLabel,
    /// Everything arrives except the confirmation that the backup is complete.
    NeverFinishes,
    /// The server, a standby, is promoted meanwhile: the backup ends on the next timeline.
    IsPromoted,
    /// The server takes no incremental backup: it has lost its WAL summaries.
    LacksSummaries,
}

impl SyntheticCluster {
    /// Creates a base backup that begins in the segment `start` and is consistent within the segment `stop`.
    #[must_use]
    pub fn backup(&self, start: u64, stop: u64) -> SyntheticSource {
        // By the server's clock, an hour after a backup that begins one segment earlier.
        let hours = SignedDuration::from_hours(i64::try_from(start).unwrap_or_default());
        let started = FIRST_START + hours;
        SyntheticSource {
            cluster: self.clone(),
            start,
            stop,
            started,
            estimate: None,
            tells_at_start: false,
            manifest: ManifestText::None,
            incremental_from: None,
            entries: Vec::new(),
            damaged_pages: 0,
            facts: Facts::NotAsked,
            wal: Arc::default(),
            fault: None,
        }
    }
}

impl SyntheticSource {
    /// Returns the backup with a fault.
    #[must_use]
    pub fn with_fault(self, fault: SourceFault) -> Self {
        Self { fault: Some(fault), ..self }
    }

    /// Returns the backup with this start time by the server's clock.
    #[must_use]
    pub fn at(self, started: Timestamp) -> Self {
        Self { started, ..self }
    }

    /// Returns the backup with this size as the server's estimate, which is sent if it is requested.
    #[must_use]
    pub fn with_estimate(self, bytes: u64) -> Self {
        Self { estimate: Some(bytes), ..self }
    }

    /// Returns the backup from a source that reports all facts about the server when the backup has begun. Other
    /// sources leave that to the archives.
    #[must_use]
    pub fn that_tells_at_start(self) -> Self {
        Self { tells_at_start: true, ..self }
    }

    /// Returns the backup with a manifest that isn't in the tar.
    #[must_use]
    pub fn with_manifest(self, text: impl Into<Bytes>) -> Self {
        Self { manifest: ManifestText::Given(text.into()), ..self }
    }

    /// Returns the backup with PostgreSQL's manifest of it, so that an incremental one can build on it.
    #[must_use]
    pub fn that_sends_a_manifest(self) -> Self {
        Self { manifest: ManifestText::OfItself, ..self }
    }

    /// Returns the backup with this entry at a path in the data directory, or in that of a tablespace. Without an entry, the
    /// backup has nothing there.
    #[must_use]
    pub fn with_entry(mut self, tablespace: Option<u32>, path: &str, entry: Option<Entry>) -> Self {
        self.entries.push((tablespace, path.to_owned(), entry));
        self
    }

    /// Returns the backup with only these blocks of a file, as an incremental backup has them: their numbers, each with the
    /// byte that fills it.
    ///
    /// # Panics
    ///
    /// If PostgreSQL writes no such file.
    #[must_use]
    pub fn with_blocks(
        self,
        tablespace: Option<u32>,
        path: &str,
        truncation: u32,
        blocks: &[(u32, u8)],
    ) -> Self {
        let stored = Entry::file(incremental::file(truncation, blocks));
        self.with_entry(tablespace, path, None).with_entry(tablespace, &incremental::name(path), Some(stored))
    }

    /// Returns the backup of a server that finds this number of damaged pages.
    #[must_use]
    pub fn with_damaged_pages(self, damaged_pages: u64) -> Self {
        Self { damaged_pages, ..self }
    }

    /// Returns the backup of a server that reports these facts beforehand.
    #[must_use]
    pub fn with_facts(self, facts: ServerFacts) -> Self {
        Self { facts: Facts::Known(facts), ..self }
    }

    /// Returns the backup of a server that can't be queried beforehand.
    #[must_use]
    pub fn that_tells_nothing(self) -> Self {
        Self { facts: Facts::Unknown, ..self }
    }

    /// Whether the server is currently prevented from removing WAL.
    #[must_use]
    pub fn holds_wal(&self) -> bool {
        self.wal.now.load(Ordering::SeqCst)
    }

    /// Whether the server was prevented from removing WAL whenever it sent data.
    #[must_use]
    pub fn held_wal_while_sending(&self) -> bool {
        !self.wal.sent_without.load(Ordering::SeqCst)
    }

    /// Returns the cluster.
    #[must_use]
    pub fn cluster(&self) -> &SyntheticCluster {
        &self.cluster
    }

    /// Returns the LSN at which recovery from the backup begins.
    #[must_use]
    pub fn start_lsn(&self) -> Lsn {
        self.cluster.lsn(self.start, 0x28)
    }

    /// Returns the LSN at which the backup is consistent (exclusive).
    #[must_use]
    pub fn stop_lsn(&self) -> Lsn {
        self.cluster.lsn(self.stop, 0x100)
    }

    /// Returns the segments that recovery needs at least.
    pub fn needed_wal(&self) -> impl Iterator<Item = SegmentName> {
        (self.start..=self.stop).map(|number| self.cluster.segment_name(number))
    }

    /// Returns the backup label.
    #[must_use]
    pub fn label(&self, request: &BaseBackupRequest) -> String {
        let (start, timeline) = (self.start_lsn(), self.cluster.timeline);
        format!(
            "START WAL LOCATION: {start} (file {})\n\
             CHECKPOINT LOCATION: {}\n\
             BACKUP METHOD: streamed\n\
             BACKUP FROM: primary\n\
             START TIME: {}\n\
             LABEL: {}\n\
             START TIMELINE: {timeline}\n{}",
            self.cluster.segment_name(self.start),
            self.cluster.lsn(self.start, 0x60),
            self.started.strftime("%Y-%m-%d %H:%M:%S UTC"),
            request.label,
            incremental::label_lines(self.incremental_from),
        )
    }

    /// Returns the data directory in the backup.
    #[must_use]
    pub fn data_directory(&self, request: &BaseBackupRequest) -> Tree {
        let mut tree = self.cluster.data_directory(self.start, &self.label(request));
        if request.include_wal {
            for number in self.start..=self.stop {
                tree.add_wal(self.cluster.segment_name(number), self.cluster.segment_of_pages(number));
            }
        }
        self.change(tree, None)
    }

    /// Puts the backup's own entries into the tree of the data directory, or of a tablespace.
    fn change(&self, mut tree: Tree, changed: Option<u32>) -> Tree {
        for (_, path, entry) in self.entries.iter().filter(|(tablespace, ..)| *tablespace == changed) {
            match entry {
                Some(entry) => tree.insert(path, entry.clone()),
                None => drop(tree.remove(path)),
            }
        }
        tree
    }

    /// Returns the content of the tablespaces' directories.
    pub fn tablespaces<'a>(&'a self) -> impl Iterator<Item = (&'a Tablespace, Tree)> {
        let of = |tablespace: &'a Tablespace| {
            let tree = self.cluster.tablespace_directory(tablespace, self.start);
            (tablespace, self.change(tree, Some(tablespace.oid)))
        };
        self.cluster.tablespaces.iter().map(of)
    }

    /// Returns the tar of the data directory.
    ///
    /// # Errors
    ///
    /// A name that a tar can't contain.
    pub fn tar(&self, request: &BaseBackupRequest) -> io::Result<Vec<u8>> {
        tar(&self.data_directory(request))
    }

    /// Returns the archives in PostgreSQL's order: the data directory's last.
    fn archives(&self, request: &BaseBackupRequest) -> io::Result<Vec<Archive>> {
        let mut archives = Vec::new();
        for (tablespace, tree) in self.tablespaces() {
            archives.push((Some(tablespace.clone()), tar(&tree)?));
        }
        archives.push((None, self.tar(request)?));
        Ok(archives)
    }

    fn steps(&self, request: &BaseBackupRequest, archives: Vec<Archive>) -> VecDeque<Step> {
        let mut script = Script::new(self.fault, before_the_label(&archives));
        script.event(BaseBackupEvent::Started(self.start_of(request, &archives)));
        if let (true, false, Some(bytes)) = (request.estimate_size, self.tells_at_start, self.estimate) {
            script.event(BaseBackupEvent::Estimate { bytes });
        }
        let mut cuts = Random::new(self.start, 0);
        for (tablespace, tar) in archives {
            script.event(BaseBackupEvent::Archive { tablespace });
            let mut rest = Bytes::from(tar);
            while !rest.is_empty() {
                let chunk = rest.split_to(cuts.up_to(256 << 10).min(rest.len()));
                script.data(chunk);
            }
        }
        let mut manifest = self.manifest_text(request);
        while !manifest.is_empty() {
            let piece = manifest.split_to(cuts.up_to(1000).min(manifest.len()));
            script.event(BaseBackupEvent::Manifest(piece));
        }
        if !request.include_wal {
            script.event(BaseBackupEvent::WaitingForArchiver);
        }
        if self.damaged_pages > 0 {
            let (count, words) = (self.damaged_pages, "checksum verification failed".to_owned());
            script.event(BaseBackupEvent::DamagedPages { count, words });
        }
        let is_promoted = self.fault == Some(SourceFault::IsPromoted);
        let ended_on = if is_promoted { self.cluster.promoted().timeline } else { self.cluster.timeline };
        script.finish(self.stop_lsn(), ended_on)
    }

    /// Returns what the source reports when the backup has begun.
    fn start_of(&self, request: &BaseBackupRequest, archives: &[Archive]) -> BackupStart {
        let cluster = &self.cluster;
        let mut start = BackupStart::new(self.start_lsn(), cluster.timeline);
        if !self.tells_at_start {
            return start;
        }
        start.system_identifier = Some(cluster.system_identifier());
        start.postgres_version = Some(cluster.version.number().to_owned());
        start.segment_size = Some(cluster.segment_size);
        start.data_checksums = Some(false);
        let expected = archives.iter().map(|(tablespace, tar)| {
            let bytes = match (tablespace, self.estimate) {
                (None, Some(estimate)) => estimate,
                _ => tar.len() as u64,
            };
            let bytes = request.estimate_size.then_some(bytes);
            ExpectedArchive { tablespace: tablespace.clone(), bytes }
        });
        start.archives = Some(expected.collect());
        start
    }
}

/// A tar, and its tablespace. None for that of the data directory.
type Archive = (Option<Tablespace>, Vec<u8>);

/// Returns a position in the tar shortly before the end of the label.
fn before_the_label(archives: &[Archive]) -> usize {
    let tablespaces = archives.iter().filter(|(tablespace, _)| tablespace.is_some());
    tablespaces.map(|(_, tar)| tar.len()).sum::<usize>() + 1
}

#[derive(Debug)]
struct SyntheticStream {
    steps: VecDeque<Step>,
    wal: Arc<WalHold>,
}

#[async_trait]
impl BaseBackupSource for SyntheticSource {
    async fn connect(&self) -> Result<Option<Box<dyn ServerSession>>, SourceError> {
        match &self.facts {
            Facts::NotAsked => Ok(None),
            Facts::Unknown => Err(SourceError::new(
                SourceErrorKind::Unavailable,
                "the server can't be queried (injected failure)",
            )),
            Facts::Known(facts) => {
                Ok(Some(Box::new(SyntheticSession { facts: facts.clone(), wal: Arc::clone(&self.wal) })))
            }
        }
    }

    async fn start(&self, request: &BaseBackupRequest) -> Result<Box<dyn BaseBackupStream>, SourceError> {
        let source = self.building_on(request).await?;
        let archives = source.archives(request).map_err(|error| {
            SourceError::new(SourceErrorKind::Failed, "writing the synthetic cluster's tar failed")
                .caused_by(error)
        })?;
        Ok(Box::new(SyntheticStream { steps: source.steps(request, archives), wal: Arc::clone(&self.wal) }))
    }
}

#[async_trait]
impl BaseBackupStream for SyntheticStream {
    async fn next(&mut self) -> Result<Option<BaseBackupEvent>, SourceError> {
        let step = self.steps.pop_front();
        if matches!(step, Some(Step::Event(BaseBackupEvent::Data(_)))) && !self.wal.now.load(Ordering::SeqCst)
        {
            self.wal.sent_without.store(true, Ordering::SeqCst);
        }
        match step {
            Some(Step::Event(event)) => Ok(Some(event)),
            Some(Step::Fail) => {
                Err(SourceError::new(SourceErrorKind::Failed, "the server disconnected (injected failure)"))
            }
            Some(Step::Stall) => std::future::pending().await,
            None => Ok(None),
        }
    }
}

/// The requirements of a flow on a source.
#[cfg(test)]
pub(super) fn request(label: &str, include_wal: bool) -> BaseBackupRequest {
    let mut request = BaseBackupRequest::new(label);
    request.include_wal = include_wal;
    request
}
