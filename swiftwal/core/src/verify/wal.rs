//! Checks WAL: each file, that nothing is missing between them, and the histories of the timelines.

use std::{collections::BTreeMap, io, time::Instant};

use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture, stream};
use object_store::GetOptions;
use swiftwal_postgres::{
    Lsn, PageChain, PageChainError, SegmentName, SegmentSize, Timeline, TimelineHistory, WalName,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    task::JoinSet,
};

use super::{backup::Run, damage::Fault};
use crate::{
    error::{Error, Result},
    repository::{
        cluster::ClusterIdentity,
        history::{HISTORY_BYTES, Histories, check_history},
        inventory::{Inventory, StoredWal},
        layout::ObjectName,
        segment_check::FetchedWal,
        wal::WalObject,
    },
};

/// How much of a file is in memory at a time.
const PIECE_BYTES: usize = 256 << 10;
/// How many checks are prepared at a time: more than are made at a time.
const PREPARED: usize = 64;

/// Why a WAL file isn't right.
enum Problem {
    /// It couldn't be read, or is damaged.
    Read(io::Error),
    Wrong(Error),
}

impl Run<'_> {
    /// Checks segments, and returns the faults in their order.
    ///
    /// # Errors
    ///
    /// If one couldn't be looked at.
    pub(super) async fn segments(&self, segments: &[SegmentName]) -> Result<Vec<Fault>> {
        let check = |segment: &SegmentName| {
            let segment = *segment;
            async move {
                // A bit may have changed on the way.
                match self.segment(segment).await? {
                    Some(_) => self.segment(segment).await,
                    None => Ok(None),
                }
            }
            .boxed()
        };
        self.all(segments, check).await
    }

    /// Checks stored WAL files, whatever they are, and returns the faults with the files.
    pub(super) async fn stored_wal(&self, wal: &[StoredWal]) -> Result<Vec<(StoredWal, Fault)>> {
        let check = |wal: &StoredWal| {
            let wal = *wal;
            async move {
                let fault = match self.stored_file(&wal).await? {
                    Some(_) => self.stored_file(&wal).await?,
                    None => None,
                };
                Ok(fault.map(|fault| (wal, fault)))
            }
            .boxed()
        };
        self.all(wal, check).await
    }

    async fn stored_file(&self, wal: &StoredWal) -> Result<Option<Fault>> {
        let (name, options) = (wal.object_name(), GetOptions::default());
        match self.repository.open_wal_object(name.clone(), wal.format, options, &|_| {}).await {
            Ok(Some(object)) => self.wal_object(wal.name, object).await,
            Ok(None) => Ok(Some(Fault::new(name, "it is listed, but doesn't exist"))),
            Err(error) => Fault::of(error).map(Some),
        }
    }

    /// Makes checks, several at a time.
    async fn all<'s, T: Sync, F: Send>(
        &'s self,
        items: &[T],
        check: impl Fn(&T) -> BoxFuture<'s, Result<Option<F>>> + Send + Sync,
    ) -> Result<Vec<F>> {
        let mut faults = Vec::new();
        for items in items.chunks(PREPARED) {
            let checks: Vec<_> = items.iter().map(&check).collect();
            let mut checks = stream::iter(checks).buffered(self.options.jobs.max(1)).boxed();
            while let Some(fault) = checks.try_next().await? {
                faults.extend(fault);
                self.show_progress();
            }
        }
        Ok(faults)
    }

    /// Checks a segment, in whatever compression it is stored.
    async fn segment(&self, segment: SegmentName) -> Result<Option<Fault>> {
        let object = || format!("WAL segment {segment}");
        match self.repository.wal(WalName::Segment(segment), &|_| {}).await {
            Ok(found) => self.wal_object(WalName::Segment(segment), found).await,
            Err(Error::WalAbsent { .. }) => Ok(Some(Fault::new(object(), "it is missing"))),
            Err(Error::WalHole { later, .. }) => {
                Ok(Some(Fault::new(object(), format!("it is missing; the next one stored is {later}"))))
            }
            Err(error) => Fault::of(error).map(Some),
        }
    }

    /// Checks the content of a WAL file in a task of its own, which decompresses it.
    async fn wal_object(&self, name: WalName, object: WalObject) -> Result<Option<Fault>> {
        let object_name = object.name.clone();
        let identity = self.cluster.as_ref().map(|cluster| cluster.identity.clone());
        let stored = object.stored_bytes();
        let mut task = JoinSet::new();
        task.spawn(check(name, object_name.clone(), object.content(), identity));
        let checked = match task.join_next().await {
            Some(Ok(checked)) => checked,
            Some(Err(broken)) => Err(Problem::Wrong(Error::damaged(&object_name, broken))),
            None => Ok(0),
        };
        let wait = self.pace.add(stored, Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        match checked {
            Ok(bytes) => {
                self.progress.fetch_add(bytes, std::sync::atomic::Ordering::Relaxed);
                Ok(None)
            }
            Err(Problem::Read(error)) => Fault::of(self.repository.unreadable(&object_name, error)).map(Some),
            Err(Problem::Wrong(error)) => Fault::of(error).map(Some),
        }
    }
}

