//! The gaps that receive-wal found: WAL that the server had removed before it was stored.
//!
//! A record of a gap is a notice for people. Nothing relies on it: what is missing shows in the names of the WAL. So a gap
//! that was filled later is simply not reported any more.

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use object_store::PutMode;
use serde::{Deserialize, Serialize};
use swiftwal_postgres::{SegmentName, SegmentSize, WalName};

use crate::{
    error::{Error, Result},
    repository::{
        Repository, inventory::Inventory, layout::ObjectName, objects::CONCURRENT_READS,
        stored_json::refuse_newer,
    },
};

/// The newest format version that this program reads, and the one it writes.
const FORMAT: u32 = 1;

/// WAL that is missing between stored WAL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WalGap {
    format: u32,
    /// The first missing segment.
    pub first_wal: SegmentName,
    /// The last missing segment.
    pub last_wal: SegmentName,
    /// The size of a segment.
    wal_segment_bytes: SegmentSize,
    /// When it was noticed, by the clock of the machine that received.
    pub noticed: Timestamp,
}

impl WalGap {
    pub(crate) fn new(
        first_wal: SegmentName,
        last_wal: SegmentName,
        wal_segment_bytes: SegmentSize,
        noticed: Timestamp,
    ) -> Self {
        Self { format: FORMAT, first_wal, last_wal, wal_segment_bytes, noticed }
    }

    /// Returns how many segments are missing. None if the timeline changes within them.
    pub(crate) fn segments(&self) -> Option<u64> {
        let number = |segment: SegmentName| {
            Some(segment.start(self.wal_segment_bytes)?.0 / self.wal_segment_bytes.bytes())
        };
        let is_one = self.first_wal.timeline() == self.last_wal.timeline();
        let (first, last) = (number(self.first_wal)?, number(self.last_wal)?);
        is_one.then(|| last.checked_sub(first).map(|more| more + 1)).flatten()
    }

    /// Whether every segment of it is stored by now. Of a gap that reaches over the end of a timeline, that isn't known.
    fn is_filled(&self, inventory: &Inventory) -> bool {
        let mut next = Some(self.first_wal);
        while let Some(segment) = next.filter(|segment| *segment <= self.last_wal) {
            let name = WalName::Segment(segment);
            let at = inventory.wal.partition_point(|wal| wal.name < name);
            if inventory.wal.get(at).is_none_or(|wal| wal.name != name) {
                return false;
            }
            next = segment.next(self.wal_segment_bytes);
        }
        self.first_wal.timeline() == self.last_wal.timeline()
    }
}

impl Repository {
    /// Records a gap, unless one that begins with the same segment is recorded already.
    pub(crate) async fn record_gap(&self, gap: &WalGap) -> Result<()> {
        let name = ObjectName::Gap(gap.first_wal);
        let mut bytes = serde_json::to_vec_pretty(gap).map_err(|error| Error::damaged(&name, error))?;
        bytes.push(b'\n');
        self.put(&name, bytes.into(), PutMode::Create).await.map(drop)
    }

    /// Returns the recorded gaps that aren't filled, in order.
    ///
    /// # Errors
    ///
    /// Those of the storage, [`Error::Damaged`] and [`Error::NewerFormat`].
    pub async fn gaps(&self, inventory: &Inventory) -> Result<Vec<WalGap>> {
        let names = inventory.gaps.iter().map(|(first, _)| ObjectName::Gap(*first));
        let reads: Vec<_> = names.map(|name| self.gap(name)).collect();
        let gaps: Vec<_> = stream::iter(reads).buffered(CONCURRENT_READS).try_collect().await?;
        let mut gaps: Vec<WalGap> = gaps.into_iter().flatten().collect();
        gaps.retain(|gap| !gap.is_filled(inventory));
        gaps.sort_by_key(|gap| gap.first_wal);
        Ok(gaps)
    }

    async fn gap(&self, name: ObjectName) -> Result<Option<WalGap>> {
        let Some(bytes) = self.read(&name).await? else { return Ok(None) };
        refuse_newer(&name, &bytes, FORMAT)?;
        serde_json::from_slice(&bytes).map(Some).map_err(|error| Error::damaged(&name, error))
    }
}
