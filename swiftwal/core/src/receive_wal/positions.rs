//! How far the receiver is: what it tells the server, and what the parts of the receiver tell each other.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use swiftwal_postgres::{Lsn, SegmentName, Timeline, replication::WalStatus};
use tokio::sync::{Notify, watch};

use crate::local::content::Beginning;

/// The WAL of a stream.
#[derive(Clone, Debug)]
pub(super) struct Received {
    /// The timeline that is streamed.
    pub(super) timeline: Timeline,
    /// Where the stream began, if all WAL before it was stored by then.
    pub(super) stored_before: Option<Lsn>,
    /// Up to where the WAL is on the local disk.
    pub(super) written: Lsn,
    /// The segment that is being received: where it begins, and what it has so far. None at the edge of a segment.
    pub(super) current: Option<(SegmentName, Beginning)>,
}

/// The positions of a receiver, shared by its parts.
#[derive(Debug)]
pub(super) struct Positions {
    /// None before the first stream.
    pub(super) received: watch::Sender<Option<Received>>,
    /// The end of the WAL that was stored last, with its timeline.
    pub(super) stored: watch::Sender<Option<(Timeline, Lsn)>>,
    /// The segments whose beginnings may be in the repository.
    begun: Mutex<BTreeSet<SegmentName>>,
    /// A segment or a history is complete.
    pub(super) completed: Notify,
    /// The beginning of the current segment is to be stored at once.
    pub(super) store_now: Notify,
    /// The server wants a report at once.
    pub(super) report_now: Notify,
}

impl Positions {
    pub(super) fn new() -> Self {
        Self {
            received: watch::Sender::new(None),
            stored: watch::Sender::new(None),
            begun: Mutex::default(),
            completed: Notify::new(),
            store_now: Notify::new(),
            report_now: Notify::new(),
        }
    }

    /// Returns what to report: as written what is on the local disk, as flushed what is stored, and the same as applied.
    pub(super) fn status(&self) -> WalStatus {
        let received = self.received.borrow();
        let stored = *self.stored.borrow();
        received.as_ref().map_or_else(WalStatus::default, |received| received.status(stored))
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
    fn status(&self, stored: Option<(Timeline, Lsn)>) -> WalStatus {
        // What was stored of another timeline says nothing about the WAL of this one.
        let of_stream = stored.filter(|(timeline, _)| *timeline == self.timeline).map(|(_, end)| end);
        let flushed = of_stream.max(self.stored_before).map(|end| end.min(self.written));
        WalStatus { written: Some(self.written), flushed, applied: flushed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flushed_is_what_is_stored_of_this_timeline_and_applied_is_never_more() {
        let timeline = |number| Timeline::new(number).unwrap();
        let status = |stored_before: Option<u64>, stored: Option<(u32, u64)>| {
            let stored_before = stored_before.map(Lsn);
            let received = Received { timeline: timeline(2), stored_before, written: Lsn(50), current: None };
            let status = received.status(stored.map(|(number, end)| (timeline(number), Lsn(end))));
            assert_eq!((status.written, status.applied), (Some(Lsn(50)), status.flushed));
            status.flushed.map(|end| end.0)
        };
        assert_eq!(status(None, None), None);
        assert_eq!(status(Some(20), None), Some(20));
        assert_eq!(status(None, Some((1, 40))), None);
        assert_eq!(status(Some(20), Some((1, 40))), Some(20));
        assert_eq!(status(Some(20), Some((2, 40))), Some(40));
        assert_eq!(status(Some(20), Some((2, 10))), Some(20));
        // After a reconnect, the current segment is received again.
        assert_eq!(status(Some(20), Some((2, 60))), Some(50));
    }
}
