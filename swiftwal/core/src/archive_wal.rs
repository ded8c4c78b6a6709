//! archive-wal: checks the file, compresses it, and stores it unless its name is taken; different content is refused.

mod ahead;

use std::path::Path;

use swiftwal_compression::{Codec, Format};

pub use self::ahead::{Ahead, archive_ahead};
use crate::{
    error::Result,
    repository::{Repository, staged_wal::Existing, wal_file::WalFile, wal_frames::Threads},
};

/// The options of archiving a WAL file.
#[derive(Clone, Copy, Debug, Default)]
pub struct ArchiveOptions {
    /// The compression.
    pub codec: Codec,
    /// Whether to replace different content under the same name.
    pub force: bool,
}

/// The outcome of archiving a WAL file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Archived {
    /// The file was stored.
    Stored {
        /// Its size as stored.
        stored_bytes: u64,
    },
    /// The same content had been stored before.
    AlreadyThere,
    /// [`archive_ahead`] had stored it, less than ten minutes ago.
    Ahead,
}

/// Stores the WAL file at `path` under its own name. When it returns, the content is durable under that name. A
/// `.partial` or `.backup` file whose name has different content is stored beside it, with a warning.
///
/// It needs no listing, so it works if listings lag behind or fail. It needs no request at all, or one in a storage whose
/// requests are fast, if [`archive_ahead`] has marked this very file; with `force`, or in a repository that is started
/// anew, marks don't count.
///
/// # Errors
///
/// [`Error::Refused`](crate::Error::Refused) for a name that isn't a WAL file's, a segment of another cluster, and (unless forced) if a
/// segment or history has different content under its name; [`Error::Damaged`](crate::Error::Damaged) for a segment with a wrong size or first
/// page. Nothing was overwritten then.
pub async fn archive_wal(repository: &Repository, path: &Path, options: &ArchiveOptions) -> Result<Archived> {
    if repository.take_mark(path).await? && !options.force {
        return Ok(Archived::Ahead);
    }
    let file = WalFile::open(path)?;
    if options.force {
        return replace(repository, &file, options.codec).await;
    }
    Ok(match repository.archive_file(&file, options.codec).await? {
        Some(stored_bytes) => Archived::Stored { stored_bytes },
        None => Archived::AlreadyThere,
    })
}

/// Stores the file in place of anything that has its name. It keeps the compression in which restore-wal finds the
/// file, so that restore-wal finds one at every moment, and this content from the put on.
///
/// The file in other compressions is removed first: restore-wal reads them only if it gets no answer about this one,
/// but they must not outlive the replaced content.
async fn replace(repository: &Repository, file: &WalFile, codec: Codec) -> Result<Archived> {
    let codec = match repository.wal_format(file.name).await? {
        Some(format) if format != codec.format() => Codec::from(format),
        _ => codec,
    };
    // To overwrite, the cached identity isn't enough.
    repository.ensure_cluster(file.identity().as_ref(), Some(codec.format())).await?;
    let staged = {
        let object = file.object(codec.format());
        repository.stage_wal(&object, file, codec, Existing::Replace, Threads::All).await?
    };
    let others = Format::ALL.into_iter().filter(|other| *other != codec.format());
    let stale: Vec<_> = others.map(|other| file.object(other)).collect();
    if let Err(error) = repository.delete_all(stale.into_iter()).await {
        staged.abort().await;
        return Err(error);
    }
    let stored_bytes = staged.stored_bytes();
    staged.publish().await?;
    Ok(Archived::Stored { stored_bytes })
}
