//! The store: [`Swift`] implements the traits of `object_store` with the types of the operations.

mod builder;
mod multipart_store;
mod paginated_list_store;
#[cfg(test)]
mod real;
#[cfg(test)]
mod real_ceph;
#[cfg(test)]
mod real_costs;
#[cfg(test)]
mod real_large;
mod server_time;
#[cfg(feature = "signer")]
mod signer;

use std::{fmt, ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use http::Method;
use object_store::{
    CopyMode, CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, OBJECT_STORE_COALESCE_DEFAULT,
    ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    RenameOptions, RenameTargetMode, Result, coalesce_ranges, path::Path,
};
use url::Url;

pub use self::builder::{BuildError, SwiftBuilder};
use crate::{
    containers::Containers,
    copying::Copying,
    handles::Handles,
    large::{LargeObjects, Upload},
    object_deletion::ObjectDeletion,
    reading::Reading,
    secret::Secret,
    signing::Signing,
    writing::Writing,
};

/// One container of OpenStack Swift. Cheap to clone.
///
/// Swift differs from other stores in these respects:
///
/// - [`PutMode::Create`](object_store::PutMode::Create) is a check, not a lock. A name that existed before is refused.
///   If several writers create one name at the same moment, more than one may receive a success; exactly one content
///   survives. A writer may receive `AlreadyExists` if its first try succeeded and the response was lost. Compare the
///   contents, or use unique names.
/// - [`PutMode::Update`](object_store::PutMode::Update), versions and storage classes are `NotImplemented`.
/// - A listing may lag behind: it may lack a stored object, and show a deleted one. A request for the object itself
///   doesn't lag.
/// - `NotFound` means that the object doesn't exist and that its container does, or did ten seconds ago. A missing
///   container is a [`StoreError::MissingContainer`](crate::StoreError::MissingContainer), unless the store [creates
///   it](SwiftBuilder::with_create).
/// - Deleting a missing object is success. If three or more objects are deleted together, a listing shows which of them
///   are large: a plain object that was replaced by a large one a moment ago may leave its segments behind.
/// - Objects whose names aren't a [`Path`] (`a//b`, `a/`) can't be accessed, and no listing shows them.
///
/// Multipart uploads, and payloads too long for one object, become static large objects. Their segments are in a
/// container of their own, below `<container>/<object>/upload-<unique>/`. They are removed when the object is deleted
/// or replaced through this store, or when the upload is aborted. A crash may leave some behind;
/// [`leftovers`](Self::leftovers) finds them. A reader of an object that is replaced or deleted meanwhile gets an
/// error, never a mixture.
///
/// Swift verifies everything that is sent by its MD5. The store verifies every complete object that is read in the same
/// way, a static large object segment by segment; of ranges and dynamic large objects it verifies the length. A
/// mismatch is an error at its position in the stream, so the content isn't proven before the stream has ended. A body
/// that breaks off is resumed.
///
/// The store is also a [`MultipartStore`](object_store::multipart::MultipartStore) and a
/// [`PaginatedListStore`](object_store::list::PaginatedListStore), and with the feature `signer`, which is on by
/// default, a `Signer`.
#[derive(Clone, Debug)]
pub struct Swift(pub(crate) Arc<Store>);

/// The state that all clones of a [`Swift`] share: one type for each concern.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) handles: Handles,
    pub(crate) object_deletion: ObjectDeletion,
    pub(crate) large: LargeObjects,
    reading: Reading,
    writing: Writing,
    copying: Copying,
    signing: Signing,
}

impl Store {
    fn new(containers: Containers, temp_url_key: Option<Secret>) -> Self {
        let handles = Handles::new(containers);
        let (large, reading) = (LargeObjects::new(&handles), Reading::new(&handles));
        Self {
            object_deletion: ObjectDeletion::new(&handles),
            writing: Writing::new(&handles, &large),
            copying: Copying::new(&handles, &large, &reading),
            signing: Signing::new(&handles, temp_url_key),
            reading,
            handles,
            large,
        }
    }
}

impl Swift {
    /// Returns the name of the container.
    #[must_use]
    pub fn container(&self) -> &str {
        &self.0.handles.containers.container
    }

    /// Requests a token, unless there is a valid one, so that the next request needn't wait for it.
    ///
    /// # Errors
    ///
    /// [`Unauthenticated`](object_store::Error::Unauthenticated) if the credentials are refused, and
    /// [`Generic`](object_store::Error::Generic) for any other failure. Their source is the
    /// [`AuthError`](crate::AuthError) in an [`Arc`].
    pub async fn authenticate(&self) -> Result<()> {
        self.0.handles.containers.client.session().await.map(drop).map_err(|error| {
            let (is_refusal, source) = (error.is_refusal(), Box::new(error));
            if is_refusal {
                object_store::Error::Unauthenticated {
                    path: self.0.handles.containers.container.clone(),
                    source,
                }
            } else {
                object_store::Error::Generic { store: "Swift", source }
            }
        })
    }