/// Checks the content of the WAL file `name`, and returns its size.
async fn check(
    name: WalName,
    object: ObjectName,
    mut content: Box<dyn AsyncRead + Send + Unpin>,
    identity: Option<ClusterIdentity>,
) -> Result<u64, Problem> {
    let wrong = |reason: String| Problem::Wrong(Error::damaged(&object, reason));
    let mut fetched = FetchedWal::new(name);
    let mut chain = PageChain::default();
    let mut chained: Result<(), PageChainError> = Ok(());
    let mut history = Vec::new();
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        let read = content.read(&mut buffer).await.map_err(Problem::Read)?;
        if read == 0 {
            break;
        }
        let piece = &buffer[..read];
        fetched.add(piece).map_err(wrong)?;
        match name {
            WalName::Segment(_) if chained.is_ok() => chained = chain.push(piece),
            WalName::History(_) if (history.len() as u64) < HISTORY_BYTES => history.extend_from_slice(piece),
            _ => {}
        }
    }
    fetched.check(&object).map_err(Problem::Wrong)?;
    match name {
        WalName::Segment(segment) => {
            let finished = chained.and_then(|()| chain.finish());
            let (header, timeline) = finished.map_err(|error| wrong(error.to_string()))?;
            if let Some(identity) = identity
                && header.system_identifier != identity.system_identifier
            {
                return Err(wrong(format!(
                    "it belongs to the cluster with system identifier {}, and this repository to {}",
                    header.system_identifier, identity.system_identifier
                )));
            }
            if timeline > Some(segment.timeline()) {
                return Err(wrong("it has pages of a later timeline than its name says".to_owned()));
            }
        }
        WalName::History(timeline) => {
            check_history(timeline, &history, &object).map_err(Problem::Wrong)?;
        }
        WalName::Partial(_) | WalName::Backup { .. } => {}
    }
    Ok(fetched.bytes)
}

/// WAL segments that are missing between others of their timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Hole {
    pub(super) first: SegmentName,
    pub(super) last: SegmentName,
}

/// Returns the holes between the listed segments.
pub(super) fn holes(inventory: &Inventory, histories: &Histories, size: SegmentSize) -> Vec<Hole> {
    let mut last: BTreeMap<Timeline, SegmentName> = BTreeMap::new();
    let mut holes = Vec::new();
    for wal in &inventory.wal {
        let WalName::Segment(segment) = wal.name else { continue };
        let timeline = segment.timeline();
        let expected = match last.insert(timeline, segment) {
            Some(before) if before == segment => continue,
            Some(before) => before.next(size),
            // The first segment of a timeline is the one in which it branched off.
            None => histories.get(timeline).and_then(|history| {
                let branched_off = history.ancestors().last()?.switchpoint;
                Some(SegmentName::containing(timeline, branched_off, size))
            }),
        };
        if let Some(first) = expected.filter(|expected| expected.position() < segment.position())
            && let Some(missing) = segment.previous(size)
        {
            holes.push(Hole { first, last: missing });
        }
    }
    holes
}

/// Returns what is wrong with the histories: one that is missing or unreadable, or contradicts that of an ancestor.
pub(super) fn history_faults(histories: &Histories, used: impl Iterator<Item = Timeline>) -> Vec<Fault> {
    let mut faults = Vec::new();
    let name = |timeline| WalName::History(timeline).to_string();
    for timeline in used.filter(|timeline| *timeline != Timeline::FIRST) {
        if !histories.has(timeline) {
            let reason = format!("it is missing, though WAL or a backup of timeline {timeline} is stored");
            faults.push(Fault::new(name(timeline), reason));
        }
    }
    for history in histories.readable() {
        let Some((parent, before)) = history.ancestors().split_last() else { continue };
        let past = histories.get(parent.timeline).map(TimelineHistory::ancestors);
        if past.is_some_and(|past| past != before) {
            let reason = format!("it has another past than {}, its parent's", name(parent.timeline));
            faults.push(Fault::new(name(history.timeline()), reason));
        }
    }
    faults
}

/// Returns where a segment begins.
pub(super) fn start_of(segment: SegmentName, size: SegmentSize) -> Lsn {
    segment.start(size).unwrap_or(Lsn(0))
}
