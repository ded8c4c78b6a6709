use uuid::Uuid;

/// What the names of all segments of one upload have between that of the object and their own.
const MARK: &str = "/upload-";

/// Digits of the unique part of an upload's name.
const UNIQUE: usize = 32;

/// Where the segments of one upload lie: `<object>/upload-<unique>`, which no other upload ever has.
#[derive(Clone, Debug)]
pub(crate) struct Place(String);

impl Place {
    pub(super) fn new(object: &str, unique: Uuid) -> Self {
        Self(format!("{object}{MARK}{}", unique.simple()))
    }

    /// A segment's name. They sort by part, then by piece of the part.
    pub(crate) fn segment(&self, part: usize, piece: usize) -> String {
        format!("{}/{part:08}-{piece:04}", self.0)
    }

    /// The name of a manifest that a manifest of a higher level, or the object's, names.
    pub(super) fn manifest(&self, level: usize, number: usize) -> String {
        format!("{}/manifest-{level}-{number:08}", self.0)
    }

    /// What the names of all that lies here begin with.
    pub(super) fn prefix(&self) -> String {
        format!("{}/", self.0)
    }

    /// Whether an object of the segments' container lies here.
    pub(super) fn has(&self, name: &str) -> bool {
        name.starts_with(&self.prefix())
    }
}

/// The upload that a segment or nested manifest of this store belongs to, `<object>/upload-<unique>`, and the
/// name of its object. None: nothing that this store has stored has such a name.
pub(crate) fn upload_of(name: &str) -> Option<(&str, &str)> {
    let (upload, _) = name.rsplit_once('/')?;
    let (object, unique) = upload.rsplit_once(MARK)?;
    let is_unique = unique.len() == UNIQUE && unique.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_unique.then_some((upload, object))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_is_known_by_the_names_of_its_segments_and_by_no_others() {
        let place = Place::new("a/b", Uuid::nil());
        for name in [place.segment(3, 0), place.manifest(1, 2)] {
            assert_eq!(upload_of(&name), Some((place.0.as_str(), "a/b")));
            assert!(place.has(&name));
        }
        for foreign in ["a/b/1700000000.0/1024/512/00000000", "a/upload-xyz/1", "upload-", "a"] {
            assert_eq!(upload_of(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn segments_sort_as_their_parts_do() {
        let place = Place::new("a", Uuid::nil());
        let segments = [(2, 0), (2, 1), (10, 0)].map(|(part, piece)| place.segment(part, piece));
        assert!(segments.is_sorted());
    }
}