    /// Begins a multipart upload whose `complete` fails with `AlreadyExists` if the name is taken. As with
    /// [`PutMode::Create`](object_store::PutMode::Create), that is a check and not a lock. After that failure the
    /// segments remain until the upload is aborted.
    #[must_use]
    pub fn create_in_parts(&self, location: &Path) -> Box<dyn MultipartUpload> {
        Box::new(Upload::create(&self.0.large, self.0.handles.containers.target(location)))
    }

    /// Returns the least size in bytes of a part of a large object, except the last, from the cluster's `/info`. It
    /// doesn't wait for a cluster that doesn't answer this at once: then, and for later uploads, Swift's defaults are
    /// assumed.
    ///
    /// # Errors
    ///
    /// The credentials are refused, or there is no token.
    pub async fn shortest_part(&self) -> Result<u64> {
        Ok(self.0.handles.containers.client.info_at_once().await?.shortest_segment())
    }

    /// Returns the largest number of parts of `part_bytes` bytes that a large object can have. None if there is no limit,
    /// since manifests may name manifests.
    ///
    /// # Errors
    ///
    /// The credentials are refused, or there is no token.
    pub async fn most_parts(&self, part_bytes: u64) -> Result<Option<u64>> {
        self.0.large.most_parts(part_bytes).await
    }

    /// Returns a URL with which anybody can send one kind of request for an object, without credentials, until it
    /// expires: GET, HEAD, PUT, POST or DELETE. A URL for GET, PUT or POST allows HEAD, too.
    ///
    /// The URL is a [TempURL](https://docs.openstack.org/swift/latest/api/temporary_url_middleware.html), signed with
    /// the store's [key](SwiftBuilder::with_temp_url_key) and SHA-256, or another digest if `/info` doesn't list that
    /// one. The time is that of Swift's servers if a response of the last seconds shows it, or else this machine's. The
    /// object needn't exist.
    ///
    /// What is done with the URL doesn't pass through this crate, so its guarantees don't hold. In particular, a DELETE
    /// or PUT of a large object leaves its segments to [`leftovers`](Self::leftovers).
    ///
    /// # Errors
    ///
    /// [`StoreError::Signing`](crate::StoreError::Signing), and those of requesting a token and `/info`. No other
    /// request is sent.
    pub async fn signed_url(&self, method: Method, location: &Path, expires_in: Duration) -> Result<Url> {
        self.0.signing.signed_url(method, location, expires_in).await
    }

    /// Returns the name of the container of the segments of large objects.
    #[must_use]
    pub fn segments_container(&self) -> &str {
        &self.0.handles.containers.segments
    }
}

impl fmt::Display for Swift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Swift({})", self.0.handles.containers.container)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for Swift {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.0.writing.put(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Ok(Box::new(Upload::new(
            &self.0.large,
            self.0.handles.containers.target(location),
            &opts.attributes,
        )?))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.reading.get(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        coalesce_ranges(ranges, |range| self.get_range(location, range), OBJECT_STORE_COALESCE_DEFAULT).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.object_deletion.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.handles.listings.list(prefix, None)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.handles.listings.list(prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.handles.listings.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copying.copy(from, to, options.mode).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let mode = match options.target_mode {
            RenameTargetMode::Overwrite => CopyMode::Overwrite,
            RenameTargetMode::Create => CopyMode::Create,
        };
        self.0.copying.copy(from, to, mode).await?;
        if from == to {
            return Ok(());
        }
        let from = from.clone();
        let source = futures::stream::once(async { Ok(from) }).boxed();
        self.delete_stream(source).try_for_each(|_| async { Ok(()) }).await
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;
    use crate::{Config, Timeouts};

    /// An address without a server.
    const NOWHERE: &str = "http://127.0.0.1:1";

    /// A store that makes a single try of each request.
    fn hasty(settings: &[(&str, &str)]) -> Swift {
        let settings = settings.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        let timeouts = Timeouts { retry: std::time::Duration::ZERO, ..Timeouts::default() };
        let config = Config::from_settings(&settings.collect()).unwrap().with_timeouts(timeouts);
        SwiftBuilder::new("c").with_config(config).build().unwrap()
    }

    #[tokio::test]
    async fn a_token_that_cannot_be_had_in_advance_is_told_as_such_and_not_as_a_request_to_swift() {
        let swift = hasty(&[("ST_AUTH", NOWHERE), ("ST_USER", "u"), ("ST_KEY", "k")]);
        let error = swift.authenticate().await.unwrap_err();
        let message = error.source().unwrap().to_string();
        assert!(message.starts_with("no answer from http://127.0.0.1:1/"), "{message}");
    }

    #[tokio::test]
    async fn a_swift_where_nobody_listens_is_named() {
        let account = format!("{NOWHERE}/v1/AUTH_a");
        let swift = hasty(&[("OS_TOKEN", "t"), ("OS_STORAGE_URL", &account)]);
        let error = swift.get(&Path::from("a")).await.unwrap_err();
        let message = crate::hint::text_and_hint(error.source().unwrap());
        assert!(message.starts_with("GET c/a: no connection to http://127.0.0.1:1; check that"), "{message}");
    }
}
