//! The beginning of the segment that receive-wal is receiving, as it is stored: `wal_<SEGMENT>.partial.received.zst`.
//!
//! It is replaced as more of the segment arrives, never by less, and removed when the segment itself is stored.

use object_store::GetOptions;
use swiftwal_compression::{Codec, Format};
use swiftwal_postgres::{SegmentName, WalName};
use tokio::io::AsyncReadExt;

use crate::{
    error::{Error, Result},
    repository::{
        Repository, layout::ObjectName, staged_wal::Existing, wal::WalObject, wal_file::WalFile,
        wal_frames::Threads, wal_variant::WalVariant,
    },
};

/// How much is read at once.
const PIECE_BYTES: usize = 256 << 10;

/// Its compression, which is always the same, so that there is only one such object for each segment.
const FORMAT: Format = Format::Zstd;

/// Returns the name of the object with the beginning of `segment`.
pub(crate) fn received_object(segment: SegmentName) -> ObjectName {
    ObjectName::WalVariant { name: WalName::Partial(segment), variant: WalVariant::Received, format: FORMAT }
}

/// The length of the beginning of a segment, which is filled up with zeros: it is read from front to back.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ContentLength {
    /// How much was read.
    pub(crate) read: u64,
    /// The length of that without the zeros at its end.
    pub(crate) without_zeros: u64,
}

impl ContentLength {
    /// Adds the next piece.
    pub(crate) fn add(&mut self, piece: &[u8]) {
        if let Some(last) = piece.iter().rposition(|byte| *byte != 0) {
            self.without_zeros = self.read + last as u64 + 1;
        }
        self.read += piece.len() as u64;
    }
}

impl Repository {
    /// Stores the beginning of a segment, in place of an older one. When it returns, it is durable.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`](crate::error::Error::Refused) if the repository belongs to another cluster.
    pub(crate) async fn store_received(&self, segment: SegmentName, file: &WalFile) -> Result<()> {
        self.ensure_cluster(file.identity().as_ref(), None).await?;
        let codec = Codec::from(FORMAT);
        let object = received_object(segment);
        let staged = self.stage_wal(&object, file, codec, Existing::Replace, Threads::All).await?;
        staged.publish().await.map(drop)
    }

    /// Opens the stored beginning of a segment; none if there is none.
    pub(crate) async fn received(&self, segment: SegmentName) -> Result<Option<WalObject>> {
        let object = received_object(segment);
        self.open_wal_object(object, FORMAT, GetOptions::default(), &|_| {}).await
    }

    /// Returns the length of the stored beginning of a segment, without the zeros at its end: 0 if none is stored, or if it
    /// can't be decompressed.
    pub(crate) async fn received_bytes(&self, segment: SegmentName) -> Result<u64> {
        match self.count_received(segment).await {
            Err(error @ Error::Damaged { .. }) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the stored beginning of {segment} is replaced"
                );
                Ok(0)
            }
            counted => counted,
        }
    }

    async fn count_received(&self, segment: SegmentName) -> Result<u64> {
        let Some(stored) = self.received(segment).await? else { return Ok(0) };
        let object = stored.name.clone();
        let mut content = stored.content();
        let (mut piece, mut length) = (vec![0; PIECE_BYTES], ContentLength::default());
        loop {
            match content.read(&mut piece).await.map_err(|error| self.unreadable(&object, error))? {
                0 => return Ok(length.without_zeros),
                read => length.add(&piece[..read]),
            }
        }
    }

    /// Removes the beginning of a segment. A missing one is success.
    pub(crate) async fn remove_received(&self, segment: SegmentName) -> Result<()> {
        self.delete(&received_object(segment)).await
    }
}
