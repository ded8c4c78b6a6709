//! Which names can only belong to segments of a dynamic large object.

/// The characters that separate an object's name from a segment's number. Without one, `dump-10` might be a segment of
/// `dump-1`.
const DIVIDERS: [char; 3] = ['-', '_', '.'];

/// Whether a name that begins with a prefix can only belong to a segment below it.
pub(super) fn is_segment(prefix: &str, name: &str) -> bool {
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
