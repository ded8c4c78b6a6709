//! Base backups of the synthetic cluster.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use swiftwal_postgres::{
    BaseBackupEvent, BaseBackupRequest, BaseBackupSource, BaseBackupStream, Lsn, SegmentName, ServerFacts,
    ServerSession, SourceError, SourceErrorKind, Tablespace,
};

use super::{
    SyntheticCluster, Tree,
    archive::tar,
    script::{Script, Step},
};
use crate::random::Random;

/// A base backup that the synthetic cluster will give, as often as it is asked for it.
#[derive(Clone, Debug)]
pub struct SyntheticSource {
    cluster: SyntheticCluster,
    start: u64,
    stop: u64,
    started: Timestamp,
    estimate: Option<u64>,
    facts: Facts,
    /// Clones are the same server.
    wal: Arc<WalHold>,
    fault: Option<SourceFault>,
}

/// Whether the server is kept from removing WAL.
#[derive(Debug, Default)]
struct WalHold {
    now: AtomicBool,
    /// Whether data was sent while it wasn't.
    sent_without: AtomicBool,
}

/// What the server tells before a backup.
#[derive(Clone, Debug)]
enum Facts {
    /// It isn't asked.
    NotAsked,
    /// It can't be asked, though it should.
    Unknown,
    Known(ServerFacts),
}

/// 2013-08-28 18:10:42 UTC.
const FIRST_START: Timestamp = Timestamp::constant(1_377_713_442, 0);

/// How a base backup goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceFault {
    /// The server reports an error after that many bytes of tar.
    FailsAfter(usize),
    /// Nothing more comes after that many bytes of tar, and no error either.
    StallsAfter(usize),
    /// The last archive ends after that many bytes of all tar, and the server says that all is well.
    TruncatedAfter(usize),
    /// Everything comes but the word that the backup is complete.
    NeverFinishes,
}

impl SyntheticCluster {
    /// A base backup that begins in the segment `start` and is consistent within the segment `stop`.
    #[must_use]
    pub fn backup(&self, start: u64, stop: u64) -> SyntheticSource {
        // An hour after the one that begins a segment earlier, by the server's clock.
        let hours = SignedDuration::from_hours(i64::try_from(start).unwrap_or_default());
        let started = FIRST_START + hours;
        SyntheticSource {
            cluster: self.clone(),
            start,
            stop,
            started,
            estimate: None,
            facts: Facts::NotAsked,
            wal: Arc::default(),
            fault: None,
        }
    }
}

impl SyntheticSource {
    /// The same backup, gone wrong.
    #[must_use]
    pub fn with_fault(self, fault: SourceFault) -> Self {
        Self { fault: Some(fault), ..self }
    }

    /// The same backup, started at that time by the server's clock.
    #[must_use]
    pub fn at(self, started: Timestamp) -> Self {
        Self { started, ..self }
    }

    /// The same backup, of which the server says beforehand that it will have so many bytes, if it is asked.
    #[must_use]
    pub fn with_estimate(self, bytes: u64) -> Self {
        Self { estimate: Some(bytes), ..self }
    }

    /// The same backup, of a server that says this of itself beforehand.
    #[must_use]
    pub fn with_facts(self, facts: ServerFacts) -> Self {
        Self { facts: Facts::Known(facts), ..self }
    }

    /// The same backup, of a server that can't be asked beforehand.
    #[must_use]
    pub fn that_tells_nothing(self) -> Self {
        Self { facts: Facts::Unknown, ..self }
    }

    /// Whether the server is kept from removing WAL at present.
    #[must_use]
    pub fn holds_wal(&self) -> bool {
        self.wal.now.load(Ordering::SeqCst)
    }

    /// Whether it was kept from that whenever it sent data.
    #[must_use]
    pub fn held_wal_while_sending(&self) -> bool {
        !self.wal.sent_without.load(Ordering::SeqCst)
    }

    /// The cluster it is of.
    #[must_use]
    pub fn cluster(&self) -> &SyntheticCluster {
        &self.cluster
    }

    /// Where recovery from it begins.
    #[must_use]
    pub fn start_lsn(&self) -> Lsn {
        self.cluster.lsn(self.start, 0x28)
    }

    /// Where it is consistent: exclusive.
    #[must_use]
    pub fn stop_lsn(&self) -> Lsn {
        self.cluster.lsn(self.stop, 0x100)
    }

    /// The segments that recovery can't do without.
    pub fn needed_wal(&self) -> impl Iterator<Item = SegmentName> {
        (self.start..=self.stop).map(|number| self.cluster.segment_name(number))
    }

