//! The segments of dynamic large objects: objects whose names can only belong to one.

use object_store::Result;

use super::Manifests;
use crate::{error::StoreError, listing::Entry, target::Target};

/// The characters that separate an object's name from a segment's number. Without one, `dump-10` might be a segment of
/// `dump-1`.
const DIVIDERS: [char; 3] = ['-', '_', '.'];

impl Manifests {
    /// Returns the segments of a dynamic large object, if it is certain that they belong to it.
    ///
    /// The manifest is never among them, even if its name begins with their prefix.
    ///
    /// # Errors
    ///
    /// [`StoreError::Large`] if other objects may share the prefix: it is empty, or a name continues with neither a
    /// slash nor a divider and a number.
    pub(crate) async fn dynamic_segments(
        &self,
        object: &Target,
        container: &str,
        prefix: &str,
    ) -> Result<Vec<Entry>> {
        let refused = |reason: String| StoreError::Large { target: object.to_string(), reason };
        if prefix.is_empty() {
            return Err(refused(format!("it consists of all that is in {container}")).into());
        }
        let mut segments = self.listings.names_under(container, prefix).await?;
        segments.retain(|segment| container != object.container || segment.name != object.name);
        match segments.iter().find(|segment| !is_segment(prefix, &segment.name)) {
            None => Ok(segments),
            Some(other) => {
                Err(refused(format!("{} may be a segment of it or something else", other.name)).into())
            }
        }
    }
}

/// Whether a name that begins with a prefix can only belong to a segment below it.
fn is_segment(prefix: &str, name: &str) -> bool {
    let rest = name.strip_prefix(prefix).unwrap_or(name);
    let divided = || prefix.ends_with(DIVIDERS) || rest.starts_with(DIVIDERS);
    let number = || rest.trim_start_matches(DIVIDERS).bytes().all(|byte| byte.is_ascii_digit());
    prefix.ends_with('/') || rest.starts_with('/') || (divided() && number())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_told_from_names_that_merely_begin_like_them() {
        assert!(is_segment("seg/a/", "seg/a/00000001"));
        assert!(is_segment("seg/a/", "seg/a/x"));
        assert!(is_segment("seg/a", "seg/a/1"));
        assert!(is_segment("seg/a", "seg/a_000001"));
        assert!(is_segment("dump-1-", "dump-1-10"));
        assert!(!is_segment("seg/a", "seg/ab/1"));
        assert!(!is_segment("dump-1", "dump-10"));
        assert!(!is_segment("dump", "dump"));
        assert!(!is_segment("backup", "backup.tar"));
    }
}
