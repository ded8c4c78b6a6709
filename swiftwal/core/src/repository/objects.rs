//! Reads, stores and deletes objects of a repository by name.

use std::io;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use jiff::Timestamp;
use object_store::{
    Attributes, GetOptions, GetResult, GetResultPayload, ObjectMeta, ObjectStoreExt, PutMode, PutOptions,
    PutPayload, path::Path,
};
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

use crate::{
    error::{Error, Result},
    repository::{Repository, inventory::touched, layout::ObjectName},
};

/// The largest size of an object, other than a WAL file, that is read into memory. Only damaged or forged ones are
/// larger.
const SMALL_OBJECT_BYTES: u64 = 16 << 20;

/// The largest size of a stored WAL file: PostgreSQL's largest segment, and what compression adds to random bytes.
const WAL_BYTES: u64 = (1 << 30) + (16 << 20);

/// How many small objects a flow reads at a time.
pub(super) const CONCURRENT_READS: usize = 8;

/// The number of bytes of a file that are read at once, each time in a thread for blocking work.
const FILE_PIECE_BYTES: usize = 1 << 20;

/// The outcome of a conditional put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PutOutcome {
    Stored,
    NameTaken,
}

impl Repository {
    /// Reads an object. None if it is proven to be missing.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] also if it is larger than any such object can be. Then it isn't read.
    pub(crate) async fn read(&self, name: &ObjectName) -> Result<Option<Bytes>> {
        let Some(object) = self.open(name).await? else { return Ok(None) };
        let expected = object.meta.size;
        refuse_too_large(name, expected)?;
        let bytes = collect(object).await.map_err(self.failed("read", name))?;
        if bytes.len() as u64 != expected {
            let reason = match bytes.len() as u64 {
                received if received > expected => format!("received more than its {expected} bytes"),
                received => format!("received only {received} of its {expected} bytes"),
            };
            return Err(Error::damaged(name, reason));
        }
        Ok(Some(bytes))
    }

    /// Opens an object, to be read as a stream. None if it is proven to be missing.
    pub(crate) async fn open(&self, name: &ObjectName) -> Result<Option<GetResult>> {
        self.open_with(name, GetOptions::default()).await
    }

    /// As [`open`](Self::open), with options of the storage.
    pub(super) async fn open_with(
        &self,
        name: &ObjectName,
        options: GetOptions,
    ) -> Result<Option<GetResult>> {
        absent_is_none(self.storage.store().get_opts(&path(name), options).await)
            .map_err(self.failed("read", name))
    }

    /// Returns the size of an object. None if it is proven to be missing.
    pub(crate) async fn size(&self, name: &ObjectName) -> Result<Option<u64>> {
        Ok(self.head(name).await?.map(|meta| meta.size))
    }

    /// Returns when an object was stored, by the storage's clock. None if it is proven to be missing.
    pub(super) async fn stored(&self, name: &ObjectName) -> Result<Option<Timestamp>> {
        Ok(self.head(name).await?.map(|meta| touched(&meta)))
    }

    async fn head(&self, name: &ObjectName) -> Result<Option<ObjectMeta>> {
        absent_is_none(self.storage.store().head(&path(name)).await).map_err(self.failed("look at", name))
    }

    /// As [`size`](Self::size), for a caller to whom the absence needn't be proven.
    pub(crate) async fn unproven_size(&self, name: &ObjectName) -> Result<Option<u64>> {
        let options = GetOptions { head: true, ..self.storage.unproven_read() };
        let head = absent_is_none(self.storage.store().get_opts(&path(name), options).await);
        Ok(head.map_err(self.failed("look at", name))?.map(|head| head.meta.size))
    }

    /// Stores an object completely and durably, or not at all.
    pub(crate) async fn put(
        &self,
        name: &ObjectName,
        payload: PutPayload,
        mode: PutMode,
    ) -> Result<PutOutcome> {
        let options = PutOptions { mode, attributes: Attributes::new(), ..PutOptions::default() };
        match self.storage.store().put_opts(&path(name), payload, options).await {
            Ok(_) => Ok(PutOutcome::Stored),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(PutOutcome::NameTaken),
            Err(source) => Err(self.failed("write", name)(source)),
        }
    }

    /// Stores an object whose name should be free, and overwrites it if it isn't. On some storage, overwriting alone
    /// costs a request that looks for an existing object.
    pub(crate) async fn put_new(&self, name: &ObjectName, payload: PutPayload) -> Result<()> {
        if self.put(name, payload.clone(), PutMode::Create).await? == PutOutcome::NameTaken {
            self.put(name, payload, PutMode::Overwrite).await?;
        }
        Ok(())
    }

    /// Deletes an object. A missing one is success.
    pub(crate) async fn delete(&self, name: &ObjectName) -> Result<()> {
        let deleted = absent_is_none(self.storage.store().delete(&path(name)).await);
        deleted.map(drop).map_err(self.failed("delete", name))
    }

