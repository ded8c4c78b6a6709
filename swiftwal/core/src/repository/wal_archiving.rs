//! Archives a WAL file: stores it under its own name, and never replaces different content.
//!
//! archive-wal and receive-wal call it, so that both keep the same promises, and may run together.

use futures::future::try_join_all;
use swiftwal_compression::{Codec, Format};
use swiftwal_postgres::WalName;

use crate::{
    error::{Error, Refusal, Result},
    repository::{
        Repository, ahead_marks::StoredAs, layout::ObjectName, staged_wal::Existing, store_once::StoredOnce,
        wal_file::WalFile, wal_frames::Threads, wal_variant::WalVariant,
    },
};

impl Repository {
    /// Stores the file under its own name, in the compression of `codec`, unless it is stored already. Returns its size as
    /// stored; none if the same content had been stored before. When it returns, the content is durable. A `.partial` or
    /// `.backup` file whose name has different content is stored beside it, with a warning.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] for a segment of another cluster, and if a segment or history has different content under its
    /// name. Nothing was overwritten then.
    pub(crate) async fn archive_file(&self, file: &WalFile, codec: Codec) -> Result<Option<u64>> {
        let format = codec.format();
        let formats = self.ensure_cluster_unless_cached(file.identity().as_ref(), format).await?;
        let others = formats.into_iter().filter(|other| *other != format);
        let stored = self.stored_as(file, others).await?;
        add(self, file, codec, stored.map(|stored| stored.format)).await
    }

    /// Returns what has the name of this file in one of these compressions. That there is a repository at all isn't proven:
    /// what is stored afterwards needs one.
    pub(crate) async fn stored_as(
        &self,
        file: &WalFile,
        formats: impl IntoIterator<Item = Format> + Send,
    ) -> Result<Option<StoredAs>> {
        let looks = formats.into_iter().map(async |format| {
            let bytes = self.unproven_size(&file.object(format)).await?;
            Ok::<_, Error>(bytes.map(|bytes| StoredAs { format, bytes }))
        });
        Ok(try_join_all(looks).await?.into_iter().flatten().next())
    }

    /// The error for a file whose name has different content. A person must decide which of the two is right.
    pub(crate) fn another_content(&self, file: &WalFile, format: Format) -> Error {
        let history_of = match file.name {
            WalName::History(timeline) => Some(timeline),
            _ => None,
        };
        let refusal = Refusal::AnotherContent {
            object: file.object(format).to_string(),
            location: self.location().to_owned(),
            path: file.to_string(),
            history_of,
        };
        refusal.into()
    }
}

/// Stores the file unless its name is taken, in the compression in which it is `stored` or in the requested one.
async fn add(
    repository: &Repository,
    file: &WalFile,
    codec: Codec,
    stored: Option<Format>,
) -> Result<Option<u64>> {
    let format = stored.unwrap_or(codec.format());
    let object = file.object(format);
    let outcome = match stored {
        None => repository.store_once(&object, file, codec).await?,
        Some(_) => repository.compare_once(&object, file, format).await?,
    };
    match outcome {
        StoredOnce::Stored { stored_bytes } => Ok(Some(stored_bytes)),
        StoredOnce::SameContent => Ok(None),
        StoredOnce::Different if WalVariant::are_possible(file.name) => {
            store_beside(repository, file, codec).await
        }
        StoredOnce::Different => Err(repository.another_content(file, format)),
    }
}

/// Stores the file under a name with the hash of its content, unless it is stored already, and warns that there are
/// two.
async fn store_beside(repository: &Repository, file: &WalFile, codec: Codec) -> Result<Option<u64>> {
    let (name, variant) = (file.name, file.variant().await?);
    let object = |format| ObjectName::WalVariant { name, variant, format };
    for format in Format::ALL {
        match repository.compare_wal(&object(format), file, format).await {
            Ok(Some(true)) => return Ok(None),
            // Under this name, content that differs or can't be decompressed is damaged, and is replaced.
            Ok(_) | Err(Error::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let object = object(codec.format());
    let staged = repository.stage_wal(&object, file, codec, Existing::Replace, Threads::All).await?;
    let stored_bytes = staged.stored_bytes();
    staged.publish().await?;
    tracing::warn!(
        "{name} is already in {} with different content than {file}; both are kept, this one as {object}. Recovery \
         reads neither",
        repository.location(),
    );
    Ok(Some(stored_bytes))
}
