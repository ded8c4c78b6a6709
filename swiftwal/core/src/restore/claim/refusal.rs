//! The reasons why a directory can't be restored into, with hints.

use std::{fs, io, path::Path};

use super::super::owner::{owner_name, parent};
use crate::error::{Error, Refusal};

/// The hint for a directory with other content.
const GIVE_ANOTHER: &str = "give an empty or a new directory";

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
    use super::*;

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
}
