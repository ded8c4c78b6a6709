//! Stores one object in one piece.

use http::{HeaderMap, HeaderValue, Method, header as http_header};
use object_store::{PutPayload, Result};

use super::{Content, md5_hex, stored};
use crate::{client::Request, containers::Containers, error::StoreError, target::Target};

/// Stores one object in one piece, and returns its MD5, which Swift has checked.
pub(crate) async fn put_plain(
    containers: &Containers,
    target: &Target,
    payload: PutPayload,
    headers: HeaderMap,
) -> Result<String> {
    let (md5, bytes) = (md5_hex(&payload).await?, payload.content_length() as u64);
    let mut request = Request::object(Method::PUT, &target.container, &target.name).body(payload);
    request.headers = headers;
    request.headers.insert(http_header::ETAG, tag(&md5, &request)?);
    let content = Content { e_tag: &md5, bytes: Some(bytes), is_checked: true };
    stored(containers, target, containers.send(request).await?, content).await?;
    Ok(md5)
}

/// Returns an entity tag as a header's value.
fn tag(tag: &str, request: &Request) -> Result<HeaderValue, StoreError> {
    HeaderValue::from_str(tag).map_err(|_| StoreError::Protocol {
        target: request.target(),
        reason: "invalid entity tag".to_owned(),
    })
}
