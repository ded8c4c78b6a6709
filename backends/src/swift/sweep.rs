//! The leftovers of crashed uploads in Swift, for prune.

use async_trait::async_trait;
use jiff::Timestamp;
use object_store::{ObjectMeta, Result, path::Path};
use object_store_swift::Swift;
use swiftwal_core::Sweep;

/// Finds the segments of large objects below `prefix` that no manifest names.
#[derive(Debug)]
pub(super) struct SwiftSweep {
    swift: Swift,
    prefix: Path,
}

impl SwiftSweep {
    pub(super) fn new(swift: Swift, prefix: Path) -> Self {
        Self { swift, prefix }
    }
}

/// Whether an upload was for an object below the prefix. Uploads are named with the objects' names in Swift, without
/// any encoding.
fn is_below(prefix: &Path, upload: &str) -> bool {
    let below = upload.strip_prefix(prefix.as_ref());
    prefix.is_root() || below.is_some_and(|below| below.starts_with('/'))
}

/// Converts an object as it is listed below the prefix to one as the container's own listing shows it.
fn with_prefix(prefix: &Path, object: ObjectMeta) -> Option<ObjectMeta> {
    let location = match prefix.is_root() {
        true => object.location,
        false => Path::parse(format!("{prefix}/{}", object.location)).ok()?,
    };
    Some(ObjectMeta { location, ..object })
}

#[async_trait]
impl Sweep for SwiftSweep {
    async fn leftovers(&self, before: Timestamp, listed: Vec<ObjectMeta>) -> Result<Vec<String>> {
        // The container's own listing shows the names with the prefix.
        let listed = listed.into_iter().filter_map(|object| with_prefix(&self.prefix, object)).collect();
        let mut uploads = self.swift.leftovers_after_listing(before.into(), listed).await?;
        uploads.retain(|upload| is_below(&self.prefix, upload));
        Ok(uploads)
    }

    fn wants_listed(&self) -> bool {
        true
    }

    async fn remove(&self, leftovers: &[String]) -> Result<()> {
        self.swift.remove_leftovers(leftovers).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_listed_by_its_whole_name_whatever_is_in_the_prefix() {
        for (prefix, expected) in [("", "a~b"), ("pg", "pg/a~b"), ("a#b%20c?d", "a#b%20c?d/a~b")] {
            let object = ObjectMeta {
                location: Path::parse("a~b").unwrap(),
                last_modified: Timestamp::UNIX_EPOCH.to_string().parse().unwrap(),
                size: 1,
                e_tag: None,
                version: None,
            };
            let with_prefix = with_prefix(&Path::parse(prefix).unwrap(), object).unwrap();
            assert_eq!(with_prefix.location.as_ref(), expected);
        }
    }

    #[test]
    fn an_upload_is_below_the_prefix_of_its_object_whatever_is_in_it() {
        for prefix in ["pg", "pg/~main", "a#b%20c?d"] {
            let parsed = Path::parse(prefix).unwrap();
            assert!(is_below(&parsed, &format!("{prefix}/name/upload-0")), "{prefix}");
            assert!(!is_below(&parsed, &format!("{prefix}2/name/upload-0")), "{prefix}");
            assert!(!is_below(&parsed, "other/name/upload-0"), "{prefix}");
            assert!(is_below(&Path::ROOT, &format!("{prefix}/name/upload-0")), "{prefix}");
        }
    }
}
