//! Parses a tar that is fetched.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use swiftwal_postgres::tar_stream::{TarStream, TarVisitor};
use tokio::sync::mpsc;

use crate::error::{Error, Result};

/// Parses a tar in a blocking thread until the sender of its pieces is closed. `hold` gives the visitor the piece that is
/// parsed, to slice it; `parsed` counts the bytes.
pub(crate) fn parse<V: TarVisitor<Error = Error>>(
    mut tar: TarStream,
    pieces: &mut mpsc::Receiver<Bytes>,
    parsed: &AtomicU64,
    visitor: &mut V,
    hold: fn(&mut V, Bytes),
) -> Result<()> {
    while let Some(piece) = pieces.blocking_recv() {
        hold(visitor, piece.clone());
        tar.push(&piece, visitor)?;
        hold(visitor, Bytes::new());
        parsed.fetch_add(piece.len() as u64, Ordering::Relaxed);
    }
    Ok(tar.finish()?)
}
