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

/// When each object was written, by the manual clock. Clones are the same.
///
/// A store dates what it stores by its own clock, and this makes the two go together.
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

    /// The same object, as old as the manual clock makes it.
    pub(super) fn dated(&self, object: ObjectMeta) -> ObjectMeta {
        match self.written.lock().unwrap_or_else(PoisonError::into_inner).get(&object.location) {
            Some(written) => ObjectMeta { last_modified: (*written).into(), ..object },
            None => object,
        }
    }
}

/// The manual clock as the storage's, which is read off an object that is stored for that.
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
