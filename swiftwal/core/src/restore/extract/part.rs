//! What is written of a stored file.

use std::sync::Arc;

use crate::restore::chain::{ChangedFile, ChangedFiles, FileName};

/// What is written of a stored file. `complete` is the file that it belongs to.
#[derive(Debug)]
pub(super) enum Part {
    /// The file itself.
    Whole,
    /// Blocks of a file, which is created with holes. It is an incremental file of the newest backup in a chain.
    Newest { complete: FileName, files: Arc<ChangedFiles> },
    /// As `Newest`, but the file only gets its size: its database isn't restored.
    Size { complete: FileName, files: Arc<ChangedFiles> },
    /// Blocks that fill holes.
    Older { complete: FileName, changed: ChangedFile, files: Arc<ChangedFiles>, is_incremental: bool },
    /// Nothing.
    Nothing,
}
