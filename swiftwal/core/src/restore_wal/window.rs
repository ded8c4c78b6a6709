//! Decides which segments a prefetcher fetches and keeps: those that follow the one that was delivered last.
//!
//! Their number grows with each delivery: what was fetched is thrown away when the prefetcher ends because the server is
//! slow. After a segment that is missing, or a failure, no fetch is started until the next delivery; neither is remembered
//! longer.

use std::{
    collections::BTreeMap,
    iter, mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use swiftwal_postgres::{SegmentName, SegmentSize};

use crate::local::content::Fingerprint;

/// The segments after the one that was delivered last.
#[derive(Debug)]
pub(super) struct Window {
    size: SegmentSize,
    delivered: SegmentName,
    /// The number of segments that are wanted now, and at most.
    width: usize,
    most: usize,
    slots: BTreeMap<SegmentName, Slot>,
    /// Whether a fetch since the last delivery found nothing, or failed.
    is_stopped: bool,
    /// Segments that are no longer wanted, and that the caller hasn't removed yet.
    unwanted: Vec<SegmentName>,
}

/// The state of a segment.
#[derive(Clone, Debug)]
pub(super) enum Slot {
    /// It is being fetched.
    Fetching(Progress),
    /// It is in the spool, and was this file when it was complete.
    Ready(Fingerprint),
    /// A process is taking it out of the spool.
    HandedOut,
}

/// The number of bytes of a segment that were fetched so far. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress(Arc<AtomicU64>);

impl Progress {
    pub(super) fn set(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Window {
    /// Creates the window after `delivered`: of `first` segments, and after some deliveries of `most`.
    pub(super) fn new(delivered: SegmentName, size: SegmentSize, first: usize, most: usize) -> Self {
        Self {
            size,
            delivered,
            width: first.min(most),
            most,
            slots: BTreeMap::new(),
            is_stopped: false,
            unwanted: Vec::new(),
        }
    }

    /// Moves the window behind `segment`, which a process has received.
    pub(super) fn deliver(&mut self, segment: SegmentName) {
        self.delivered = segment;
        self.width = (self.width * 2).min(self.most);
        self.is_stopped = false;
        let wanted: Vec<_> = self.wanted().collect();
        let unwanted: Vec<_> = self
            .slots
            .extract_if(.., |name, slot| !wanted.contains(name) && !matches!(slot, Slot::HandedOut))
            .map(|(name, _)| name)
            .collect();
        self.unwanted.extend(unwanted);
    }

    /// Returns the segments that are no longer wanted: their fetches must be ended and their files removed.
    pub(super) fn take_unwanted(&mut self) -> Vec<SegmentName> {
        mem::take(&mut self.unwanted)
    }

    /// Returns the next segment to fetch, if there is one, which counts as being fetched from now on.
    pub(super) fn next(&mut self) -> Option<(SegmentName, Progress)> {
        if self.is_stopped {
            return None;
        }
        let next = self.wanted().find(|name| !self.slots.contains_key(name))?;
        let progress = Progress::default();
        self.slots.insert(next, Slot::Fetching(progress.clone()));
        Some((next, progress))
    }

    /// Records the outcome of a fetch: none if the segment is missing or the fetch failed. Returns whether a file that it
    /// has created is kept.
    pub(super) fn fetched(&mut self, segment: SegmentName, outcome: Option<Fingerprint>) -> bool {
        if !matches!(self.slots.get(&segment), Some(Slot::Fetching(_))) {
            return false;
        }
        match outcome {
            Some(fingerprint) => drop(self.slots.insert(segment, Slot::Ready(fingerprint))),
            None => {
                self.is_stopped = true;
                self.slots.remove(&segment);
            }
        }
        outcome.is_some()
    }

    /// Returns the state of a segment that a process asks for; none if it isn't here. A segment that is ready counts as
    /// handed out and delivered from now on.
    pub(super) fn take(&mut self, segment: SegmentName) -> Option<Slot> {
        let slot = self.slots.get(&segment)?.clone();
        if matches!(slot, Slot::Ready(_)) {
            self.slots.insert(segment, Slot::HandedOut);
            self.deliver(segment);
        }
        Some(slot)
    }

    /// Forgets a segment that was handed out.
    pub(super) fn release(&mut self, segment: SegmentName) {
        if matches!(self.slots.get(&segment), Some(Slot::HandedOut)) {
            self.slots.remove(&segment);
        }
    }

    fn wanted(&self) -> impl Iterator<Item = SegmentName> + use<> {
        let size = self.size;
        iter::successors(self.delivered.next(size), move |name| name.next(size)).take(self.width)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn segment(number: u64) -> SegmentName {
        format!("0000000100000000{number:08X}").parse().unwrap()
    }

    fn window(most: usize) -> Window {
        Window::new(segment(1), SegmentSize::default(), 2, most)
    }

    /// Starts every fetch that is wanted.
    fn start(window: &mut Window) -> Vec<SegmentName> {
        iter::from_fn(|| window.next()).map(|(name, _)| name).collect()
    }

    fn some_file() -> Option<Fingerprint> {
        Some(Fingerprint::of(&fs::metadata("/").unwrap()))
    }

    fn segments(numbers: impl IntoIterator<Item = u64>) -> Vec<SegmentName> {
        numbers.into_iter().map(segment).collect()
    }

    #[test]
    fn it_grows_with_each_delivery_and_not_beyond_its_limit() {
        let mut window = window(5);
        assert_eq!(start(&mut window), segments([2, 3]));
        assert!(window.fetched(segment(2), some_file()));
        assert!(matches!(window.take(segment(2)), Some(Slot::Ready(_))));
        assert_eq!(start(&mut window), segments([4, 5, 6]));
        window.deliver(segment(3));
        assert_eq!(start(&mut window), segments([7, 8]));
        assert_eq!(window.take_unwanted(), segments([3]), "another process has fetched it");
    }

    #[test]
    fn a_missing_segment_is_asked_for_again_after_the_next_delivery() {
        let mut window = window(4);
        start(&mut window);
        assert!(!window.fetched(segment(2), None));
        assert!(window.take(segment(2)).is_none());
        assert_eq!(start(&mut window), []);
        window.deliver(segment(1));
        assert_eq!(start(&mut window), segments([2, 4, 5]));
    }

    #[test]
    fn what_is_no_longer_wanted_goes_even_if_it_is_complete() {
        let mut window = window(4);
        start(&mut window);
        window.fetched(segment(2), some_file());
        let other: SegmentName = "000000020000000000000002".parse().unwrap();
        window.deliver(other);
        assert_eq!(window.take_unwanted(), segments([2, 3]));
        assert!(!window.fetched(segment(3), some_file()), "its fetch ends too late");
        assert!(start(&mut window).iter().all(|name| name.timeline() == other.timeline()));
    }

    #[test]
    fn a_segment_is_handed_out_once() {
        let mut window = window(2);
        start(&mut window);
        assert!(matches!(window.take(segment(2)), Some(Slot::Fetching(_))));
        window.fetched(segment(2), some_file());
        assert!(matches!(window.take(segment(2)), Some(Slot::Ready(_))));
        assert!(matches!(window.take(segment(2)), Some(Slot::HandedOut)));
        assert_eq!(window.take_unwanted(), [], "it is being taken");
        window.release(segment(2));
        assert!(window.take(segment(2)).is_none());
    }

    #[test]
    fn at_the_end_of_all_wal_nothing_is_wanted() {
        let last = "00000001FFFFFFFF000000FF".parse().unwrap();
        let mut window = Window::new(last, SegmentSize::default(), 2, 16);
        assert!(window.next().is_none());
    }
}
