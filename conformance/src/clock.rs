//! Clocks that a scenario sets: that of the storage, and that of swiftwal's machine.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use jiff::{SignedDuration, Timestamp};
use swiftwal_core::{Clock, SystemClock};

/// A clock that stands still until it is advanced. Clones are the same clock.
///
/// It begins at the machine's time: a store dates objects by its own clock, and the flows compare the two.
#[derive(Clone, Debug)]
pub struct ManualClock {
    start: Timestamp,
    advanced_seconds: Arc<AtomicI64>,
}

impl ManualClock {
    /// Creates a clock that stands still at the machine's current time.
    #[must_use]
    pub fn new() -> Self {
        Self { start: SystemClock.now(), advanced_seconds: Arc::default() }
    }

    /// Advances the clock.
    pub fn advance(&self, by: SignedDuration) {
        self.advanced_seconds.fetch_add(by.as_secs(), Ordering::SeqCst);
    }

    /// Sets it back to its start.
    pub fn rewind(&self) {
        self.advanced_seconds.store(0, Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.start + SignedDuration::from_secs(self.advanced_seconds.load(Ordering::SeqCst))
    }
}

/// The clock of the machine that runs swiftwal, which a scenario can set wrong. Clones are the same clock.
#[derive(Clone, Debug)]
pub(crate) struct MachineClock {
    right: ManualClock,
    ahead_seconds: Arc<AtomicI64>,
}

impl MachineClock {
    pub(crate) fn new(right: ManualClock) -> Self {
        Self { right, ahead_seconds: Arc::default() }
    }

    /// Sets the clock ahead of the right time, or behind it.
    pub(crate) fn set_ahead(&self, by: SignedDuration) {
        self.ahead_seconds.store(by.as_secs(), Ordering::SeqCst);
    }
}

impl Clock for MachineClock {
    fn now(&self) -> Timestamp {
        self.right.now() + SignedDuration::from_secs(self.ahead_seconds.load(Ordering::SeqCst))
    }
}
