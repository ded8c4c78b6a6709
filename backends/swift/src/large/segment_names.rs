//! The names of segments and nested manifests, and which upload a name belongs to.

use uuid::Uuid;

use crate::target::Target;

/// What the names of all segments of one upload have between that of the object and their own.
const MARK: &str = "/upload-";

/// Digits of the unique part of an upload's name.
const UNIQUE: usize = 32;

/// Where the segments of one upload lie: `<container>/<object>/upload-<unique>`, which no other upload ever has,
/// of any container.
#[derive(Clone, Debug)]
pub(crate) struct SegmentNames(String);

impl SegmentNames {
    /// For the segments of a new upload.
    pub(crate) fn unique(object: &Target) -> Self {
        Self::new(object, Uuid::new_v4())
    }

    pub(crate) fn new(object: &Target, unique: Uuid) -> Self {
        Self(format!("{object}{MARK}{}", unique.simple()))
    }

    /// A segment's name. They sort by part, then by piece of the part.
    pub(crate) fn segment(&self, part: usize, piece: usize) -> String {
        format!("{}/{part:08}-{piece:04}", self.0)
    }

    /// The name of a manifest that a manifest of a higher level, or the object's, names.
    pub(crate) fn manifest(&self, level: usize, number: usize) -> String {
        format!("{}/manifest-{level}-{number:08}", self.0)
    }

    /// What the names of all that lies here begin with.
    pub(crate) fn prefix(&self) -> String {
        format!("{}/", self.0)
    }

    /// Whether an object of the segments' container lies here.
    pub(crate) fn has(&self, name: &str) -> bool {
        name.starts_with(&self.prefix())
    }
}

/// What the names of all segments of a container's objects begin with. Other containers may keep theirs beside
/// them.
pub(crate) fn segments_of(container: &str) -> String {
    format!("{container}/")
}

/// The upload of this container that a segment or nested manifest belongs to, `<object>/upload-<unique>`, and the
/// name of its object. None: it belongs to another container, or to another program.
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
