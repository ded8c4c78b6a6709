//! Copies within the container, which Swift carries out itself as far as it tells what an object consists of.

use futures::{FutureExt, TryStreamExt};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use object_store::{CopyMode, GetOptions, MultipartUpload, PutPayload, Result, path::Path};
use percent_encoding::utf8_percent_encode;

use crate::{
    client::{COPY_FROM, PATH, Request, Response, rejected},
    concurrency::at_once,
    error::StoreError,
    handles::Handles,
    large::{LargeObjects, SegmentNames, Upload},
    listing::Entry,
    manifests::{Segment, changed},
    object::{Content, Shape, attributes, header, put_plain, shape, stored, unquoted},
    reading::Reading,
    target::Target,
};

/// The size of the pieces of an object that this client copies: a thousand of them fit into a manifest.
const PIECE: usize = 64 << 20;

/// Copies objects.
#[derive(Clone, Debug)]
pub(crate) struct Copying {
    handles: Handles,
    large: LargeObjects,
    reading: Reading,
}

impl Copying {
    pub(crate) fn new(handles: &Handles, large: &LargeObjects, reading: &Reading) -> Self {
        Self { handles: handles.clone(), large: large.clone(), reading: reading.clone() }
    }

    /// Copies an object within the container, with its attributes; Swift itself copies the data. Only a static large
    /// object whose segments aren't known, or are ranges of large objects, is read and written by this client.
    ///
    /// The copy of a large object has its own segments, so that each can be deleted without the other; the copy of a
    /// dynamic large object is a static one. [`CopyMode::Create`] first checks that the name isn't taken, and then
    /// copies: it isn't a lock.
    pub(crate) async fn copy(&self, from: &Path, to: &Path, mode: CopyMode) -> Result<()> {
        let source = self
            .handles
            .containers
            .send(Request::object(Method::HEAD, &self.handles.containers.container, from.as_ref()))
            .await?;
        if !source.status.is_success() {
            return Err(rejected(source).await.into());
        }
        let (from, to) = (
            Target::new(&self.handles.containers.container, from.as_ref()),
            Target::new(&self.handles.containers.container, to.as_ref()),
        );
        let replaced = match mode {
            CopyMode::Overwrite => self.handles.manifests.segments_to_replace(&to, |_| false).await?,
            CopyMode::Create if shape(&self.handles.containers, &to).await?.is_none() => Vec::new(),
            CopyMode::Create => {
                let source = "there is an object of this name".into();
                return Err(object_store::Error::AlreadyExists { path: to.name, source });
            }
        };
        match Shape::of(&source.headers) {
            Shape::Plain => self.copy_plain(&from, &to, &source.headers).await?,
            _ => self.copy_large(&from, &to, &source.headers).await?,
        }
        self.handles.deletion.remove_quietly(replaced).await;
        Ok(())
    }

    /// Copies the plain object with this HEAD.
    ///
    /// # Errors
    ///
    /// `Precondition` if the copy has another content, since the original was replaced meanwhile: by a large object,
    /// whose segments some servers don't copy.
    async fn copy_plain(&self, from: &Target, to: &Target, head: &HeaderMap) -> Result<()> {
        let no_tag = || StoreError::Protocol { target: from.to_string(), reason: "it has no tag".to_owned() };
        let e_tag = header(head, "etag").map(unquoted).ok_or_else(no_tag)?;
        let bytes = header(head, "content-length").and_then(|length| length.parse().ok());
        let response = self.request_copy(from, to).await?;
        // The original was deleted meanwhile.
        if response.status == StatusCode::NOT_FOUND {
            return Err(rejected(response).await.into());
        }
        let content = Content { e_tag, bytes, is_checked: false };
        let copied = stored(&self.handles.containers, to, response, content).await;
        copied.map_err(|error| if StoreError::is_other_content(&error) { changed(from) } else { error })
    }

    async fn request_copy(&self, from: &Target, to: &Target) -> Result<Response> {
        let encoded = |text| utf8_percent_encode(text, PATH);
        let path = format!("{}/{}", encoded(&from.container), encoded(&from.name));
        let path = HeaderValue::try_from(path)
            .map_err(|error| StoreError::Protocol { target: from.to_string(), reason: error.to_string() })?;
        self.handles
            .containers
            .send(Request::object(Method::PUT, &to.container, &to.name).header(COPY_FROM, path))
            .await
    }

