//! Estimates the size of an archive.

use super::{
    tar_header::{BLOCK_BYTES, padding},
    walk::{EntryKind, Tree, walk},
};
use crate::SourceError;

/// Returns the size that the tar of a tree has now, without its end.
pub(super) fn archive_bytes(tree: &Tree) -> Result<u64, SourceError> {
    let mut sum = 0;
    walk(tree, &mut |entry| {
        let content = match entry.kind {
            EntryKind::File { .. } => entry.metadata.len(),
            EntryKind::Directory => 0,
            EntryKind::Other => return Ok(()),
        };
        sum += (BLOCK_BYTES + padding(content)) as u64 + content;
        Ok(())
    })?;
    Ok(sum)
}
