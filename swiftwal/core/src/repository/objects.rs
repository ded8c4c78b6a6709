//! The objects of a repository, read, stored and deleted by name.

use std::io;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    Attributes, GetOptions, GetResult, GetResultPayload, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    path::Path,
};
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

use crate::{
    error::{Error, Result},
    repository::{Repository, layout::ObjectName},
};

/// The most that an object may have which is read as a whole, other than a WAL file. Only a damaged or forged one has
/// more.
const SMALL_OBJECT_BYTES: u64 = 16 << 20;

/// The most that a WAL file may have as stored: PostgreSQL's largest segment, and what compression adds to random
/// bytes.
const WAL_BYTES: u64 = (1 << 30) + (16 << 20);

/// How much of a file is read at once, by another thread each time.
const FILE_PIECE_BYTES: usize = 1 << 20;

/// What became of a conditional put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    Stored,
    NameTaken,
}

impl Repository {
    /// The content of an object; none if it is proven to be missing.
    ///
    /// # Errors
    /// [`Error::Damaged`] also where it is larger than any such object can be: it isn't read then.
    pub(crate) async fn read(&self, name: &ObjectName) -> Result<Option<Bytes>> {
        let Some(object) = self.open(name).await? else { return Ok(None) };
        let expected = object.meta.size;
        refuse_too_large(name, expected)?;
        let bytes = whole(object).await.map_err(self.failed("read", name))?;
        if bytes.len() as u64 != expected {
            let reason = match bytes.len() as u64 {
                came if came > expected => format!("received more than its {expected} bytes"),
                came => format!("received only {came} of its {expected} bytes"),
            };
            return Err(Error::damaged(name, reason));
        }
        Ok(Some(bytes))
    }

    /// An object, to be read as a stream; none if it is proven absent.
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

    /// The size of an object; none if it is proven absent.
    pub(crate) async fn size(&self, name: &ObjectName) -> Result<Option<u64>> {
        let head = absent_is_none(self.storage.store().head(&path(name)).await);
        Ok(head.map_err(self.failed("look at", name))?.map(|meta| meta.size))
    }

    /// Stores an object completely and durably, or not at all.
    pub(crate) async fn put(&self, name: &ObjectName, payload: PutPayload, mode: PutMode) -> Result<Put> {
        let options = PutOptions { mode, attributes: Attributes::new(), ..PutOptions::default() };
        match self.storage.store().put_opts(&path(name), payload, options).await {
            Ok(_) => Ok(Put::Stored),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Put::NameTaken),
            Err(source) => Err(self.failed("write", name)(source)),
        }
    }

    /// The same for a name that nothing should have, and that is taken all the same if something has it: on some
    /// storage, replacing costs a look at what is there.
    pub(crate) async fn put_new(&self, name: &ObjectName, payload: PutPayload) -> Result<()> {
        if self.put(name, payload.clone(), PutMode::Create).await? == Put::NameTaken {
            self.put(name, payload, PutMode::Overwrite).await?;
        }
        Ok(())
    }

    /// Deletes an object; one that is already gone is no error.
    pub(crate) async fn delete(&self, name: &ObjectName) -> Result<()> {
        let deleted = absent_is_none(self.storage.store().delete(&path(name)).await);
        deleted.map(drop).map_err(self.failed("delete", name))
    }

    /// Proves that objects can be removed here, by storing and deleting an empty one: a command that is going to remove
    /// something fails here before it says so. That a full storage takes no object proves nothing against it.
    ///
    /// # Errors
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

    /// Deletes many objects, as few requests as the storage can; those already gone are no error.
    ///
    /// They go in no particular order, and all that can go are gone when an error is returned.
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

    /// What to say where an object of a backup isn't there.
    pub(crate) fn missing(&self, object: impl ToString) -> Error {
        Error::Missing { object: object.to_string(), location: self.location.to_string() }
    }

    /// For `map_err`: what was being done to which object.
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
                // Say nothing that their source doesn't say in better words.
                object_store::Error::Generic { source, .. }
                | object_store::Error::Unauthenticated { source, .. }
                | object_store::Error::PermissionDenied { source, .. } => source,
                source => Box::new(source),
            },
        }
    }

    /// What an error while reading `object` as a stream means: the storage's own trouble, or damage.
    pub(crate) fn unreadable(&self, object: &ObjectName, error: io::Error) -> Error {
        match error.downcast::<object_store::Error>() {
            Ok(source) => self.failed("read", object)(source),
            Err(error) => Error::damaged(object, error),
        }
    }
}

/// Refuses to read an object of more bytes than any such object has.
pub(super) fn refuse_too_large(name: &ObjectName, bytes: u64) -> Result<()> {
    let limit = most_bytes(name);
    if bytes > limit {
        let reason = format!("it has {bytes} bytes, and such an object has {limit} at most");
        return Err(Error::damaged(name, reason));
    }
    Ok(())
}

/// The most bytes that an object may have which is read as a whole.
fn most_bytes(name: &ObjectName) -> u64 {
    let is_wal = matches!(name, ObjectName::Wal { .. } | ObjectName::WalVariant { .. });
    if is_wal { WAL_BYTES } else { SMALL_OBJECT_BYTES }
}

/// The bytes of an object as they come. `object` must be all of it.
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

/// The content of an object; where more comes than its size says, the beginning of it.
async fn whole(object: GetResult) -> object_store::Result<Bytes> {
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

/// Where an object lies in the store: under that very name, percent signs included.
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
