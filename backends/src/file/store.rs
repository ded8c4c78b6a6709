//! The store of the file backend: `object_store`'s `LocalFileSystem`, with the durability and the proof of absence that
//! it lacks.

use std::{
    fmt,
    fs::{File, Metadata},
    io,
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path as FilePath, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use object_store::{
    Attributes, CopyOptions, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
    local::LocalFileSystem, path::Path,
};
use swiftwal_core::open_regular_file;
use tokio::task::spawn_blocking;

use super::{
    delete,
    durable::{Parents, sync_object},
    error::Error,
    listing::{list, object_meta},
    root::Root,
    trace::Trace,
    walk::is_staged,
    write_error::{Upload, explain},
};

/// How many deletions share one flush of their directory.
const DELETE_BATCH: usize = 1000;

/// The objects in a directory.
///
/// If a put finds an existing object, it flushes that object before it answers, since the process that stored it may
/// have crashed before it could. Deletions are durable. The store answers `NotFound` only if the directory is still the
/// one that was opened, and writes only there. A listing examines each file once.
#[derive(Clone, Debug)]
pub(super) struct FileStore {
    files: LocalFileSystem,
    root: Arc<Root>,
}

impl FileStore {
    /// Stores objects in `root` with `files`, which must flush what it writes.
    pub(super) fn new(files: LocalFileSystem, root: Arc<Root>) -> Self {
        Self { files, root }
    }

    pub(super) fn root(&self) -> &Arc<Root> {
        &self.root
    }

    /// The open file of an object.
    fn file(&self, location: &Path) -> Result<PathBuf> {
        addressable(location)?;
        self.files.path_to_filesystem(location)
    }

    /// Runs blocking `work` on the file of `location`, in a thread for blocking work.
    pub(super) async fn blocking<T, F>(&self, location: &Path, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Root, &FilePath) -> Result<T, Error> + Send + 'static,
    {
        let file = self.file(location)?;
        let root = Arc::clone(&self.root);
        Ok(spawn_blocking(move || work(&root, &file)).await??)
    }

    /// Opens the file of an object. Fails if its name belongs to something other than a file.
    async fn open(&self, location: &Path) -> Result<Opened> {
        let opened = self.blocking(location, |_, path| Opened::open(path)).await?;
        let opened = opened.map_err(|source| object_store::Error::NotFound {
            path: location.to_string(),
            source: source.into(),
        });
        self.proven(location, opened).await
    }

    /// Returns `outcome`, after making an existing object at `to` durable.
    async fn kept<T>(&self, to: &Path, outcome: Result<T>) -> Result<T> {
        if let Err(object_store::Error::AlreadyExists { .. }) = outcome {
            self.blocking(to, sync_object).await?;
        }
        outcome
    }

    /// Returns `outcome`, after making sure that an object that wasn't found at `from` is missing.
    async fn proven<T>(&self, from: &Path, outcome: Result<T>) -> Result<T> {
        if let Err(object_store::Error::NotFound { .. }) = outcome {
            self.blocking(from, Root::check_absent).await?;
        }
        outcome
    }

    async fn put(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let _parents = self.blocking(location, Parents::make).await?;
        let outcome = self.files.put_opts(location, payload, opts).await;
        self.kept(location, outcome).await
    }

    async fn get(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let Opened { file, path, metadata, modified } = self.open(location).await?;
        let meta = object_meta(location.clone(), &metadata, modified);
        options.check_preconditions(&meta)?;
        let range = options.range.map_or(Ok(0..meta.size), |range| range.as_range(meta.size));
        let range = range.map_err(|error| Error::Range { path: path.clone(), source: error.into() })?;
        let (payload, attributes) = (GetResultPayload::File(file, path), Attributes::default());
        Ok(GetResult { payload, meta, range, attributes, extensions: Default::default() })
    }

    async fn read_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let Opened { file, path, metadata, .. } = self.open(location).await?;
        let ranges = ranges.to_vec();
        spawn_blocking(move || {
            let read = |range: Range<u64>| -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
                let range = GetRange::Bounded(range).as_range(metadata.len())?;
                let mut bytes = vec![0; usize::try_from(range.end - range.start)?];
                file.read_exact_at(&mut bytes, range.start)?;
                Ok(bytes.into())
            };
            let read =
                |range| read(range).map_err(|source| Error::Range { path: path.clone(), source }.into());
            ranges.into_iter().map(read).collect()
        })
        .await?
    }

    /// Deletes objects. The outcomes are in the order of `locations`; either all successes are durable, or there is
    /// none.
    fn delete_batch(&self, locations: Vec<Result<Path>>) -> Vec<Result<Path>> {
        let remove = |location: Path| {
            let trace = Trace::new("DELETE", location.as_ref());
            trace.ended(None, self.remove(location))
        };
        let removed: Vec<_> = locations.into_iter().map(|location| remove(location?)).collect();
        let files = removed.iter().flatten().map(|(_, file)| file);
        let Err(error) = delete::flush(&self.root, files) else {
            return removed.into_iter().map(|outcome| Ok(outcome?.0)).collect();
        };
        let error = Arc::new(error);
        let unflushed = |_| object_store::Error::Generic { store: "file", source: Arc::clone(&error).into() };
        removed.into_iter().map(|outcome| outcome.and_then(|gone| Err(unflushed(gone)))).collect()
    }

    fn remove(&self, location: Path) -> Result<(Path, PathBuf)> {
        let file = self.file(&location)?;
        let removed = delete::remove(&self.root, &file).map_err(object_store::Error::from);
        if explain(self.root.path(), removed)? {
            return Ok((location, file));
        }
        let source = "there is no such file".into();
        Err(object_store::Error::NotFound { path: location.into(), source })
    }
}

