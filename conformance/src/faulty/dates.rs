//! The dates of objects according to the manual clock.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use async_trait::async_trait;
use jiff::Timestamp;
use object_store::{ObjectMeta, path::Path};
use swiftwal_core::{Clock, StorageClock};

use super::faults::Faults;
use crate::ManualClock;

/// The time by the manual clock at which each object was written. Clones share it.
///
/// A store dates objects by its own clock; this keeps the dates consistent with the manual clock.
#[derive(Clone, Debug)]
pub(crate) struct Dates {
    clock: ManualClock,
    written: Arc<Mutex<HashMap<Path, SystemTime>>>,
}

impl Dates {
    pub(crate) fn new(clock: ManualClock) -> Self {
        Self { clock, written: Arc::default() }
    }

    pub(super) fn written(&self, object: &Path) {
        let now = self.clock.now().into();
        self.written.lock().unwrap_or_else(PoisonError::into_inner).insert(object.clone(), now);
    }

    /// Returns the object with its date by the manual clock.
    pub(super) fn dated(&self, object: ObjectMeta) -> ObjectMeta {
        match self.written.lock().unwrap_or_else(PoisonError::into_inner).get(&object.location) {
            Some(written) => ObjectMeta { last_modified: (*written).into(), ..object },
            None => object,
        }
    }
}

/// The manual clock as the storage's clock. It is read from the date of an object that is stored for that.
#[derive(Debug)]
pub(super) struct FaultyClock {
    pub(super) dates: Dates,
    pub(super) faults: Faults,
}

#[async_trait]
impl StorageClock for FaultyClock {
    async fn now(&self) -> object_store::Result<Timestamp> {
        self.faults.time().await?;
        Ok(self.dates.clock.now())
    }
}
