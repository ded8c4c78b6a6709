//! Reads objects, ranges of them, or their metadata, under conditions.

mod body;
mod check;
mod content_range;
mod measure;

use std::{ops::Range, time::SystemTime};

use futures::StreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header as http_header};
use jiff::{SignedDuration, Timestamp};
use object_store::{GetOptions, GetRange, GetResult, GetResultPayload, Result, path::Path};

use self::{body::Body, content_range::content_range, measure::is_unmeasured};
use crate::{
    client::{Request, Response, rejected},
    error::{StoreError, not_implemented},
    handles::Handles,
    object::{attributes, header, meta, no_length, unquoted},
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
        let containers = &self.handles.containers;
        let response = if is_unproven {
            containers.send_unproven(request.clone()).await?
        } else {
            containers.send(request.clone()).await?
        };
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

/// The headers for the requested range and conditions.
fn conditions(options: &GetOptions, request: &Request) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    let mut set = |name: HeaderName, value: String| {
        let value = HeaderValue::from_str(&value).map_err(|_| StoreError::Protocol {
            target: request.target(),
            reason: format!("{value:?} can't be sent as {name}"),
        })?;
        headers.insert(name, value);
        Ok::<_, StoreError>(())
    };
    if let Some(tags) = &options.if_match {
        set(http_header::IF_MATCH, quoted(tags))?;
    }
    if let Some(tags) = &options.if_none_match {
        set(http_header::IF_NONE_MATCH, quoted(tags))?;
    }
    if let Some(time) = options.if_modified_since {
        set(http_header::IF_MODIFIED_SINCE, date(time.into())?)?;
    }
    if let Some(time) = options.if_unmodified_since {
        set(http_header::IF_UNMODIFIED_SINCE, date(time.into())?)?;
    }
    if let Some(range) = options.range.as_ref().filter(|_| !options.head) {
        set(http_header::RANGE, checked(range)?.to_string())?;
    }
    Ok(headers)
}

/// Refuses an empty or reversed range, which HTTP can't express.
fn checked(range: &GetRange) -> Result<&GetRange> {
    range.as_range(u64::MAX).map_err(generic)?;
    Ok(range)
}

/// Quotes entity tags as HTTP requires.
fn quoted(tags: &str) -> String {
    let quote = |tag: &str| match unquoted(tag) {
        "*" => "*".to_owned(),
        tag => format!("\"{tag}\""),
    };
    tags.split(',').map(quote).collect::<Vec<_>>().join(", ")
}

/// Formats an HTTP date, rounded up to a second, as Swift rounds the time that it is compared with.
fn date(time: SystemTime) -> Result<String> {
    let time = Timestamp::try_from(time).map_err(generic)?;
    let up = SignedDuration::new(0, 999_999_999);
    let time = time.checked_add(up).map_err(generic)?;
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time).map_err(generic)
}

fn generic(error: impl std::error::Error + Send + Sync + 'static) -> object_store::Error {
    object_store::Error::Generic { store: "Swift", source: Box::new(error) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn tags_are_quoted_however_they_were_given() {
        assert_eq!(quoted("a"), "\"a\"");
        assert_eq!(quoted("\"a\", b"), "\"a\", \"b\"");
        assert_eq!(quoted("*"), "*");
    }

    #[test]
    fn dates_are_rounded_up() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        assert_eq!(date(time).unwrap(), "Tue, 14 Nov 2023 22:13:20 GMT");
        assert_eq!(date(time + Duration::from_nanos(1)).unwrap(), "Tue, 14 Nov 2023 22:13:21 GMT");
    }

    #[test]
    fn a_range_that_has_no_bytes_is_refused() {
        assert!(checked(&GetRange::Bounded(0..0)).is_err());
        assert!(checked(&GetRange::Bounded(3..7)).is_ok());
    }
}
