//! The headers of a read: its range, and its conditions.

use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use jiff::{SignedDuration, Timestamp};
use object_store::{GetOptions, GetRange, Result};

use super::generic;
use crate::{client::Request, error::StoreError, object::unquoted};

/// The headers for the requested range and conditions.
pub(super) fn conditions(options: &GetOptions, request: &Request) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    let mut set = |name: HeaderName, value: String| {
        let value = HeaderValue::from_str(&value).map_err(|_| StoreError::Protocol {
            target: request.target(),
            reason: format!("'{}' can't be sent as {name}", value.escape_debug()),
        })?;
        headers.insert(name, value);
        Ok::<_, StoreError>(())
    };
    if let Some(tags) = &options.if_match {
        set(header::IF_MATCH, quoted(tags))?;
    }
    if let Some(tags) = &options.if_none_match {
        set(header::IF_NONE_MATCH, quoted(tags))?;
    }
    if let Some(time) = options.if_modified_since {
        set(header::IF_MODIFIED_SINCE, date(time.into())?)?;
    }
    if let Some(time) = options.if_unmodified_since {
        set(header::IF_UNMODIFIED_SINCE, date(time.into())?)?;
    }
    if let Some(range) = options.range.as_ref().filter(|_| !options.head) {
        set(header::RANGE, checked(range)?.to_string())?;
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

/// Whether tags, separated by commas, contain one.
pub(super) fn contain(tags: &str, e_tag: &str) -> bool {
    tags.split(',').map(unquoted).any(|tag| tag == "*" || tag == unquoted(e_tag))
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
    fn a_tag_is_found_among_others_with_and_without_quotes() {
        assert!(contain("\"a\", b", "b") && contain("b", "\"b\"") && contain("*", "b"));
        assert!(!contain("a", "b"));
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
