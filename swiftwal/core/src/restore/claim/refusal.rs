//! The reasons why a directory can't be restored into, with hints.

use std::{fs, io, path::Path};

use super::{
    super::{
        owner::{owner_name, parent},
        root::Root,
    },
    marker::marker_of,
};
use crate::error::{Error, Refusal, Result};

/// The hint for a directory with other content.
const GIVE_ANOTHER: &str = "give an empty or a new directory";

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

/// Returns the error for a directory that can't be opened or created.
pub(super) fn refusal(path: &Path, error: io::Error) -> Error {
    let shown = path.display();
    let link = fs::read_link(path).ok();
    let file = path.ancestors().find(|path| fs::metadata(path).is_ok_and(|found| !found.is_dir()));
    Error::Refused(match error.kind() {
        _ if link.is_some() && fs::metadata(path).is_err() => Refusal::destination(
            format!(
                "{shown} is a symbolic link to {}, which doesn't exist",
                link.unwrap_or_default().display()
            ),
            "create that directory, or remove the link",
        ),
        _ if file.is_some() => {
            Refusal::destination(format!("{} is a file", file.unwrap_or(path).display()), GIVE_ANOTHER)
        }
        io::ErrorKind::NotFound => {
            let parent = parent(path).unwrap_or_default();
            Refusal::destination(
                format!("can't create {shown}: {} doesn't exist", parent.display()),
                "create it first",
            )
        }
        io::ErrorKind::PermissionDenied => match owner_name(path) {
            Some(owner) => {
                // A shell takes an unquoted '#' for the beginning of a comment.
                let quoted = if owner.starts_with('#') { format!("'{owner}'") } else { owner.clone() };
                Refusal::destination(
                    format!("can't restore into {shown}: permission denied"),
                    format!("it belongs to the user {owner}: run this as sudo -u {quoted} swiftwal …"),
                )
            }
            None => return Error::local("restore into", path)(error),
        },
        _ => return Error::local("restore into", path)(error),
    })
}

#[cfg(test)]
mod tests {
    use super::{super::MARKER, *};

    #[test]
    fn a_directory_of_another_user_is_refused_with_the_user_to_run_as() {
        let scratch = tempfile::tempdir().unwrap();
        let owner = owner_name(scratch.path()).unwrap();
        for path in [scratch.path().to_owned(), scratch.path().join("a/data")] {
            let message = refusal(&path, io::ErrorKind::PermissionDenied.into()).in_full();
            assert!(message.contains(&format!("sudo -u {owner} swiftwal")), "{message}");
        }
        let error = refusal(scratch.path(), io::ErrorKind::ReadOnlyFilesystem.into());
        assert!(error.hint().unwrap().contains("mounted read-only"), "{error}");
    }

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
