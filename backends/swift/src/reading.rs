//! Reads objects, ranges of them, or their metadata, under conditions.

mod body;
mod check;
mod conditions;
mod content_range;
mod measure;

use std::ops::Range;

use futures::StreamExt;
use http::{HeaderMap, Method, StatusCode, header::IF_MATCH};
use object_store::{GetOptions, GetResult, GetResultPayload, Result, path::Path};

use self::{
    body::Body,
    conditions::{conditions, contain},
    content_range::content_range,
    measure::is_unmeasured,
};
use crate::{
    client::{Request, Response, rejected},
    dialect::Server,
    error::{StoreError, not_implemented},
    handles::Handles,
    object::{attributes, header, meta, no_length},
};

/// An extension of [`GetOptions`]: `NotFound` may also mean that the container is missing.
///
/// It saves the request that proves the container, for a caller that lists the container next: a listing of a missing
/// container fails.
#[derive(Clone, Copy, Debug)]
pub struct UnprovenAbsence;

/// Reads objects.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    handles: Handles,
}

impl Reading {
    pub(crate) fn new(handles: &Handles) -> Self {
        Self { handles: handles.clone() }
    }

    /// Reads an object, a range of it, or its metadata, under the given conditions.
    pub(crate) async fn get(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if options.version.is_some() {
            return Err(not_implemented("reading a certain version"));
        }
        let method = if options.head { Method::HEAD } else { Method::GET };
        let mut request = Request::object(method, &self.handles.containers.container, location.as_ref());
        request.headers = conditions(&options, &request)?;
        let is_unproven = options.extensions.get::<UnprovenAbsence>().is_some();
        let response = self.send(&mut request, &options, is_unproven).await?;
        if is_unmodified(&response, &options) {
            let source = "the object has one of the given tags".into();
            return Err(object_store::Error::NotModified { path: location.to_string(), source });
        }
        if options.head {
            return self.head_result(location, &options, response).await;
        }
        match response.status {
            StatusCode::OK if is_unmeasured(&response) => {
                let response = self.measured(location, &request, response).await?;
                self.get_result(location, &options, response).await
            }
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => {
                self.get_result(location, &options, response).await
            }
            _ => Err(rejected(response).await.into()),
        }
    }

    /// Sends the request. radosgw refuses `If-Match` for every static large object; then it is sent without that, and the
    /// tag in the answer is compared.
    async fn send(&self, request: &mut Request, options: &GetOptions, is_unproven: bool) -> Result<Response> {
        let containers = &self.handles.containers;
        let response = match is_unproven {
            true => containers.send_unproven(request.clone()).await?,
            false => containers.send(request.clone()).await?,
        };
        let is_certain = Server::of(&response.headers) == Some(Server::Swift);
        let refused = response.status == StatusCode::PRECONDITION_FAILED && !is_certain;
        let Some(tags) = options.if_match.as_ref().filter(|_| refused) else { return Ok(response) };
        request.headers.remove(IF_MATCH);
        let again = containers.send(request.clone()).await?;
        let is_same = header(&again.headers, "etag").is_some_and(|e_tag| contain(tags, e_tag));
        Ok(if is_same { again } else { response })
    }

    async fn head_result(
        &self,
        location: &Path,
        options: &GetOptions,
        response: Response,
    ) -> Result<GetResult> {
        if response.status != StatusCode::OK {
            return Err(rejected(response).await.into());
        }
        let size = self.handles.listings.size(&response.request.target, &response.headers).await?;
        let range = match &options.range {
            Some(range) => range.as_range(size).map_err(generic)?,
            None => 0..size,
        };
        Ok(GetResult {
            payload: GetResultPayload::Stream(futures::stream::empty().boxed()),
            meta: meta(location, &response.headers, size)?,
            range,
            attributes: attributes::from_headers(&response.headers),
            extensions: http::Extensions::new(),
        })
    }

    async fn get_result(
        &self,
        location: &Path,
        options: &GetOptions,
        response: Response,
    ) -> Result<GetResult> {
        let Response { status, headers, request, .. } = &response;
        let (range, size) = self.extent(*status, headers, &request.target).await?;
        let asked = options.range.as_ref().map_or(Ok(0..size), |range| range.as_range(size));
        if asked.map_err(generic)? != range {
            let reason = format!("received bytes {range:?} of {size} instead of the requested ones");
            return Err(StoreError::Protocol { target: response.request.target, reason }.into());
        }
        let meta = meta(location, &response.headers, size)?;
        let attributes = attributes::from_headers(&response.headers);
        let body = Body::new(self, location, range.clone(), response);
        Ok(GetResult {
            payload: GetResultPayload::Stream(body.into_stream()),
            meta,
            range,
            attributes,
            extensions: http::Extensions::new(),
        })
    }

    /// Returns the range of bytes in a response, and the size of the object.
    async fn extent(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        target: &str,
    ) -> Result<(Range<u64>, u64)> {
        if status == StatusCode::PARTIAL_CONTENT {
            let range = header(headers, "content-range").and_then(content_range);
            return Ok(range.ok_or_else(|| no_length(target))?);
        }
        let size = self.handles.listings.size(target, headers).await?;
        Ok((0..size, size))
    }
}

fn generic(error: impl std::error::Error + Send + Sync + 'static) -> object_store::Error {
    object_store::Error::Generic { store: "Swift", source: Box::new(error) }
}

/// Whether a response has the object that the caller has already. Swift answers 304 then, and so does radosgw unless the
/// object is a large one.
fn is_unmodified(response: &Response, options: &GetOptions) -> bool {
    let e_tag = header(&response.headers, "etag").filter(|_| response.status.is_success());
    options.if_none_match.as_ref().zip(e_tag).is_some_and(|(tags, e_tag)| contain(tags, e_tag))
}
