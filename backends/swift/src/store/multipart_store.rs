//! Uploads whose state the caller keeps.

use std::{fmt, str::FromStr};

use async_trait::async_trait;
use http::{HeaderMap, HeaderName, HeaderValue};
use object_store::{
    MultipartId, PutMultipartOptions, PutPayload, PutResult, Result,
    multipart::{MultipartStore, PartId},
    path::Path,
};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use uuid::Uuid;

use super::Swift;
use crate::{error::StoreError, large::SegmentNames, manifests::Segment, object::to_headers, target::Target};

/// Uploads whose state the caller keeps, and can continue in another process. Beginning one sends no request: the id
/// contains the prefix of its segments and the attributes of the object.
///
/// A part that is stored again replaces the previous one. If it has fewer pieces, or if the upload is completed without
/// some of its parts, the surplus ones remain on Swift until nothing refers to the upload any more. Elsewhere they are
/// removed when the upload is completed. Aborting an upload removes the parts that a listing shows, which may lack recent
/// ones; [`leftovers`](Swift::leftovers) finds these later. An aborted upload must not be continued.
#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl MultipartStore for Swift {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        self.create_multipart_opts(path, PutMultipartOptions::default()).await
    }

    async fn create_multipart_opts(&self, _path: &Path, opts: PutMultipartOptions) -> Result<MultipartId> {
        Ok(Ticket { unique: Uuid::new_v4(), headers: to_headers(&opts.attributes)? }.to_string())
    }

    async fn put_part(
        &self,
        path: &Path,
        id: &MultipartId,
        part_idx: usize,
        data: PutPayload,
    ) -> Result<PartId> {
        let place =
            SegmentNames::new(&self.0.handles.containers.target(path), Ticket::read(path, id)?.unique);
        let segments = self.0.large.put_segments(&place, part_idx, data, part_idx, |_| ()).await?;
        Ok(part_id(&segments))
    }

    async fn complete_multipart(
        &self,
        path: &Path,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> Result<PutResult> {
        let Ticket { unique, headers } = Ticket::read(path, id)?;
        let object = self.0.handles.containers.target(path);
        let place = SegmentNames::new(&object, unique);
        let mut segments = Vec::with_capacity(parts.len());
        for (part, id) in parts.iter().enumerate() {
            let pieces = pieces(id).ok_or_else(|| StoreError::Upload {
                target: object.to_string(),
                reason: format!("'{}' is not a part of it", id.content_id.escape_debug()),
            })?;
            segments.extend(pieces.into_iter().enumerate().map(|(number, (e_tag, bytes))| {
                let name =
                    Target::new(&self.0.handles.containers.segments, place.segment(part, number)).path();
                Segment { name, e_tag, bytes, range: None, nested: false }
            }));
        }
        let large = &self.0.large;
        let named: Vec<_> = segments.iter().filter_map(Segment::target).collect();
        let ready = large.ready(&object, &place, &segments, &headers, false).await?;
        let completed = large.complete(&object, &place, segments, headers, ready).await?;
        large.remove_surplus(&object, &place, &named).await;
        Ok(completed)
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        let place =
            SegmentNames::new(&self.0.handles.containers.target(path), Ticket::read(path, id)?.unique);
        self.0.large.discard(&self.0.handles.containers.target(path), &place, Vec::new()).await
    }
}

/// The content of an upload's id: `<unique>`, or `<unique>?<header>=<value>&…` with percent-encoded values.
struct Ticket {
    unique: Uuid,
    headers: HeaderMap,
}

impl Ticket {
    fn read(path: &Path, id: &MultipartId) -> Result<Self, StoreError> {
        let reason = || format!("'{}' is not the id of an upload", id.escape_debug());
        id.parse().map_err(|()| StoreError::Upload { target: path.to_string(), reason: reason() })
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.unique.simple())?;
        for (number, (name, value)) in self.headers.iter().enumerate() {
            let divider = if number == 0 { '?' } else { '&' };
            write!(f, "{divider}{name}={}", percent_encode(value.as_bytes(), NON_ALPHANUMERIC))?;
        }
        Ok(())
    }
}

impl FromStr for Ticket {
    type Err = ();

    fn from_str(id: &str) -> Result<Self, ()> {
        let (unique, headers) = id.split_once('?').unwrap_or((id, ""));
        let header = |pair: &str| {
            let (name, value) = pair.split_once('=')?;
            let value = percent_decode_str(value).collect::<Vec<_>>();
            Some((HeaderName::try_from(name).ok()?, HeaderValue::from_bytes(&value).ok()?))
        };
        let headers = headers.split('&').filter(|pair| !pair.is_empty());
        Ok(Self {
            unique: Uuid::try_parse(unique).map_err(drop)?,
            headers: headers.map(header).collect::<Option<_>>().ok_or(())?,
        })
    }
}

/// The id of a part: `<MD5>:<bytes>` for each of its segments, separated by commas.
fn part_id(segments: &[Segment]) -> PartId {
    let pieces: Vec<_> =
        segments.iter().map(|segment| format!("{}:{}", segment.e_tag, segment.bytes)).collect();
    PartId { content_id: pieces.join(",") }
}

/// Parses the tags and lengths of a part's segments.
fn pieces(id: &PartId) -> Option<Vec<(String, u64)>> {
    let piece = |piece: &str| {
        let (e_tag, bytes) = piece.split_once(':')?;
        Some((e_tag.to_owned(), bytes.parse().ok()?))
    };
    id.content_id.split(',').filter(|piece| !piece.is_empty()).map(piece).collect()
}

#[cfg(test)]
mod tests {
    use object_store::{Attribute, Attributes};

    use super::*;

    #[test]
    fn an_id_keeps_the_attributes() {
        let attributes = Attributes::from_iter([
            (Attribute::ContentType, "text/plain; charset=utf-8"),
            (Attribute::Metadata("a_b".into()), "ä=1&b,?"),
        ]);
        let ticket = Ticket { unique: Uuid::from_u128(7), headers: to_headers(&attributes).unwrap() };
        let read: Ticket = ticket.to_string().parse().ok().unwrap();
        assert_eq!((read.unique, read.headers), (ticket.unique, ticket.headers));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for id in ["", "x", "00000000000000000000000000000007?a", "00000000000000000000000000000007?a b=c"] {
            assert!(id.parse::<Ticket>().is_err(), "{id:?}");
        }
    }

    #[test]
    fn a_part_is_known_by_its_segments() {
        let segment = |e_tag: &str, bytes| Segment {
            name: String::new(),
            e_tag: e_tag.to_owned(),
            bytes,
            range: None,
            nested: false,
        };
        let id = part_id(&[segment("aa", 5), segment("bb", 1)]);
        assert_eq!(pieces(&id).unwrap(), [("aa".to_owned(), 5), ("bb".to_owned(), 1)]);
        assert!(pieces(&part_id(&[])).unwrap().is_empty());
        assert!(pieces(&PartId { content_id: "aa".to_owned() }).is_none());
    }
}