    async fn copy_large(&self, from: &Target, to: &Target, head: &HeaderMap) -> Result<()> {
        let Some(segments) = self.copied_segments(from, head).await? else {
            return self.copy_content(from, to, head).await;
        };
        let headers = attributes::raw(head);
        if segments.is_empty() {
            return put_plain(&self.handles.containers, to, PutPayload::new(), headers).await.map(drop);
        }
        let place = SegmentNames::unique(to);
        let names = (0..segments.len())
            .map(|number| Target::new(&self.handles.containers.segments, place.segment(number, 0)));
        let names: Vec<_> = names.collect();
        let copied = async {
            let copies = segments
                .into_iter()
                .zip(&names)
                .map(|(segment, name)| self.copy_segment(segment, name).boxed());
            let copies: Vec<_> = at_once(copies).try_collect().await?;
            self.large.write_manifests(to, &place, copies, headers).await
        };
        let copied = copied.await;
        if let Err(error) = &copied {
            self.large.discard_quietly(to, &place, names, error).await;
        }
        copied.map(drop)
    }

    async fn copy_segment(&self, segment: Segment, to: &Target) -> Result<Segment> {
        let from = segment.target().ok_or_else(|| StoreError::Protocol {
            target: segment.name.clone(),
            reason: "a segment has a container and a name".to_owned(),
        })?;
        let content = Content { e_tag: &segment.e_tag, bytes: Some(segment.bytes), is_checked: false };
        stored(&self.handles.containers, to, self.request_copy(&from, to).await?, content).await?;
        Ok(Segment { name: to.path(), ..segment })
    }

    /// Copies an object through this client, a piece at a time.
    async fn copy_content(&self, from: &Target, to: &Target, head: &HeaderMap) -> Result<()> {
        let size = self.handles.listings.size(&from.to_string(), head).await?;
        let e_tag = header(head, "etag").map(unquoted).map(str::to_owned);
        let mut upload = Upload::with_headers(&self.large, to.clone(), attributes::raw(head));
        let location = Path::parse(&from.name).map_err(object_store::Error::from)?;
        let copied = async {
            for start in (0..size).step_by(PIECE) {
                let range = start..size.min(start + PIECE as u64);
                let options = GetOptions { range: Some(range.into()), ..GetOptions::default() };
                let piece = self.reading.get(&location, options).await?;
                if piece.meta.e_tag != e_tag {
                    return Err(changed(from));
                }
                upload.put_part(piece.bytes().await?.into()).await?;
            }
            upload.complete().await
        };
        let copied = copied.await.map(drop);
        if copied.is_err()
            && let Err(error) = upload.abort().await
        {
            tracing::warn!(%to, %error, "segments of a failed copy are left behind until a sweep removes them");
        }
        copied
    }

    /// Returns the segments of the large object with this HEAD, in order. None of them is a large object itself. None
    /// if they aren't known, or are ranges of large objects.
    ///
    /// # Errors
    ///
    /// Anything that leaves it uncertain that the segments are complete: after a rename, the caller deletes the
    /// original.
    async fn copied_segments(&self, object: &Target, head: &HeaderMap) -> Result<Option<Vec<Segment>>> {
        let refused =
            |reason: &str| StoreError::Large { target: object.to_string(), reason: reason.to_owned() };
        let segments = match Shape::of(head) {
            Shape::Dynamic { container, prefix } => {
                let mut entries = self.handles.listings.names_under(&container, &prefix).await?;
                entries.retain(|entry| entry.bytes > 0);
                if entries.iter().any(Entry::is_static) {
                    return Err(refused("a segment of it is a large object itself").into());
                }
                entries.into_iter().map(|entry| segment(&container, entry)).collect()
            }
            _ => {
                let tag = header(head, "etag").map(unquoted).unwrap_or_default();
                let Some(leaves) = self.handles.manifests.leaves(object, tag).await? else {
                    return Ok(None);
                };
                leaves
            }
        };
        let found: u64 = segments.iter().map(Segment::length).sum();
        let expected = self.handles.listings.size(&object.to_string(), head).await?;
        if found != expected {
            return Err(refused(&format!("it has {expected} bytes, and its segments have {found}")).into());
        }
        Ok(Some(segments))
    }
}

/// Describes an object of this container as a segment.
fn segment(container: &str, entry: Entry) -> Segment {
    Segment {
        name: Target::new(container, entry.name).path(),
        e_tag: entry.hash,
        bytes: entry.bytes,
        range: None,
        nested: false,
    }
}
