//! How far the receiver is: what it tells the server, and what the parts of the receiver tell each other.

use std::{
    collections::BTreeSet,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
};

use swiftwal_postgres::{Lsn, SegmentName, Timeline, WalName, replication::WalStatus};
use tokio::sync::{Notify, watch};

use crate::local::content::Beginning;

/// The WAL of a stream.
#[derive(Clone, Debug)]
pub(super) struct Received {
    /// The timeline that is streamed.
    pub(super) timeline: Timeline,
    /// The segments that were complete in the spool when the stream began, and aren't stored yet: WAL from before it.
    pub(super) pending: BTreeSet<SegmentName>,
    /// The end of what is stored of this stream without a gap: at first where it began.
    pub(super) stored: Lsn,
    /// Up to where the WAL is on the local disk.
    pub(super) written: Lsn,
    /// The segment that is being received: where it begins, and what it has so far. None at the edge of a segment.
    pub(super) current: Option<(SegmentName, Beginning)>,
}

/// What the receiver does, for its supervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Activity {
    /// It connects to the server for the first time.
    Connecting,
    /// It receives WAL of this timeline; at first from this position on.
    Receiving(Timeline, Lsn),
    /// It waits before it connects again, for this reason.
    Waiting(String),
}

/// The positions of a receiver, shared by its parts.
#[derive(Debug)]
pub(super) struct Positions {
    /// What the receiver does.
    pub(super) activity: watch::Sender<Activity>,
    /// None before the first stream.
    pub(super) received: watch::Sender<Option<Received>>,
    /// The segments whose beginnings may be in the repository.
    begun: Mutex<BTreeSet<SegmentName>>,
    /// A segment is complete.
    pub(super) completed: Notify,
    /// The beginning of the current segment is to be stored at once.
    pub(super) store_now: Notify,
    /// The server wants a report at once.
    pub(super) report_now: Notify,
}

impl Positions {
    pub(super) fn new() -> Self {
        Self {
            activity: watch::Sender::new(Activity::Connecting),
            received: watch::Sender::new(None),
            begun: Mutex::default(),
            completed: Notify::new(),
            store_now: Notify::new(),
            report_now: Notify::new(),
        }
    }

    /// Records that a file of the spool is stored: all of it, or the beginning of a segment. `range` is the WAL that it
    /// contains.
    pub(super) fn store(&self, name: WalName, range: Option<Range<Lsn>>) {
        self.received.send_modify(|received| {
            if let Some(received) = received {
                received.store(name, range);
            }
        });
    }

    /// Returns what to report: as written what is on the local disk, as flushed what is stored, and the same as applied.
    pub(super) fn status(&self) -> WalStatus {
        self.received.borrow().as_ref().map_or_else(WalStatus::default, Received::status)
    }

    /// Returns the segment that is being received. None at the edge of a segment.
    pub(super) fn current(&self) -> Option<SegmentName> {
        self.received.borrow().as_ref()?.current.as_ref().map(|(segment, _)| *segment)
    }

    /// Returns the segments whose beginnings may be in the repository.
    pub(super) fn begun(&self) -> MutexGuard<'_, BTreeSet<SegmentName>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether everything that was received is stored.
    pub(super) fn is_all_stored(&self) -> bool {
        let status = self.status();
        status.written == status.flushed
    }
}

impl Received {
    /// Advances only without a gap: an earlier process may have left segments from behind the stream's position.
    fn store(&mut self, name: WalName, range: Option<Range<Lsn>>) {
        if let WalName::Segment(segment) = name {
            self.pending.remove(&segment);
        }
        if let Some(range) =
            range.filter(|range| name.timeline() == self.timeline && range.start <= self.stored)
        {
            self.stored = self.stored.max(range.end);
        }
    }

    fn status(&self) -> WalStatus {
        let flushed = self.pending.is_empty().then_some(self.stored.min(self.written));
        WalStatus { written: Some(self.written), flushed, applied: flushed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(timeline: u32, number: u32) -> WalName {
        format!("{timeline:08X}00000000{number:08X}").parse().unwrap()
    }

    /// A stream of timeline 2 that began at 20 and is at 50.
    fn received(pending: &[WalName]) -> Received {
        let pending = pending.iter().filter_map(|name| name.segment()).collect();
        let timeline = Timeline::new(2).unwrap();
        Received { timeline, pending, stored: Lsn(20), written: Lsn(50), current: None }
    }

    fn flushed(received: &Received) -> Option<u64> {
        let status = received.status();
        assert_eq!((status.written, status.applied), (Some(Lsn(50)), status.flushed));
        status.flushed.map(|end| end.0)
    }

    #[test]
    fn flushed_is_what_is_stored_of_the_stream_without_a_gap_and_applied_is_the_same() {
        let after = |timeline, range: Range<u64>| {
            let mut received = received(&[]);
            received.store(name(timeline, 1), Some(Lsn(range.start)..Lsn(range.end)));
            flushed(&received)
        };
        assert_eq!(flushed(&received(&[])), Some(20));
        assert_eq!(after(2, 20..40), Some(40));
        // What was stored of another timeline says nothing about the WAL of this one.
        assert_eq!(after(1, 20..40), Some(20));
        // A file that an earlier process left behind a gap.
        assert_eq!(after(2, 100..110), Some(20));
        assert_eq!(after(2, 0..10), Some(20));
        // After a reconnect, the current segment is received again.
        assert_eq!(after(2, 20..60), Some(50));
    }

    #[test]
    fn nothing_is_flushed_before_what_was_in_the_spool_is_stored() {
        let mut received = received(&[name(1, 7), name(2, 9)]);
        received.store(name(2, 1), Some(Lsn(20)..Lsn(40)));
        assert_eq!(flushed(&received), None);
        received.store(name(1, 7), Some(Lsn(0)..Lsn(20)));
        assert_eq!(flushed(&received), None);
        received.store(name(2, 9), Some(Lsn(100)..Lsn(120)));
        assert_eq!(flushed(&received), Some(40));
    }
}