    /// Proves that objects can be removed here, by storing and deleting an empty one, so that a command that removes
    /// something fails before it announces that. If the storage is full and refuses the object, that counts as success.
    ///
    /// # Errors
    ///
    /// Those of the storage.
    pub async fn check_removal(&self) -> Result<()> {
        let probe = path(&ObjectName::Hidden("...removing".to_owned()));
        let store = self.storage.store();
        match store.put(&probe, PutPayload::new()).await {
            Err(error) if self.storage.is_full(&error) => return Ok(()),
            stored => drop(stored.map_err(self.failed("remove", "objects"))?),
        }
        absent_is_none(store.delete(&probe).await).map(drop).map_err(self.failed("remove", "objects"))
    }

    /// Deletes many objects in as few requests as possible. Missing ones are success.
    ///
    /// The order is unspecified. After an error, all objects that could be deleted are deleted.
    pub(crate) async fn delete_all(
        &self,
        names: impl Iterator<Item = ObjectName> + Send + 'static,
    ) -> Result<()> {
        let paths = futures::stream::iter(names.map(|name| Ok(path(&name))));
        let mut deleted = self.storage.store().delete_stream(Box::pin(paths));
        let mut outcome = Ok(());
        loop {
            match absent_is_none(deleted.try_next().await) {
                Ok(Some(None)) => return outcome,
                Ok(_) => {}
                Err(source) => outcome = Err(self.failed("delete", "objects")(source)),
            }
        }
    }

    /// The error for a missing object of a backup.
    pub(crate) fn missing(&self, object: impl ToString) -> Error {
        Error::Missing { object: object.to_string(), location: self.location.to_string() }
    }

    /// For `map_err`: the error of an action on an object.
    pub(crate) fn failed<'a>(
        &'a self,
        action: &'static str,
        object: impl ToString + 'a,
    ) -> impl FnOnce(object_store::Error) -> Error + 'a {
        move |source| Error::Storage {
            action,
            object: object.to_string(),
            location: self.location.to_string(),
            hint: self.storage.hint(&source),
            source: match source {
                // These variants have no message beyond that of their source.
                object_store::Error::Generic { source, .. }
                | object_store::Error::Unauthenticated { source, .. }
                | object_store::Error::PermissionDenied { source, .. } => source,
                source => Box::new(source),
            },
        }
    }

    /// The error for a failure to read `object` as a stream: that of the storage, or damage.
    pub(crate) fn unreadable(&self, object: &ObjectName, error: io::Error) -> Error {
        match error.downcast::<object_store::Error>() {
            Ok(source) => self.failed("read", object)(source),
            Err(error) => Error::damaged(object, error),
        }
    }
}

/// Fails if an object is larger than any such object can be.
pub(super) fn refuse_too_large(name: &ObjectName, bytes: u64) -> Result<()> {
    let limit = most_bytes(name);
    if bytes > limit {
        let reason = format!("it has {bytes} bytes, and such an object has {limit} at most");
        return Err(Error::damaged(name, reason));
    }
    Ok(())
}

/// The largest size of an object that is read into memory.
fn most_bytes(name: &ObjectName) -> u64 {
    let is_wal = matches!(name, ObjectName::Wal { .. } | ObjectName::WalVariant { .. });
    if is_wal { WAL_BYTES } else { SMALL_OBJECT_BYTES }
}

/// Returns the content of an object piece by piece. `object` must be the complete object, not a range.
pub(crate) fn object_pieces(object: GetResult) -> BoxStream<'static, object_store::Result<Bytes>> {
    match object.payload {
        GetResultPayload::Stream(pieces) => pieces,
        GetResultPayload::File(file, _) => {
            let file = tokio::fs::File::from_std(file).take(object.meta.size);
            let failed = |source| object_store::Error::Generic { store: "file", source: Box::new(source) };
            ReaderStream::with_capacity(file, FILE_PIECE_BYTES).map_err(failed).boxed()
        }
    }
}

/// Returns the content of an object. If more arrives than its size, it returns the beginning, with at least one byte
/// too many.
async fn collect(object: GetResult) -> object_store::Result<Bytes> {
    let expected = object.meta.size;
    let GetResultPayload::Stream(mut stream) = object.payload else {
        // A file is read up to the size that it had when it was opened.
        return object.bytes().await;
    };
    let mut content = BytesMut::with_capacity(usize::try_from(expected).unwrap_or(usize::MAX));
    while let Some(piece) = stream.try_next().await? {
        content.extend_from_slice(&piece);
        if content.len() as u64 > expected {
            break;
        }
    }
    Ok(content.freeze())
}

/// Returns the location of an object in the store: exactly its name, percent signs included.
pub(crate) fn path(name: &ObjectName) -> Path {
    let name = name.to_string();
    Path::parse(&name).unwrap_or_else(|_| Path::from(name))
}

fn absent_is_none<T>(answer: object_store::Result<T>) -> object_store::Result<Option<T>> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
