//! Stores a `.partial` or `.backup` file beside another content of the same name.

use object_store::PutMode;
use swiftwal_compression::{Codec, Format};

use super::{Archived, WalFile, compress_and_prepare, is_same};
use crate::{
    error::{Error, Result},
    local::blocking::blocking,
    repository::{Repository, layout::ObjectName, wal_variant::WalVariant},
};

/// Stores the file under the name of its content, unless it is there already, and warns that there are two.
pub(super) async fn store_beside(repository: &Repository, file: &WalFile, codec: Codec) -> Result<Archived> {
    let (name, variant) = (file.name, variant(file).await?);
    let object = |format| ObjectName::WalVariant { name, variant, format };
    for format in Format::ALL {
        let object = object(format);
        let Some(stored) = repository.read(&object).await? else { continue };
        // Under this name a content that differs, or can't be unpacked, is damaged: the right one replaces it.
        if matches!(is_same(file, &object, format, &stored).await, Ok(true)) {
            // Whichever process stored it may have crashed before it was durable, and a put sees to that.
            repository.put(&object, stored.into(), PutMode::Create).await?;
            return Ok(Archived::AlreadyThere);
        }
    }
    let object = object(codec.format());
    let payload = compress_and_prepare(repository, file, codec, &object).await?;
    let stored_bytes = payload.content_length() as u64;
    repository.put(&object, payload, PutMode::Overwrite).await?;
    tracing::warn!(
        "{name} is already in {} with different content than {}; both are kept, this one as {object}. Recovery reads \
         neither",
        repository.location(),
        file.path.display(),
    );
    Ok(Archived::Stored { stored_bytes })
}

async fn variant(file: &WalFile) -> Result<WalVariant> {
    let (content, path) = (file.reopen()?, file.path.clone());
    blocking(move || WalVariant::of(content).map_err(Error::local("read", path))).await
}
