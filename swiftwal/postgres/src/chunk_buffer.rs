//! Reused buffers for chunks of a tar: new memory costs more than the reading of what goes into it.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::CHUNK_BYTES;

/// Buffers of [`CHUNK_BYTES`]. There are as many as were ever in use at the same time.
#[derive(Debug, Clone, Default)]
pub struct ChunkPool(Arc<Mutex<Vec<Vec<u8>>>>);

/// A buffer that returns to its pool when it is dropped.
#[derive(Debug)]
pub struct ChunkBuffer {
    /// Its memory: [`CHUNK_BYTES`].
    pub content: Vec<u8>,
    pool: ChunkPool,
}

struct Filled {
    buffer: ChunkBuffer,
    bytes: usize,
}

impl ChunkPool {
    /// Returns a buffer with any content.
    #[must_use]
    pub fn take(&self) -> ChunkBuffer {
        let content = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        ChunkBuffer { content: content.unwrap_or_else(|| vec![0; CHUNK_BYTES]), pool: self.clone() }
    }
}

impl ChunkBuffer {
    /// Returns its first `bytes` without copying them.
    #[must_use]
    pub fn filled(self, bytes: usize) -> Bytes {
        Bytes::from_owner(Filled { bytes: bytes.min(self.content.len()), buffer: self })
    }
}

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        &self.buffer.content[..self.bytes]
    }
}

impl Drop for ChunkBuffer {
    fn drop(&mut self) {
        let content = std::mem::take(&mut self.content);
        self.pool.0.lock().unwrap_or_else(PoisonError::into_inner).push(content);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_when_its_bytes_are_dropped() {
        let pool = ChunkPool::default();
        let mut first = pool.take();
        first.content[..4].copy_from_slice(b"data");
        let place = first.content.as_ptr();
        let bytes = first.filled(4);
        assert_eq!(&bytes[..], b"data");
        assert_ne!(pool.take().content.as_ptr(), place);
        drop(bytes);
        assert_eq!(pool.take().content.as_ptr(), place);
    }
}
