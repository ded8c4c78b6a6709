//! Stores a `.partial` or `.backup` file beside different content of the same name.

use swiftwal_compression::{Codec, Format};

use super::Archived;
use crate::{
    error::{Error, Result},
    repository::{Repository, layout::ObjectName, staged_wal::Existing, wal_file::WalFile},
};

/// Stores the file under a name with the hash of its content, unless it is stored already, and warns that there are
/// two.
pub(super) async fn store_beside(repository: &Repository, file: &WalFile, codec: Codec) -> Result<Archived> {
    let (name, variant) = (file.name, file.variant().await?);
    let object = |format| ObjectName::WalVariant { name, variant, format };
    for format in Format::ALL {
        match repository.compare_wal(&object(format), file, format).await {
            Ok(Some(true)) => return Ok(Archived::AlreadyThere),
            // Under this name, content that differs or can't be decompressed is damaged, and is replaced.
            Ok(_) | Err(Error::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let object = object(codec.format());
    let staged = repository.stage_wal(&object, file, codec, Existing::Replace).await?;
    let stored_bytes = staged.stored_bytes();
    staged.publish().await?;
    tracing::warn!(
        "{name} is already in {} with different content than {file}; both are kept, this one as {object}. Recovery \
         reads neither",
        repository.location(),
    );
    Ok(Archived::Stored { stored_bytes })
}
