//! The clock of Swift, for the storage's `Clock`.

use async_trait::async_trait;
use jiff::Timestamp;
use object_store::Result;
use object_store_swift::Swift;
use swiftwal_core::StorageClock;

/// The clock of Swift's proxies, which date the objects.
#[derive(Debug)]
pub(super) struct SwiftClock(pub(super) Swift);

#[async_trait]
impl StorageClock for SwiftClock {
    async fn now(&self) -> Result<Timestamp> {
        Ok(self.0.server_time().await?.try_into().unwrap_or(Timestamp::UNIX_EPOCH))
    }
}
