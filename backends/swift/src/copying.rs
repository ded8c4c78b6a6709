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
    large::{LargeObjects, SegmentLimits, SegmentNames, Upload},
    listing::Entry,
    manifests::{Segment, changed},
    object::{Content, Shape, attributes, header, put_plain, shape, stored, unquoted},
    reading::Reading,
    target::Target,
};

/// The size of the pieces of an object that this client copies, unless a manifest can't name so many.
const PIECE: u64 = 64 << 20;

/// The largest size of a piece: one at a time is in memory.
const LARGEST_PIECE: u64 = 256 << 20;

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

    /// Copies an object within the container, with its attributes; Swift itself copies the data. Only a large object is
    /// read and written by this client if its segments aren't known, are ranges of large objects, or are too many or too
    /// short for a manifest.
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
        if self.large.excludes(to, &place, &segments).await? {
            return self.copy_content(from, to, head).await;
        }
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
        let piece = piece_length(from, size, self.large.segment_limits().await?)?;
        let e_tag = header(head, "etag").map(unquoted).map(str::to_owned);
        let mut upload = Upload::with_headers(&self.large, to.clone(), attributes::raw(head));
        let location = Path::parse(&from.name).map_err(object_store::Error::from)?;
        let copied = async {
            for start in (0..size).step_by(usize::try_from(piece).unwrap_or(usize::MAX)) {
                let range = start..size.min(start + piece);
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

/// Returns the length of the pieces in which an object of this size is copied.
///
/// # Errors
///
/// [`StoreError::Large`] if the cluster would need longer ones than this client can copy.
fn piece_length(object: &Target, size: u64, limits: Option<SegmentLimits>) -> Result<u64, StoreError> {
    let Some(SegmentLimits { bytes, number }) = limits else { return Ok(PIECE) };
    let largest = LARGEST_PIECE.min(bytes);
    if size > largest.saturating_mul(number) {
        let reason = format!(
            "it has {size} bytes, and a copy through this client has at most {number} segments of {largest} bytes here"
        );
        return Err(StoreError::Large { target: object.to_string(), reason });
    }
    Ok(size.div_ceil(number).max(PIECE.min(bytes)))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn length(size: u64, limits: Option<(u64, u64)>) -> Result<u64, StoreError> {
        let limits = limits.map(|(bytes, number)| SegmentLimits { bytes, number });
        piece_length(&Target::new("c", "a"), size, limits)
    }

    #[test]
    fn pieces_grow_with_the_object_where_their_number_is_limited() {
        let (gib, thousand) = (1 << 30, Some((5 << 30, 1000)));
        assert_eq!(length(5000 * gib, None).unwrap(), PIECE);
        assert_eq!(length(gib, thousand).unwrap(), PIECE);
        let longer = length(63 * gib, thousand).unwrap();
        assert!(longer > PIECE && (63 * gib).div_ceil(longer) <= 1000, "{longer}");
        assert_eq!(length(250 * gib, thousand).unwrap(), LARGEST_PIECE);
    }

    #[test]
    fn no_piece_is_longer_than_a_segment_may_be() {
        let mib = 1 << 20;
        assert_eq!(length(100 * mib, Some((8 * mib, 1000))).unwrap(), 8 * mib);
        assert_eq!(length(0, Some((8 * mib, 1000))).unwrap(), 8 * mib);
    }

    #[test]
    fn what_no_pieces_can_hold_is_refused_before_anything_is_copied() {
        for (size, limits) in [(251 << 30, (5 << 30, 1000)), (25 << 20, (8 << 20, 3))] {
            let error = length(size, Some(limits)).unwrap_err().to_string();
            assert!(error.contains("c/a") && error.contains(&size.to_string()), "{error}");
        }
    }
}
