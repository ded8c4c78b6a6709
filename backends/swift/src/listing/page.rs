//! The rows of a listing.

#[cfg(any(test, fuzzing, feature = "fuzz"))]
pub(super) mod fuzz;

use std::time::SystemTime;

use http::HeaderMap;
use jiff::{civil::DateTime, tz::TimeZone};
use object_store::{ObjectMeta, path::Path};
use serde::Deserialize;

use crate::{
    error::StoreError,
    object::{header, unquoted},
};

/// The MD5 of empty content.
const EMPTY: &str = "d41d8cd98f00b204e9800998ecf8427e";

/// An object of at most this size counts as plain unless the listing shows otherwise. Large objects are rarely so
/// small, and a request for each of many small objects would be slow.
const SURELY_PLAIN: u64 = 16 << 20;

/// One row of a listing.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Row {
    /// A prefix of names, with its slash.
    Subdir { subdir: String },
    /// An object.
    Object(Entry),
}

/// An object in a listing.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    /// For a static large object, the hash of its manifest.
    #[serde(default)]
    pub(crate) hash: String,
    /// In UTC, without a zone.
    last_modified: String,
    /// Present only for static large objects; quoted.
    #[serde(default)]
    pub(crate) slo_etag: Option<String>,
}

impl Row {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Subdir { subdir } => subdir,
            Self::Object(entry) => &entry.name,
        }
    }

    pub(super) fn object(self) -> Option<Entry> {
        match self {
            Self::Object(entry) => Some(entry),
            Self::Subdir { .. } => None,
        }
    }
}

impl Entry {
    /// Returns the name as a path. None if it isn't a path; then the object can't be accessed.
    pub(super) fn location(&self) -> Option<Path> {
        path(&self.name)
    }

    pub(crate) fn is_static(&self) -> bool {
        self.slo_etag.is_some()
    }

    /// Returns the name and the tag of a static large object.
    pub(crate) fn tagged(self) -> Option<(String, String)> {
        let tag = unquoted(self.slo_etag.as_deref()?).to_owned();
        Some((self.name, tag))
    }

    /// Whether it may be a large object although the listing doesn't show it as one: then its size and tag aren't the
    /// object's either. Swift lists a dynamic large object as empty; radosgw lists any large object with the MD5 of
    /// nothing and a size between zero and the length of its manifest.
    pub(crate) fn may_be_large(&self) -> bool {
        self.slo_etag.is_none() && self.hash == EMPTY
    }

    /// Whether it may be a static large object, which the listings of some clusters show as a plain one.
    pub(crate) fn may_be_static(&self) -> bool {
        self.bytes > SURELY_PLAIN
    }

    pub(super) fn meta(&self, location: Path) -> Result<ObjectMeta, StoreError> {
        let e_tag = self.slo_etag.as_deref().map_or(self.hash.as_str(), unquoted);
        Ok(ObjectMeta {
            location,
            last_modified: self.modified()?.into(),
            size: self.bytes,
            e_tag: (!e_tag.is_empty()).then(|| e_tag.to_owned()),
            version: None,
        })
    }

    pub(crate) fn modified(&self) -> Result<SystemTime, StoreError> {
        let time = self.last_modified.trim_end_matches('Z').parse::<DateTime>();
        let time = time.and_then(|time| time.to_zoned(TimeZone::UTC));
        time.map(|time| time.timestamp().into())
            .map_err(|error| StoreError::Protocol { target: self.name.clone(), reason: error.to_string() })
    }
}

/// The path of a common prefix, without the delimiter at its end.
pub(super) fn directory(subdir: &str, delimiter: &str) -> Option<Path> {
    path(subdir.strip_suffix(delimiter).unwrap_or(subdir))
}

/// Returns the name as a path, if it is one without changes.
fn path(name: &str) -> Option<Path> {
    Path::parse(name).ok().filter(|path| path.as_ref() == name && !name.is_empty())
}

pub(super) fn e_tag(headers: &HeaderMap) -> Option<String> {
    header(headers, "etag").map(|tag| unquoted(tag).to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn parse(json: &str) -> Vec<Row> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn plain_and_static_objects_and_prefixes_are_told_apart() {
        let rows = parse(
            r#"[{"subdir": "a/"},
                {"name": "b", "bytes": 3, "hash": "acbd18db4cc2f85cedef654fccc4a4d8",
                 "content_type": "text/plain", "last_modified": "2023-11-14T22:13:20.500000"},
                {"name": "c", "bytes": 9, "hash": "0123", "slo_etag": "\"4567\"",
                 "content_type": "x/y", "last_modified": "2023-11-14T22:13:20"}]"#,
        );
        assert_eq!(directory(rows[0].name(), "/"), Some(Path::from("a")));
        let Row::Object(plain) = &rows[1] else { panic!("{:?}", rows[1]) };
        let meta = plain.meta(plain.location().unwrap()).unwrap();
        assert_eq!(meta.e_tag.as_deref(), Some("acbd18db4cc2f85cedef654fccc4a4d8"));
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_500);
        assert_eq!(SystemTime::from(meta.last_modified), time);
        let Row::Object(large) = &rows[2] else { panic!("{:?}", rows[2]) };
        assert!(large.is_static());
        assert_eq!(large.meta(Path::from("c")).unwrap().e_tag.as_deref(), Some("4567"));
    }

    #[test]
    fn names_that_no_path_says_have_none() {
        for name in ["a//b", "a/", "/a", ".", "a/../b", ""] {
            assert_eq!(path(name), None, "{name:?}");
        }
        assert_eq!(path("...seg/a%20b").unwrap().as_ref(), "...seg/a%20b");
    }
}
