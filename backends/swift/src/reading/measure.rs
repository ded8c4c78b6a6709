//! Finds the length of a body that was sent without one: a proxy in between may send it in chunks.

use futures::{FutureExt, StreamExt, stream};
use http::{HeaderValue, Method, header::CONTENT_LENGTH};
use object_store::{Result, path::Path};

use super::Reading;
use crate::{
    client::{Request, Response},
    object::Shape,
};

/// The longest body that is kept in memory to find its length.
const MOST_BYTES: usize = 32 << 20;

/// Whether a response to the GET of a complete object lacks a length that nothing else shows. That of a dynamic large
/// object is shown by its segments.
pub(super) fn is_unmeasured(response: &Response) -> bool {
    let is_dynamic = matches!(Shape::of(&response.headers), Shape::Dynamic { .. });
    !is_dynamic && !response.headers.contains_key(CONTENT_LENGTH)
}

impl Reading {
    /// Adds the length to a response: the one that a HEAD gives, or else the number of bytes until the end of the body.
    /// The end of a chunked body can't be mistaken, and its MD5 is compared later.
    ///
    /// # Errors
    ///
    /// Those of the requests, and a body that is too long for that.
    pub(super) async fn measured(
        &self,
        location: &Path,
        request: &Request,
        mut response: Response,
    ) -> Result<Response> {
        let containers = &self.handles.containers;
        let head = Request::object(Method::HEAD, &containers.container, location.as_ref());
        let head = containers.send(head).await?;
        let is_same = head.headers.get("etag") == response.headers.get("etag");
        let given = head.headers.get(CONTENT_LENGTH).filter(|_| head.status.is_success() && is_same);
        if let Some(length) = given {
            response.headers.insert(CONTENT_LENGTH, length.clone());
            return Ok(response);
        }
        let Response { status, headers, request: origin, trouble, .. } = &response;
        let mut measured = Response {
            status: *status,
            headers: headers.clone(),
            request: origin.clone(),
            body: stream::empty().boxed(),
            trouble: trouble.clone(),
        };
        let body = containers.whole(request, response, MOST_BYTES).await?;
        measured.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        measured.body = stream::once(async { Ok(body) }.boxed()).boxed();
        Ok(measured)
    }
}
