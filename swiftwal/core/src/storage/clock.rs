//! The clock of a storage.

use std::fmt;

use async_trait::async_trait;
use jiff::Timestamp;

/// Tells a storage's own time, as its answers or its files carry it.
///
/// A storage dates what is written to it by this clock, and only by this clock can be said how old that is.
#[async_trait]
pub trait StorageClock: fmt::Debug + Send + Sync {
    /// The storage's time of now, to the second.
    async fn now(&self) -> object_store::Result<Timestamp>;
}
