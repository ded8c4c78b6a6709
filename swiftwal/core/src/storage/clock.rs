//! The clock of a storage.

use std::fmt;

use async_trait::async_trait;
use jiff::Timestamp;

/// The clock of a storage, as its responses or its files show it.
///
/// The storage dates objects by this clock, so the age of an object can only be measured by it.
#[async_trait]
pub trait StorageClock: fmt::Debug + Send + Sync {
    /// Returns the storage's current time, to the second.
    async fn now(&self) -> object_store::Result<Timestamp>;
}
