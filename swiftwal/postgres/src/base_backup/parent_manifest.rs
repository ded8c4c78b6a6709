//! The manifest of the backup that an incremental one builds on.

use std::{fs::File, io, os::unix::fs::FileExt, sync::Arc};

use bytes::Bytes;
use tokio::task::spawn_blocking;

/// The largest number of bytes that is read at once.
const PIECE_BYTES: usize = 256 << 10;

/// PostgreSQL's manifest of the backup that an incremental one builds on, in a local file, so that a manifest of any size
/// can be sent from its beginning more than once.
#[derive(Debug, Clone)]
pub struct ParentManifest {
    file: Arc<File>,
}

impl ParentManifest {
    /// Takes the complete text of a manifest.
    pub fn new(file: File) -> Self {
        Self { file: Arc::new(file) }
    }

    /// Reads the text from the byte `offset` on: at most 256 KiB, and nothing at the end.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub async fn read_at(&self, offset: u64) -> io::Result<Bytes> {
        let file = Arc::clone(&self.file);
        let read = spawn_blocking(move || {
            let mut piece = vec![0; PIECE_BYTES];
            let bytes = file.read_at(&mut piece, offset)?;
            piece.truncate(bytes);
            Ok(piece.into())
        });
        read.await.map_err(io::Error::other)?
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[tokio::test]
    async fn a_manifest_can_be_read_from_its_beginning_more_than_once() {
        let text: Vec<u8> = (0..PIECE_BYTES + 10).map(|n| (n % 251) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&text).unwrap();
        let manifest = ParentManifest::new(file);
        for _ in 0..2 {
            let mut read = Vec::new();
            loop {
                let piece = manifest.read_at(read.len() as u64).await.unwrap();
                if piece.is_empty() {
                    break;
                }
                read.extend_from_slice(&piece);
            }
            assert!(read == text);
        }
    }
}
