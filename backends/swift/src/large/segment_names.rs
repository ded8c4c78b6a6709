//! The names of segments and nested manifests, and the upload that a name belongs to.

use uuid::Uuid;

use crate::target::Target;

/// The text between the object's name and the unique part in the names of an upload's segments.
const MARK: &str = "/upload-";

/// The beginning of the last part of a nested manifest's name.
const MANIFEST: &str = "manifest-";

/// The number of digits in the unique part.
const UNIQUE: usize = 32;

/// The prefix of the segments of one upload: `<container>/<object>/upload-<unique>`. No other upload, of any container,
/// ever has the same.
#[derive(Clone, Debug)]
pub(crate) struct SegmentNames(String);

impl SegmentNames {
    /// Creates a prefix for a new upload.
    pub(crate) fn unique(object: &Target) -> Self {
        Self::new(object, Uuid::new_v4())
    }

    pub(crate) fn new(object: &Target, unique: Uuid) -> Self {
        Self(format!("{object}{MARK}{}", unique.simple()))
    }

    /// The container and the name of the object.
    pub(crate) fn object(&self) -> &str {
        self.0.rsplit_once(MARK).map_or(&self.0, |(object, _)| object)
    }

    /// The name of a segment. Names sort by part, and then by piece of the part.
    pub(crate) fn segment(&self, part: usize, piece: usize) -> String {
        format!("{}/{part:08}-{piece:04}", self.0)
    }

    /// The name of a nested manifest.
    pub(crate) fn manifest(&self, level: usize, number: usize) -> String {
        format!("{}{MANIFEST}{level}-{number:08}", self.prefix())
    }

    /// Whether this is the name of a nested manifest of the upload.
    pub(crate) fn is_manifest(&self, name: &str) -> bool {
        name.strip_prefix(&self.prefix()).is_some_and(|rest| rest.starts_with(MANIFEST))
    }

    /// The beginning of the names of everything that belongs to the upload.
    pub(crate) fn prefix(&self) -> String {
        format!("{}/", self.0)
    }

    /// Whether an object of the segments' container belongs to the upload.
    pub(crate) fn has(&self, name: &str) -> bool {
        name.starts_with(&self.prefix())
    }
}

/// The beginning of the names of all segments of a container's objects. Other containers may keep theirs in the same
/// container of segments.
pub(crate) fn segments_of(container: &str) -> String {
    format!("{container}/")
}

/// Returns the upload of this container that a segment or nested manifest belongs to, `<object>/upload-<unique>`, and
/// the name of its object. None if it belongs to another container or another program.
pub(crate) fn upload_of<'a>(container: &str, name: &'a str) -> Option<(&'a str, &'a str)> {
    let (upload, _) = name.strip_prefix(&segments_of(container))?.rsplit_once('/')?;
    let (object, unique) = upload.rsplit_once(MARK)?;
    let is_unique = unique.len() == UNIQUE && unique.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_unique.then_some((upload, object))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_is_known_by_the_names_of_its_segments_and_by_no_others() {
        let place = SegmentNames::new(&Target::new("c", "a/b"), Uuid::nil());
        for name in [place.segment(3, 0), place.manifest(1, 2)] {
            assert_eq!(upload_of("c", &name), Some((&place.0[2..], "a/b")));
            assert_eq!(upload_of("a", &name), None);
            assert!(place.has(&name));
        }
        assert!(place.is_manifest(&place.manifest(1, 2)) && !place.is_manifest(&place.segment(3, 0)));
        assert_eq!(place.object(), "c/a/b");
        let of_nothing = "c/upload-00000000000000000000000000000000/1";
        for foreign in
            [of_nothing, "c/b/1700000000.0/1024/512/00000000", "c/a/upload-xyz/1", "c/upload-", "c"]
        {
            assert_eq!(upload_of("c", foreign), None, "{foreign}");
        }
    }

    #[test]
    fn segments_sort_as_their_parts_do() {
        let place = SegmentNames::new(&Target::new("c", "a"), Uuid::nil());
        let segments = [(2, 0), (2, 1), (10, 0)].map(|(part, piece)| place.segment(part, piece));
        assert!(segments.is_sorted());
    }
}
