//! Refuses a directory with content that isn't reused.

use super::{super::root::Root, marker::marker_of};
use crate::error::{Error, Refusal, Result};

/// Refuses the directory unless it is empty.
pub(super) fn refuse_content(root: &mut Root, is_locked: bool) -> Result<()> {
    let names = root.names().map_err(Error::local("restore into", root.path()))?;
    let path = root.path().display();
    if names.is_empty() {
        return Ok(());
    }
    Err(Error::Refused(match marker_of(root) {
        Some(marker) if is_locked => Refusal::destination(
            format!("{path} contains what an interrupted restore left ({marker})"),
            "use --resume to complete it, or remove everything in it, then restore again",
        ),
        Some(marker) => Refusal::destination(
            format!("{path} contains an unfinished restore ({marker})"),
            "wait if that process still runs, else remove everything in the directory and restore again",
        ),
        None if names == [b"lost+found"] => Refusal::destination(
            format!("{path} is the top directory of a file system, as its lost+found shows"),
            format!("restore into a directory below it, such as {path}/data"),
        ),
        None => Refusal::destination(
            format!("{path} is not empty"),
            "give an empty or a new directory; to restore over a stopped server of the same cluster, use --delta",
        ),
    }))
}

#[cfg(test)]
mod tests {
    use super::{super::MARKER, *};

    #[test]
    fn where_there_are_no_locks_a_marker_may_be_that_of_a_restore_that_still_runs() {
        let scratch = tempfile::tempdir().unwrap();
        let mut root = Root::open(scratch.path(), None).unwrap();
        root.create_file(MARKER, 0o600).unwrap();
        for (is_locked, expected) in [(true, "an interrupted restore left"), (false, "an unfinished restore")]
        {
            let error = refuse_content(&mut root, is_locked).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert_eq!(error.hint().unwrap().contains("wait if that process still runs"), !is_locked);
        }
    }
}
