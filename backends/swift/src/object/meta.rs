//! The metadata in the headers of an object: how it is stored, its tag, its time.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, Method, StatusCode, header};
use object_store::{ObjectMeta, Result, path::Path};
use percent_encoding::percent_decode_str;

use crate::{
    client::{Request, Response, rejected},
    containers::Containers,
    error::StoreError,
    target::Target,
};

/// How an object is stored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Shape {
    /// As one object.
    Plain,
    /// As a manifest that names its segments (a static large object).
    Static,
    /// As a manifest that names the container and the common prefix of its segments (a dynamic large object).
    Dynamic { container: String, prefix: String },
}

impl Shape {
    /// Reads it from the response to a GET or HEAD of the object.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        if header(headers, "x-static-large-object").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Self::Static;
        }
        let dynamic = header(headers, "x-object-manifest").and_then(|value| {
            let decoded = percent_decode_str(value).decode_utf8().ok()?;
            let (container, prefix) = decoded.trim_start_matches('/').split_once('/')?;
            Some(Self::Dynamic { container: container.to_owned(), prefix: prefix.to_owned() })
        });
        dynamic.unwrap_or(Self::Plain)
    }
}

/// Requests how an object is stored. None if there is no such object.
pub(crate) async fn shape(containers: &Containers, object: &Target) -> Result<Option<Shape>> {
    Ok(head(containers, object).await?.map(|headers| Shape::of(&headers)))
}

/// Requests the headers of an object. None if there is no such object in a container that exists.
pub(crate) async fn head(containers: &Containers, object: &Target) -> Result<Option<HeaderMap>> {
    headers_of(containers.send(head_request(object)).await?).await
}

/// As [`head`], for a caller that needs no proof of the container: None may also mean that it is missing.
pub(crate) async fn head_unproven(containers: &Containers, object: &Target) -> Result<Option<HeaderMap>> {
    headers_of(containers.client.send(head_request(object)).await?).await
}

fn head_request(object: &Target) -> Request {
    Request::object(Method::HEAD, &object.container, &object.name)
}

async fn headers_of(response: Response) -> Result<Option<HeaderMap>> {
    match response.status {
        StatusCode::NOT_FOUND => Ok(None),
        status if status.is_success() => Ok(Some(response.headers)),
        _ => Err(rejected(response).await.into()),
    }
}

/// Returns a header's value, if it is text.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Returns an entity tag without quotes; only the tags of large objects have them.
pub(crate) fn unquoted(tag: &str) -> &str {
    tag.trim().trim_matches('"')
}

/// The error of a response without a length.
pub(crate) fn no_length(target: &str) -> StoreError {
    StoreError::Protocol { target: target.to_owned(), reason: "it doesn't say how long it is".to_owned() }
}

/// Returns the metadata in the headers of an object of `size` bytes.
pub(crate) fn meta(location: &Path, headers: &HeaderMap, size: u64) -> Result<ObjectMeta, StoreError> {
    let time = modified(headers).ok_or_else(|| StoreError::Protocol {
        target: location.to_string(),
        reason: "it doesn't say when the object was stored".to_owned(),
    })?;
    let e_tag = header(headers, "etag").map(|tag| unquoted(tag).to_owned());
    Ok(ObjectMeta { location: location.clone(), last_modified: time.into(), size, e_tag, version: None })
}

/// Returns the time of the object. `X-Timestamp` is exact and equals the one in listings; `Last-Modified` is rounded up
/// to a second.
fn modified(headers: &HeaderMap) -> Option<SystemTime> {
    let exact = header(headers, "x-timestamp").and_then(timestamp);
    exact.or_else(|| {
        let date = header(headers, header::LAST_MODIFIED.as_str())?;
        let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
        Some(date.into())
    })
}

/// Parses seconds with a fraction, `1700000000.12345`, without the rounding of a float.
fn timestamp(text: &str) -> Option<SystemTime> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds.parse().ok()?, digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn the_shape_is_read_from_the_headers_of_swift() {
        assert_eq!(Shape::of(&headers(&[])), Shape::Plain);
        assert_eq!(Shape::of(&headers(&[("x-static-large-object", "True")])), Shape::Static);
        let dynamic = Shape::Dynamic { container: "c".into(), prefix: "...seg/a b/1/".into() };
        assert_eq!(Shape::of(&headers(&[("x-object-manifest", "c/...seg/a%20b/1/")])), dynamic);
    }

    #[test]
    fn a_timestamp_keeps_its_fraction() {
        let expected = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 123_450_000);
        assert_eq!(timestamp("1700000000.12345"), Some(expected));
        assert_eq!(timestamp("yesterday"), None);
    }

    #[test]
    fn last_modified_serves_where_there_is_no_timestamp() {
        let headers = headers(&[("last-modified", "Tue, 14 Nov 2023 22:13:20 GMT")]);
        assert_eq!(modified(&headers), Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)));
    }
}