/// The file of an object.
struct Opened {
    file: File,
    path: PathBuf,
    metadata: Metadata,
    modified: SystemTime,
}

impl Opened {
    /// Opens a file. The inner error says that no file has that name, which isn't proven yet.
    fn open(path: &FilePath) -> Result<io::Result<Self>, Error> {
        let opened = open_regular_file(path).and_then(|file| {
            let metadata = file.metadata()?;
            let modified = metadata.modified()?;
            Ok(Self { file, path: path.to_owned(), metadata, modified })
        });
        match opened {
            Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::IsADirectory) => {
                Err(Error::Open { path: path.to_owned(), source: error })
            }
            opened => Ok(opened),
        }
    }
}

/// Refuses the names that the store beneath gives to uploads in progress. It doesn't refuse all of them itself: it
/// accepts `a#b#1`, which is also the upload of `a#b`.
fn addressable(location: &Path) -> Result<(), Error> {
    let reserved = location.filename().is_some_and(is_staged);
    if reserved { Err(Error::ReservedName { name: location.to_string() }) } else { Ok(()) }
}

impl fmt::Display for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file://{}", self.root.path().display())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for FileStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let trace = Trace::new("WRITE", location.as_ref());
        let bytes = payload.content_length() as u64;
        let outcome = explain(self.root.path(), self.put(location, payload, opts).await);
        trace.ended(Some(bytes), outcome)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let (dir, trace) = (self.root.path(), Trace::new("WRITE", location.as_ref()));
        let _parents = explain(dir, self.blocking(location, Parents::make).await)?;
        let upload = explain(dir, self.files.put_multipart_opts(location, opts).await)?;
        Ok(Box::new(Upload { upload, dir: dir.into(), trace, bytes: 0 }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let trace = Trace::new("READ", location.as_ref());
        let outcome = self.get(location, options).await;
        let bytes = outcome.as_ref().ok().map(|read| read.range.end - read.range.start);
        trace.ended(bytes, outcome)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let trace = Trace::new("READ", location.as_ref());
        let outcome = self.read_ranges(location, ranges).await;
        let bytes = outcome.as_ref().ok().map(|read| read.iter().map(|part| part.len() as u64).sum());
        trace.ended(bytes, outcome)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        locations
            .ready_chunks(DELETE_BATCH)
            .then(move |batch| {
                let store = store.clone();
                spawn_blocking(move || store.delete_batch(batch))
            })
            .flat_map(|batch| stream::iter(batch.unwrap_or_else(|panic| vec![Err(panic.into())])))
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        list(&self.root, prefix, None)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        list(&self.root, prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let trace = Trace::new("LIST", prefix.map_or("", AsRef::as_ref));
        let listed = self.files.list_with_delimiter(prefix).await;
        let mut listed = trace.ended(None, listed)?;
        listed.objects.retain(|object| !object.location.filename().is_some_and(is_staged));
        let root = Arc::clone(&self.root);
        spawn_blocking(move || root.check()).await??;
        Ok(listed)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        addressable(from)?;
        let _parents = self.blocking(to, Parents::make).await?;
        let trace = Trace::new("COPY", format!("{from} to {to}"));
        let outcome = self.files.copy_opts(from, to, options).await;
        let outcome = self.proven(from, outcome).await;
        trace.ended(None, self.kept(to, outcome).await)
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        addressable(from)?;
        let _parents = self.blocking(to, Parents::make).await?;
        let trace = Trace::new("RENAME", format!("{from} to {to}"));
        let outcome = self.files.rename_opts(from, to, options).await;
        let outcome = self.proven(from, outcome).await;
        trace.ended(None, self.kept(to, outcome).await)
    }
}
