//! The attributes of an object, as headers.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use object_store::{Attribute, AttributeValue, Attributes, Result};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::Shape;
use crate::error::StoreError;

const METADATA: &str = "x-object-meta-";

/// Everything but lower-case letters, digits and dashes is encoded, since Swift drops header names with an underscore
/// and changes their case. [`encode_name`] encodes capitals.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-');

/// Returns the headers that store attributes.
///
/// # Errors
///
/// [`StoreError::Attribute`] for a value that HTTP or Swift would drop or trim: an empty one, or one with surrounding
/// spaces or control characters. `NotImplemented` for the storage class.
pub(crate) fn to_headers(attributes: &Attributes) -> Result<HeaderMap> {
    attributes
        .iter()
        .map(|(attribute, value)| Ok((to_name(attribute)?, to_value(attribute, value)?)))
        .collect()
}

fn to_name(attribute: &Attribute) -> Result<HeaderName> {
    match attribute {
        Attribute::CacheControl => Ok(header::CACHE_CONTROL),
        Attribute::ContentDisposition => Ok(header::CONTENT_DISPOSITION),
        Attribute::ContentEncoding => Ok(header::CONTENT_ENCODING),
        Attribute::ContentLanguage => Ok(header::CONTENT_LANGUAGE),
        Attribute::ContentType => Ok(header::CONTENT_TYPE),
        Attribute::Metadata(key) => HeaderName::try_from(format!("{METADATA}{}", encode_name(key)))
            .map_err(|_| refused(attribute, "its name can't be part of the name of a header").into()),
        other => Err(object_store::Error::NotImplemented {
            operation: format!("storing the attribute {other:?}"),
            implementer: "Swift".to_owned(),
        }),
    }
}

fn to_value(attribute: &Attribute, value: &AttributeValue) -> Result<HeaderValue> {
    if value.is_empty() {
        return Err(refused(attribute, "its value is empty, and Swift drops empty values").into());
    }
    if value.trim() != value.as_ref() {
        return Err(refused(attribute, "there is space around its value, which HTTP removes").into());
    }
    HeaderValue::from_bytes(value.as_bytes())
        .map_err(|_| refused(attribute, "there are control characters in its value").into())
}

fn refused(attribute: &Attribute, reason: &'static str) -> StoreError {
    StoreError::Attribute { name: format!("{attribute:?}"), reason }
}

/// A header that radosgw adds to static large objects, as if their writer had set it.
const ADDED: &str = "x-object-meta-static-large-object";

/// Returns the attributes that headers contain.
pub(crate) fn from_headers(headers: &HeaderMap) -> Attributes {
    carriers(headers).filter_map(|(name, value)| Some((from_name(name)?, from_value(value)))).collect()
}

/// Returns the headers that contain attributes, unchanged.
pub(crate) fn raw(headers: &HeaderMap) -> HeaderMap {
    carriers(headers).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn carriers(headers: &HeaderMap) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
    let is_static = Shape::of(headers) == Shape::Static;
    headers.iter().filter(move |(name, _)| from_name(name).is_some() && !(is_static && *name == ADDED))
}

fn from_name(name: &HeaderName) -> Option<Attribute> {
    match name {
        &header::CACHE_CONTROL => Some(Attribute::CacheControl),
        &header::CONTENT_DISPOSITION => Some(Attribute::ContentDisposition),
        &header::CONTENT_ENCODING => Some(Attribute::ContentEncoding),
        &header::CONTENT_LANGUAGE => Some(Attribute::ContentLanguage),
        &header::CONTENT_TYPE => Some(Attribute::ContentType),
        other => {
            let key = other.as_str().strip_prefix(METADATA)?;
            Some(Attribute::Metadata(percent_decode_str(key).decode_utf8_lossy().into_owned().into()))
        }
    }
}

fn from_value(value: &HeaderValue) -> AttributeValue {
    String::from_utf8_lossy(value.as_bytes()).into_owned().into()
}

/// Encodes a metadata name as a part of a header's name, so that it can be decoded unchanged.
fn encode_name(key: &str) -> String {
    let encoded = |c: char| {
        if c.is_ascii_uppercase() {
            format!("%{:02X}", u32::from(c))
        } else {
            utf8_percent_encode(c.encode_utf8(&mut [0; 4]), ENCODED).to_string()
        }
    };
    key.chars().map(encoded).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(attributes: &Attributes) -> Attributes {
        from_headers(&to_headers(attributes).unwrap())
    }

    #[test]
    fn names_that_swift_would_drop_or_change_come_back_as_they_were() {
        for name in ["plain", "with_underscore", "MixedCase", "sp ace", "ümläut", "100%", "a%5Fb"] {
            let attributes = Attributes::from_iter([(Attribute::Metadata(name.into()), "value")]);
            let headers = to_headers(&attributes).unwrap();
            let sent = headers.keys().next().unwrap().as_str();
            assert!(!sent.contains('_'), "{sent}");
            assert_eq!(round_trip(&attributes), attributes, "{name}");
        }
    }

    #[test]
    fn standard_headers_and_values_in_utf_8_come_back_as_they_were() {
        let attributes = Attributes::from_iter([
            (Attribute::CacheControl, "max-age=604800"),
            (Attribute::ContentDisposition, r#"attachment; filename="ä.html""#),
            (Attribute::ContentEncoding, "gzip"),
            (Attribute::ContentLanguage, "en-US"),
            (Attribute::ContentType, "text/html; charset=utf-8"),
        ]);
        assert_eq!(round_trip(&attributes), attributes);
    }

    #[test]
    fn what_radosgw_adds_to_a_large_object_is_no_attribute_of_it() {
        let header = |name, value| (HeaderName::from_static(name), HeaderValue::from_static(value));
        let added = header(ADDED, "True");
        let of_large = HeaderMap::from_iter([added.clone(), header("x-static-large-object", "True")]);
        assert!(from_headers(&of_large).is_empty() && raw(&of_large).is_empty());
        assert_eq!(from_headers(&HeaderMap::from_iter([added])).len(), 1);
    }

    #[test]
    fn what_would_be_lost_is_refused() {
        for value in ["", " x", "x ", "a\nb"] {
            let attributes = Attributes::from_iter([(Attribute::Metadata("a".into()), value)]);
            assert!(to_headers(&attributes).is_err(), "{value:?}");
        }
        let class = Attributes::from_iter([(Attribute::StorageClass, "cold")]);
        assert!(matches!(to_headers(&class), Err(object_store::Error::NotImplemented { .. })));
    }
}
