use object_store::Result;

use crate::{StoreError, bulk::Target, listing::Entry, store::Store};

/// What stands between the name of something and a number. Without it `dump-10` might be a segment of `dump-1`.
const DIVIDERS: [char; 3] = ['-', '_', '.'];

impl Store {
    /// The segments of a dynamic large object, of which it is certain that they are its own.
    ///
    /// The manifest is never one of them, though it may begin as they do.
    ///
    /// # Errors
    ///
    /// [`StoreError::Large`] if its prefix begins names that may belong to something else: nothing, or a name
    /// that goes on with neither a slash nor a number behind a divider.
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
        let mut segments = self.names_under(container, prefix).await?;
        segments.retain(|segment| container != object.container || segment.name != object.name);
        match segments.iter().find(|segment| !is_segment(prefix, &segment.name)) {
            None => Ok(segments),
            Some(other) => {
                Err(refused(format!("{} may be a segment of it or something else", other.name)).into())
            }
        }
    }
}

/// Whether a name that begins with a prefix can only be a segment below it.
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
