//! The three clocks of a repository: the storage's, PostgreSQL's, and this machine's.
//!
//! By the storage's clock, prune distinguishes running uploads from abandoned ones, since the storage dates the
//! objects. The times in a backup are PostgreSQL's, since recovery targets are. This machine's clock decides nothing:
//! it is only compared with the others, so that the administrator learns of a wrong clock.

use jiff::{SignedDuration, Timestamp};
use object_store::{ObjectStoreExt, PutMode, PutPayload};
use uuid::Uuid;

use crate::{
    error::Result,
    local::elapsed::Elapsed,
    repository::{
        Repository,
        inventory::{Inventory, touched},
        layout::ObjectName,
        path,
    },
};

/// The time for which leftovers of an upload are kept, since it might still be running. A running one touches its
/// objects far more often.
pub(crate) const GRACE: SignedDuration = SignedDuration::from_hours(24);
/// The largest difference between two clocks that isn't reported. HTTP dates are whole seconds, and requests take time.
const TOLERANCE: SignedDuration = SignedDuration::from_secs(10);
/// The prefix of the objects that are written to learn the storage's time.
const PROBES: &str = "...clock";

/// The storage's time, and the limit between running uploads and abandoned ones.
#[derive(Clone, Debug)]
pub(crate) struct Liveness {
    /// The storage's time; if that isn't known, an earlier one.
    pub(crate) now: Timestamp,
    /// An upload that was touched later than this, by the storage's clock, is running.
    pub(crate) before: Timestamp,
    /// A notice for the administrator about the clocks.
    pub(crate) notice: Option<String>,
}

/// Returns the limit between running uploads and abandoned ones at the storage's time `now`.
pub(crate) fn limit(now: Timestamp) -> Timestamp {
    now - GRACE
}

impl Repository {
    /// Returns the storage's time: from a response, or the date of an object that is written for this.
    pub async fn storage_now(&self) -> Result<Timestamp> {
        match self.storage().clock() {
            Some(clock) => clock.now().await.map_err(self.failed("get the time from", "the storage")),
            None => self.probed_time().await,
        }
    }

    /// Returns the storage's time. If that can't be learned, as by a reader, returns the date of the newest object in
    /// `inventory`, which is earlier.
    pub async fn time(&self, inventory: &Inventory) -> Timestamp {
        self.liveness(inventory).await.now
    }

    /// Returns the storage's time, if it can be asked without writing an object, and answers.
    pub(crate) async fn storage_now_if_told(&self) -> Option<Timestamp> {
        self.storage().clock()?.now().await.ok()
    }

    async fn probed_time(&self) -> Result<Timestamp> {
        let probe = ObjectName::Hidden(format!("{PROBES}/{}", Uuid::new_v4()));
        self.put(&probe, PutPayload::new(), PutMode::Create).await?;
        let dated = self.storage().store().head(&path(&probe)).await;
        let deleted = self.delete(&probe).await;
        let dated = dated.map_err(self.failed("get the date of", &probe))?;
        deleted.map(|()| touched(&dated))
    }

    /// Returns the storage's time, and a notice if this machine's clock differs from it.
    pub(crate) async fn storage_now_compared(&self) -> Result<(Timestamp, Option<String>)> {
        let sent = self.clock().now();
        let storage = self.storage_now().await?;
        // The storage read its clock at some time between the request and the response.
        let here = storage.clamp(sent, self.clock().now().max(sent));
        let notice = difference("this machine", here, "the storage", storage);
        Ok((storage, notice))
    }

    /// Returns the limit between running uploads and abandoned ones, for the repository with this `inventory`.
    pub(crate) async fn liveness(&self, inventory: &Inventory) -> Liveness {
        self.liveness_at(self.storage_now_compared().await, inventory)
    }

    /// As [`liveness`](Self::liveness), with the storage's time or the failure to get it, as from a full storage. After
    /// a failure, the date of the newest object stands for the time. The true time is later, so some abandoned uploads
    /// count as running, and never the other way round.
    pub(crate) fn liveness_at(
        &self,
        asked: Result<(Timestamp, Option<String>)>,
        inventory: &Inventory,
    ) -> Liveness {
        let error = match asked {
            Ok((now, notice)) => return Liveness { now, before: limit(now), notice },
            Err(error) => error,
        };
        // A date in the future comes from another clock, as that of a file that was copied here.
        let newest = inventory.newest.min(self.clock().now());
        let notice = format!(
            "can't get the storage's time, so nothing counts as left behind by a crash unless it is more than \
             24 hours older than the newest object: {}",
            error.in_full()
        );
        let before = newest.checked_sub(GRACE).unwrap_or(Timestamp::MIN);
        Liveness { now: newest, before, notice: Some(notice) }
    }
}

/// Returns a notice if two clocks, read at the same moment, differ.
pub(crate) fn difference(one: &str, by_one: Timestamp, other: &str, by_other: Timestamp) -> Option<String> {
    let apart = by_one.duration_since(by_other).abs();
    (apart > TOLERANCE).then(|| {
        let (by_one, by_other) = (to_the_second(by_one), to_the_second(by_other));
        let apart = Elapsed(to_the_minute(apart).unsigned_abs());
        format!(
            "the clocks of {one} and of {other} are {apart} apart: {by_one} and {by_other}; set both by NTP"
        )
    })
}

/// Rounds long durations, for which the seconds don't matter.
fn to_the_minute(duration: SignedDuration) -> SignedDuration {
    match duration.as_secs() {
        few @ ..300 => SignedDuration::from_secs(few),
        many => SignedDuration::from_mins((many + 30) / 60),
    }
}

fn to_the_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::StreamExt;
    use object_store::{ObjectStore, memory::InMemory};

    use super::*;
    use crate::{
        local::clock::{Clock, SystemClock},
        storage::Storage,
    };

    #[derive(Debug)]
    struct Slow(SignedDuration);

    impl Clock for Slow {
        fn now(&self) -> Timestamp {
            SystemClock.now() - self.0
        }
    }

    fn repository(clock: impl Clock + 'static) -> (Repository, Arc<InMemory>) {
        let store = Arc::new(InMemory::new());
        let storage = Storage::new(Arc::clone(&store) as _);
        (Repository::new(storage, "a test", Arc::new(clock)), store)
    }

    #[tokio::test]
    async fn a_storage_that_tells_no_time_is_asked_by_an_object_that_goes_again() {
        let (repository, store) = repository(SystemClock);
        let (now, notice) = repository.storage_now_compared().await.unwrap();
        assert!(SystemClock.now().duration_since(now).abs() < SignedDuration::from_mins(5));
        assert_eq!(notice, None);
        assert!(store.list(None).next().await.is_none());
    }

    #[tokio::test]
    async fn a_machine_whose_clock_differs_from_the_storages_is_told_both_times() {
        let (repository, _) = repository(Slow(SignedDuration::from_mins(26 * 60 + 30)));
        let notice = repository.liveness(&Inventory::default()).await.notice.unwrap();
        assert!(notice.contains("26 h 30 min apart: 2") && notice.contains("Z and 2"), "{notice}");
    }

    #[test]
    fn clocks_some_seconds_apart_are_not_worth_a_word() {
        let now = SystemClock.now();
        assert_eq!(difference("a", now, "b", now + TOLERANCE), None);
        assert!(difference("a", now, "b", now + TOLERANCE * 2).is_some());
    }
}
