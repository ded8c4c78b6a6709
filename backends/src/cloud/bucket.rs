//! Distinguishes a missing object from a missing bucket, which services don't.

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, path::Path,
};
use thiserror::Error;

/// A store that reports a missing bucket as such. Services answer 404 both for a missing object and for a missing
/// bucket.
#[derive(Debug)]
pub(super) struct Bucket<S>(Arc<S>);

/// An extension of [`GetOptions`]: the caller lists the bucket next, so `NotFound` needn't prove that it exists.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnprovenAbsence;

#[derive(Debug, Error)]
#[error("the bucket or container doesn't exist")]
struct Absent {
    source: Error,
}

/// What to do about an error of the store.
pub(super) fn hint(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    error.is::<Absent>().then(|| "create it, or correct its name or the endpoint".to_owned())
}

impl<S: ObjectStore> Bucket<S> {
    pub(super) fn new(store: S) -> Self {
        Self(store.into())
    }
}

impl From<Absent> for Error {
    fn from(absent: Absent) -> Self {
        Self::Generic { store: "bucket", source: Box::new(absent) }
    }
}

/// Returns `outcome`. Before it accepts a "not found", it requests a listing, which succeeds only if the bucket exists.
async fn proven<T>(store: &impl ObjectStore, outcome: Result<T>) -> Result<T> {
    if let Err(Error::NotFound { .. }) = outcome {
        store.list(None).map_err(not_an_object).try_next().await?;
    }
    outcome
}

/// Converts the error of a request that doesn't concern a single object.
fn not_an_object(error: Error) -> Error {
    if matches!(error, Error::NotFound { .. }) { Absent { source: error }.into() } else { error }
}

impl<S: fmt::Display> fmt::Display for Bucket<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: ObjectStore> ObjectStore for Bucket<S> {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.0.put_opts(location, payload, opts).await.map_err(not_an_object)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(location, opts).await.map_err(not_an_object)
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let is_unproven = options.extensions.get::<UnprovenAbsence>().is_some();
        let outcome = self.0.get_opts(location, options).await;
        if is_unproven { outcome } else { proven(&self.0, outcome).await }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        proven(&self.0, self.0.get_ranges(location, ranges).await).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = Arc::clone(&self.0);
        let deletions = self.0.delete_stream(locations);
        deletions
            .then(move |outcome| {
                let store = Arc::clone(&store);
                async move { proven(&store, outcome).await }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix).map_err(not_an_object).boxed()
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list_with_offset(prefix, offset).map_err(not_an_object).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await.map_err(not_an_object)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        proven(&self.0, self.0.copy_opts(from, to, options).await).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        proven(&self.0, self.0.rename_opts(from, to, options).await).await
    }
}