    /// The backup label.
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
             START TIMELINE: {timeline}\n",
            self.cluster.segment_name(self.start),
            self.cluster.lsn(self.start, 0x60),
            self.started.strftime("%Y-%m-%d %H:%M:%S UTC"),
            request.label,
        )
    }

    /// The data directory that the backup holds.
    #[must_use]
    pub fn data_directory(&self, request: &BaseBackupRequest) -> Tree {
        let mut tree = self.cluster.data_directory(self.start, &self.label(request));
        if request.include_wal {
            for number in self.start..=self.stop {
                tree.add_wal(self.cluster.segment_name(number), self.cluster.segment(number));
            }
        }
        tree
    }

    /// The content of the tablespaces' directories.
    pub fn tablespaces(&self) -> impl Iterator<Item = (&Tablespace, Tree)> {
        let of = |tablespace| (tablespace, self.cluster.tablespace_directory(tablespace, self.start));
        self.cluster.tablespaces.iter().map(of)
    }

    /// The tar of the data directory.
    ///
    /// # Errors
    /// A name that a tar can't hold.
    pub fn tar(&self, request: &BaseBackupRequest) -> io::Result<Vec<u8>> {
        tar(&self.data_directory(request))
    }

    /// The archives in PostgreSQL's order: the data directory's last.
    fn archives(&self, request: &BaseBackupRequest) -> io::Result<Vec<(Option<Tablespace>, Vec<u8>)>> {
        let mut archives = Vec::new();
        for (tablespace, tree) in self.tablespaces() {
            archives.push((Some(tablespace.clone()), tar(&tree)?));
        }
        archives.push((None, self.tar(request)?));
        Ok(archives)
    }

    fn steps(
        &self,
        request: &BaseBackupRequest,
        archives: Vec<(Option<Tablespace>, Vec<u8>)>,
    ) -> VecDeque<Step> {
        let timeline = self.cluster.timeline;
        let mut script = Script::new(self.fault);
        script.event(BaseBackupEvent::Started { lsn: self.start_lsn(), timeline });
        if let (true, Some(bytes)) = (request.estimate_size, self.estimate) {
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
        script.finish(self.stop_lsn(), timeline)
    }
}

#[derive(Debug)]
struct SyntheticStream {
    steps: VecDeque<Step>,
    wal: Arc<WalHold>,
}

/// A connection to the synthetic server. WAL is held until it is dropped.
#[derive(Debug)]
struct SyntheticSession {
    facts: ServerFacts,
    wal: Arc<WalHold>,
}

#[async_trait]
impl ServerSession for SyntheticSession {
    fn facts(&self) -> &ServerFacts {
        &self.facts
    }

    async fn hold_wal(&mut self) -> Result<(), SourceError> {
        self.wal.now.store(true, Ordering::SeqCst);
        Ok(())
    }

    async fn end(self: Box<Self>) {}

    async fn keep_alive(&mut self) -> SourceError {
        std::future::pending().await
    }
}

impl Drop for SyntheticSession {
    fn drop(&mut self) {
        self.wal.now.store(false, Ordering::SeqCst);
    }
}

#[async_trait]
impl BaseBackupSource for SyntheticSource {
    async fn connect(&self) -> Result<Option<Box<dyn ServerSession>>, SourceError> {
        match &self.facts {
            Facts::NotAsked => Ok(None),
            Facts::Unknown => Err(SourceError::new(
                SourceErrorKind::Unavailable,
                "the server can't be asked, as it was told",
            )),
            Facts::Known(facts) => {
                Ok(Some(Box::new(SyntheticSession { facts: facts.clone(), wal: Arc::clone(&self.wal) })))
            }
        }
    }

    async fn start(&self, request: &BaseBackupRequest) -> Result<Box<dyn BaseBackupStream>, SourceError> {
        let archives = self.archives(request).map_err(|error| {
            SourceError::new(SourceErrorKind::Failed, "writing the synthetic cluster's tar failed")
                .caused_by(error)
        })?;
        Ok(Box::new(SyntheticStream { steps: self.steps(request, archives), wal: Arc::clone(&self.wal) }))
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
                Err(SourceError::new(SourceErrorKind::Failed, "the server went away, as it was told to"))
            }
            Some(Step::Stall) => std::future::pending().await,
            None => Ok(None),
        }
    }
}

/// What a flow asks of a source.
#[cfg(test)]
pub(super) fn request(label: &str, include_wal: bool) -> BaseBackupRequest {
    BaseBackupRequest {
        label: label.to_owned(),
        checkpoint: swiftwal_postgres::Checkpoint::Fast,
        include_wal,
        estimate_size: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn events(source: &SyntheticSource) -> Vec<BaseBackupEvent> {
        let mut stream = source.start(&request("x", false)).await.unwrap();
        let mut events = Vec::new();
        while let Ok(Some(event)) = stream.next().await {
            events.push(event);
        }
        events
    }

    fn data_bytes(events: &[BaseBackupEvent]) -> usize {
        let bytes = |event: &BaseBackupEvent| match event {
            BaseBackupEvent::Data(data) => data.len(),
            _ => 0,
        };
        events.iter().map(bytes).sum()
    }

    #[tokio::test]
    async fn tablespaces_come_first_and_the_end_is_said() {
        let events = events(&SyntheticCluster::new(1).with_tablespace(16400, "/srv/fast").backup(3, 4)).await;
        let archives: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                BaseBackupEvent::Archive { tablespace } => Some(tablespace.as_ref().map(|t| t.oid)),
                _ => None,
            })
            .collect();
        assert_eq!(archives, [Some(16400), None]);
        assert!(matches!(events.first(), Some(BaseBackupEvent::Started { .. })));
        assert!(matches!(events.last(), Some(BaseBackupEvent::Finished { .. })));
    }

    #[tokio::test]
    async fn a_fault_strikes_after_as_many_bytes_as_it_says() {
        let source = SyntheticCluster::new(1).backup(3, 4);
        for bytes in [0, 1, 700, 200_000] {
            let failed = events(&source.clone().with_fault(SourceFault::FailsAfter(bytes))).await;
            assert_eq!(data_bytes(&failed), bytes);
            assert!(!matches!(failed.last(), Some(BaseBackupEvent::Finished { .. })));
            let truncated = events(&source.clone().with_fault(SourceFault::TruncatedAfter(bytes))).await;
            assert_eq!(data_bytes(&truncated), bytes);
            assert!(matches!(truncated.last(), Some(BaseBackupEvent::Finished { .. })));
        }
    }
}
