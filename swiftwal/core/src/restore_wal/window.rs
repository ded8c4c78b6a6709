//! Decides which segments a prefetcher fetches and keeps: those that follow the one that was delivered last.
//!
//! It begins with one segment and goes on with two when that was found; their number doubles with each one that is taken
//! out of the spool. What was fetched is thrown away when the prefetcher ends because the server is slow. After a segment
//! that is missing, or a failure, no fetch is started until the next delivery, and then only one: a standby at the end of
//! the archive causes one useless request for each segment.
//!
//! A fetch is known by its [`Progress`]: one that isn't wanted any more may go on for a while, and another one of the same
//! segment may have begun.

use std::{
    collections::BTreeMap,
    iter, mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use swiftwal_postgres::{SegmentName, SegmentSize};
use tokio::time::Instant;

use crate::local::content::Fingerprint;

/// How long a segment is handed out after it was fetched: it may be archived again with other content, after
/// `timeline discard` or by `archive-wal --force`.
const FRESH: Duration = Duration::from_secs(60);

/// The segments after the one that was delivered last.
#[derive(Debug)]
pub(super) struct Window {
    size: SegmentSize,
    delivered: SegmentName,
    /// The number of segments that are fetched ahead now, and at most.
    width: usize,
    most: usize,
    slots: BTreeMap<SegmentName, Slot>,
    /// Whether a fetch since the last delivery found nothing, or failed.
    is_stopped: bool,
    /// The number of processes that wait for a segment.
    waiting: usize,
    /// Segments that are no longer wanted, and that the caller hasn't removed yet.
    unwanted: Vec<SegmentName>,
}

/// The state of a segment.
#[derive(Clone, Debug)]
pub(super) enum Slot {
    /// It is being fetched.
    Fetching(Progress),
    /// It is in the spool, and was this file when it was complete, at that time.
    Ready(Fingerprint, Instant),
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

    /// Whether both are of the same fetch.
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Window {
    /// Creates the window after `delivered`, of `most` segments after some deliveries.
    pub(super) fn new(delivered: SegmentName, size: SegmentSize, most: usize) -> Self {
        Self {
            size,
            delivered,
            width: 1,
            most,
            slots: BTreeMap::new(),
            is_stopped: false,
            waiting: 0,
            unwanted: Vec::new(),
        }
    }

    /// Moves the window behind `segment`, which a process has received.
    pub(super) fn deliver(&mut self, segment: SegmentName) {
        self.delivered = segment;
        self.is_stopped = false;
        let wanted: Vec<_> = self.following(self.most).collect();
        self.remove_if(|name, slot| !wanted.contains(name) && !matches!(slot, Slot::HandedOut));
    }

    /// Drops the segments that were fetched too long ago, and begins with one segment again: the server is slower than
    /// was expected.
    pub(super) fn expire(&mut self, now: Instant) {
        let is_old =
            |slot: &Slot| matches!(slot, Slot::Ready(_, since) if now.duration_since(*since) >= FRESH);
        if self.slots.values().any(is_old) {
            self.width = 1;
            self.remove_if(|_, slot| is_old(slot));
        }
    }

    /// Drops all segments. No fetch counts from now on, and none is started until the next delivery.
    pub(super) fn close(&mut self) {
        self.is_stopped = true;
        self.remove_if(|_, _| true);
    }

    fn remove_if(&mut self, is_unwanted: impl Fn(&SegmentName, &Slot) -> bool) {
        let unwanted = self.slots.extract_if(.., |name, slot| is_unwanted(name, slot));
        self.unwanted.extend(unwanted.map(|(name, _)| name));
    }

    /// Returns the segments that are no longer wanted: their fetches must be ended and their files removed.
    pub(super) fn take_unwanted(&mut self) -> Vec<SegmentName> {
        mem::take(&mut self.unwanted)
    }

    /// Records that a process begins to wait for a segment: until [`end_wait`](Self::end_wait), no fetch is started that
    /// would make it slower.
    pub(super) fn begin_wait(&mut self) {
        self.waiting += 1;
    }

    pub(super) fn end_wait(&mut self) {
        self.waiting -= 1;
    }

    /// Returns the next segment to fetch, if there is one, which counts as being fetched from now on.
    pub(super) fn next(&mut self) -> Option<(SegmentName, Progress)> {
        if self.is_stopped || self.waiting > 0 {
            return None;
        }
        let next = self.following(self.width).find(|name| !self.slots.contains_key(name))?;
        let progress = Progress::default();
        self.slots.insert(next, Slot::Fetching(progress.clone()));
        Some((next, progress))
    }

    /// Whether this fetch of a segment is still wanted, and hasn't ended.
    pub(super) fn is_fetching(&self, segment: SegmentName, fetch: &Progress) -> bool {
        matches!(self.slots.get(&segment), Some(Slot::Fetching(progress)) if progress.is(fetch))
    }

    /// Records the outcome of a fetch, unless it isn't wanted any more: none if the segment is missing or the fetch failed.
    pub(super) fn fetched(&mut self, segment: SegmentName, fetch: &Progress, outcome: Option<Fingerprint>) {
        if !self.is_fetching(segment, fetch) {
            return;
        }
        if let Some(fingerprint) = outcome {
            self.slots.insert(segment, Slot::Ready(fingerprint, Instant::now()));
            self.width = self.width.max(2).min(self.most);
        } else {
            self.is_stopped = true;
            self.width = 1;
            self.slots.remove(&segment);
        }
    }

    /// Returns the state of a segment that a process asks for; none if it isn't here. A segment that is ready counts as
    /// handed out and delivered from now on.
    pub(super) fn take(&mut self, segment: SegmentName) -> Option<Slot> {
        self.expire(Instant::now());
        let slot = self.slots.get(&segment)?.clone();
        if matches!(slot, Slot::Ready(..)) {
            self.slots.insert(segment, Slot::HandedOut);
            self.width = (self.width * 2).min(self.most);
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

    fn following(&self, number: usize) -> impl Iterator<Item = SegmentName> + use<> {
        let size = self.size;
        iter::successors(self.delivered.next(size), move |name| name.next(size)).take(number)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio::time::advance;

    use super::*;

    fn segment(number: u64) -> SegmentName {
        format!("0000000100000000{number:08X}").parse().unwrap()
    }

    fn segments(numbers: impl IntoIterator<Item = u64>) -> Vec<SegmentName> {
        numbers.into_iter().map(segment).collect()
    }

    fn some_file() -> Option<Fingerprint> {
        Some(Fingerprint::of(&fs::metadata("/").unwrap()))
    }

    fn window(most: usize) -> Window {
        Window::new(segment(1), SegmentSize::default(), most)
    }

    /// Starts every fetch that is wanted.
    fn start(window: &mut Window) -> Vec<SegmentName> {
        iter::from_fn(|| window.next()).map(|(name, _)| name).collect()
    }

    /// Ends the fetch of a segment.
    fn end(window: &mut Window, number: u64, outcome: Option<Fingerprint>) {
        let Some(Slot::Fetching(fetch)) = window.slots.get(&segment(number)).cloned() else {
            panic!("{number} isn't being fetched");
        };
        window.fetched(segment(number), &fetch, outcome);
    }

    /// Fetches a segment and hands it out.
    fn hit(window: &mut Window, number: u64) {
        end(window, number, some_file());
        assert!(matches!(window.take(segment(number)), Some(Slot::Ready(..))));
        window.release(segment(number));
    }

    #[test]
    fn it_begins_with_one_segment_and_doubles_with_each_that_is_taken_up_to_its_limit() {
        let mut window = window(5);
        assert_eq!(start(&mut window), segments([2]));
        end(&mut window, 2, some_file());
        assert_eq!(start(&mut window), segments([3]));
        assert!(matches!(window.take(segment(2)), Some(Slot::Ready(..))));
        assert_eq!(start(&mut window), segments([4, 5, 6]));
        hit(&mut window, 3);
        assert_eq!(start(&mut window), segments([7, 8]));
        window.deliver(segment(4));
        assert_eq!(window.take_unwanted(), segments([4]), "another process has fetched it");
    }

    #[test]
    fn a_missing_segment_is_asked_for_again_after_the_next_delivery_and_it_alone() {
        let mut window = window(8);
        for number in 2..=3 {
            start(&mut window);
            hit(&mut window, number);
        }
        assert_eq!(start(&mut window), segments(7..=11));
        end(&mut window, 4, None);
        assert!(window.take(segment(4)).is_none());
        for number in 5..=11 {
            end(&mut window, number, None);
        }
        assert_eq!(start(&mut window), []);
        window.deliver(segment(3));
        assert_eq!(start(&mut window), segments([4]));
        end(&mut window, 4, None);
        for delivered in 4..=6 {
            window.deliver(segment(delivered));
            assert_eq!(start(&mut window), segments([delivered + 1]), "a standby at the end of the archive");
            end(&mut window, delivered + 1, None);
        }
    }

    #[test]
    fn while_a_process_waits_no_fetch_of_a_later_segment_is_started() {
        let mut window = window(8);
        start(&mut window);
        hit(&mut window, 2);
        window.begin_wait();
        assert_eq!(start(&mut window), []);
        window.end_wait();
        assert_eq!(start(&mut window), segments(3..=6));
    }

    #[tokio::test(start_paused = true)]
    async fn a_segment_that_was_fetched_a_minute_ago_is_dropped_and_the_next_one_is_fetched_again() {
        let mut window = window(8);
        start(&mut window);
        hit(&mut window, 2);
        start(&mut window);
        end(&mut window, 3, some_file());
        advance(Duration::from_secs(30)).await;
        end(&mut window, 4, some_file());
        advance(Duration::from_secs(29)).await;
        window.expire(Instant::now());
        assert_eq!(window.take_unwanted(), []);
        advance(Duration::from_secs(1)).await;
        assert!(window.take(segment(3)).is_none(), "it may have been archived again");
        assert_eq!(window.take_unwanted(), segments([3]));
        assert_eq!(start(&mut window), segments([3]));
        assert!(matches!(window.take(segment(4)), Some(Slot::Ready(..))));
    }

    #[test]
    fn what_is_no_longer_wanted_goes_even_if_it_is_complete() {
        let mut window = window(4);
        start(&mut window);
        hit(&mut window, 2);
        start(&mut window);
        end(&mut window, 3, some_file());
        let other: SegmentName = "000000020000000000000002".parse().unwrap();
        window.deliver(other);
        assert_eq!(window.take_unwanted(), segments(3..=6));
        assert!(start(&mut window).iter().all(|name| name.timeline() == other.timeline()));
    }

    #[test]
    fn a_fetch_that_is_not_wanted_any_more_does_not_count_even_if_its_segment_is_fetched_again() {
        let mut window = window(4);
        let (name, old) = window.next().unwrap();
        window.deliver(segment(9));
        window.deliver(segment(1));
        assert!(!window.is_fetching(name, &old));
        let (again, new) = window.next().unwrap();
        assert_eq!(again, name);
        window.fetched(name, &old, some_file());
        assert!(!window.is_fetching(name, &old) && window.is_fetching(name, &new));
        window.close();
        assert!(!window.is_fetching(name, &new));
        assert_eq!(window.take_unwanted(), [name, name]);
        assert!(window.next().is_none());
    }

    #[test]
    fn a_segment_is_handed_out_once() {
        let mut window = window(2);
        start(&mut window);
        assert!(matches!(window.take(segment(2)), Some(Slot::Fetching(_))));
        end(&mut window, 2, some_file());
        assert!(matches!(window.take(segment(2)), Some(Slot::Ready(..))));
        assert!(matches!(window.take(segment(2)), Some(Slot::HandedOut)));
        assert_eq!(window.take_unwanted(), [], "it is being taken");
        window.release(segment(2));
        assert!(window.take(segment(2)).is_none());
    }

    #[test]
    fn at_the_end_of_all_wal_nothing_is_wanted() {
        let last = "00000001FFFFFFFF000000FF".parse().unwrap();
        let mut window = Window::new(last, SegmentSize::default(), 16);
        assert!(window.next().is_none());
    }
}
