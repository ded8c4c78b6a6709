//! The segments that a manifest names, and the format of a manifest.

use serde::{Deserialize, Serialize};

use crate::{object::Md5Sum, target::Target};

/// A part of a large object: an object, a range of one, or another large object.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub(crate) struct Segment {
    /// `/container/object`
    pub(crate) name: String,
    /// The MD5 of the segment; for a nested manifest, the MD5 of its segments' tags.
    #[serde(rename = "hash")]
    pub(crate) e_tag: String,
    /// The size of the complete object, even if only a range of it is used.
    pub(crate) bytes: u64,
    /// A range as in HTTP, such as `2-4`.
    #[serde(default)]
    pub(crate) range: Option<String>,
    /// Whether it is a static large object itself.
    #[serde(default, rename = "sub_slo")]
    pub(crate) nested: bool,
}

impl Segment {
    pub(crate) fn target(&self) -> Option<Target> {
        let (container, name) = self.name.trim_start_matches('/').split_once('/')?;
        Some(Target::new(container, name))
    }

    /// The number of bytes that the segment contributes.
    pub(crate) fn length(&self) -> u64 {
        let parse = |range: &str| {
            let (first, last) = range.split_once('-')?;
            match (first.parse::<u64>().ok(), last.parse::<u64>().ok()) {
                (Some(first), Some(last)) => {
                    Some((last.min(self.bytes.saturating_sub(1)) + 1).saturating_sub(first))
                }
                (Some(first), None) => Some(self.bytes.saturating_sub(first)),
                (None, Some(last)) => Some(last.min(self.bytes)),
                (None, None) => None,
            }
        };
        self.range.as_deref().and_then(parse).unwrap_or(self.bytes)
    }
}

/// The entity tag of a large object: the MD5 of its segments' concatenated tags, each followed by its range, if it has
/// one.
pub(crate) fn e_tag(segments: &[Segment]) -> String {
    let mut sum = Md5Sum::default();
    for segment in segments {
        sum.update(segment.e_tag.as_bytes());
        if let Some(range) = &segment.range {
            sum.update(format!(":{range};").as_bytes());
        }
    }
    sum.finish()
}

/// A segment as Swift expects it in a manifest.
#[derive(Serialize)]
struct Entry<'a> {
    path: &'a str,
    etag: &'a str,
    size_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<&'a str>,
}

/// The body of the PUT of a manifest.
pub(crate) fn encode(segments: &[Segment]) -> Result<Vec<u8>, serde_json::Error> {
    let entries = segments.iter().map(|segment| Entry {
        path: &segment.name,
        etag: &segment.e_tag,
        size_bytes: segment.bytes,
        range: segment.range.as_deref(),
    });
    serde_json::to_vec(&entries.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(e_tag: &str, bytes: u64, range: Option<&str>) -> Segment {
        let (e_tag, range) = (e_tag.to_owned(), range.map(str::to_owned));
        Segment { name: "/c/o".to_owned(), e_tag, bytes, range, nested: false }
    }

    #[test]
    fn the_tag_is_the_md5_of_the_tags() {
        // md5("ab" + "cd")
        assert_eq!(
            e_tag(&[segment("ab", 1, None), segment("cd", 1, None)]),
            "e2fc714c4727ee9395f324cd2e7f331f"
        );
    }

    #[test]
    fn a_range_counts_for_the_bytes_it_has() {
        assert_eq!(segment("a", 10, None).length(), 10);
        assert_eq!(segment("a", 10, Some("2-4")).length(), 3);
        assert_eq!(segment("a", 10, Some("2-99")).length(), 8);
        assert_eq!(segment("a", 10, Some("7-")).length(), 3);
        assert_eq!(segment("a", 10, Some("-4")).length(), 4);
    }

    #[test]
    fn a_listed_manifest_is_written_again_unchanged() {
        let listed = r#"[{"name": "/c_segments/a/1", "bytes": 3, "hash": "aa", "content_type": "x/y",
                          "last_modified": "2023-11-14T22:13:20.500000", "range": "0-1"},
                         {"name": "/c_segments/a/2", "bytes": 4, "hash": "bb", "sub_slo": true}]"#;
        let segments: Vec<Segment> = serde_json::from_str(listed).unwrap();
        assert!(segments[1].nested);
        assert_eq!(segments[1].target(), Some(Target::new("c_segments", "a/2")));
        let written = String::from_utf8(encode(&segments).unwrap()).unwrap();
        assert_eq!(
            written,
            r#"[{"path":"/c_segments/a/1","etag":"aa","size_bytes":3,"range":"0-1"},"#.to_owned()
                + r#"{"path":"/c_segments/a/2","etag":"bb","size_bytes":4}]"#
        );
    }
}
