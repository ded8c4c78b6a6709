//! The memory for decompressed pieces of a tar: limited in all, and used again.
//!
//! A piece keeps its share until the last slice of it is dropped, that is, until it is written. So the pieces that are
//! decompressed, parsed and written together never need more than the limit, however they are queued.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The alignment of a piece in memory: its members, and the pieces of files, are then aligned as in the tar, and can be
/// written past the operating system's cache.
pub(crate) const ALIGNMENT: usize = 512;

const MIB: usize = 1 << 20;
/// The limit, in MiB: eight frames of the usual size, or two of the largest.
const MOST_MIB: usize = 32;
/// The largest number of unused buffers that are kept.
const MOST_UNUSED: usize = 8;

/// The memory for pieces. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Buffers {
    share: Arc<Semaphore>,
    unused: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Buffers {
    pub(crate) fn new() -> Self {
        Self { share: Arc::new(Semaphore::new(MOST_MIB)), unused: Arc::default() }
    }

    /// Returns a buffer for `bytes`, to which they are to be added. Waits until enough pieces have been dropped.
    ///
    /// A caller that needs several buffers at a time takes them in the order in which it passes them on: the first one
    /// must not wait for the others.
    pub(super) async fn take(&self, bytes: usize) -> Buffer {
        let mib = bytes.div_ceil(MIB).clamp(1, MOST_MIB);
        let share = Arc::clone(&self.share).acquire_many_owned(mib as u32).await.ok();
        let unused = self.unused.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        let (bytes, start) = aligned(unused, bytes);
        Buffer { bytes, start, unused: Arc::clone(&self.unused), _share: share }
    }
}

/// A buffer that gives its memory back when it is dropped.
#[derive(Debug)]
pub(super) struct Buffer {
    /// Its content is added to this.
    pub(super) bytes: Vec<u8>,
    /// Where the content begins.
    start: usize,
    unused: Arc<Mutex<Vec<Vec<u8>>>>,
    _share: Option<OwnedSemaphorePermit>,
}

impl Buffer {
    /// Returns the content, which can be sliced.
    pub(super) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

/// Makes room in an empty buffer for `bytes`, and adds zeros, whose number it returns, up to an aligned address.
fn aligned(mut empty: Vec<u8>, bytes: usize) -> (Vec<u8>, usize) {
    // One byte more: it is read in vain at the end of a stream.
    if empty.try_reserve_exact(ALIGNMENT + bytes + 1).is_err() {
        return (empty, 0);
    }
    let start = empty.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
    empty.resize(start, 0);
    (empty, start)
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        let mut unused = self.unused.lock().unwrap_or_else(PoisonError::into_inner);
        if unused.len() < MOST_UNUSED {
            unused.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn memory_is_limited_and_comes_back_with_the_last_slice_of_a_piece() {
        let buffers = Buffers::new();
        let mut large = buffers.take((MOST_MIB - 1) * MIB).await;
        large.bytes.extend_from_slice(b"0123");
        let place = large.bytes.as_ptr();
        assert_eq!(large.as_ref(), b"0123");
        assert_eq!(large.as_ref().as_ptr().align_offset(ALIGNMENT), 0);
        let slice = large.freeze().slice(1..2);
        let small = buffers.take(1).now_or_never().unwrap();
        assert!(buffers.take(1).now_or_never().is_none());
        assert_eq!(slice, b"1".as_slice());
        drop(slice);
        let again = buffers.take(MIB + 1).now_or_never().unwrap();
        assert!(again.as_ref().is_empty() && again.bytes.as_ptr() == place);
        drop((small, again));
        // A piece larger than the limit is still possible, alone.
        let _larger = buffers.take(2 * MOST_MIB * MIB).await;
        assert!(buffers.take(1).now_or_never().is_none());
    }
}
