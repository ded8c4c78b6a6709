//! The errors of the file backend, and their hints.

use std::{io, path::PathBuf};

use thiserror::Error;

/// A failure that the store beneath doesn't report.
#[derive(Debug, Error)]
pub(super) enum Error {
    #[error("the repository's directory {} has vanished or been replaced", .dir.display())]
    Vanished {
        dir: PathBuf,
        #[source]
        source: Option<io::Error>,
    },
    #[error("{} is a dangling link, which doesn't prove that the object is missing", .path.display())]
    DanglingLink { path: PathBuf },
    #[error("'{name}' can't name an object: '#' and digits end the names of unfinished uploads")]
    ReservedName { name: String },
    #[error("'{name}' isn't a leftover of an upload")]
    NotALeftover { name: String },
    #[error("can't create the directory {}", .dir.display())]
    MakeDirectory { dir: PathBuf, source: io::Error },
    #[error("can't query the file system of {}", .dir.display())]
    FileSystem { dir: PathBuf, source: io::Error },
    #[error("can't open {}", .path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("can't read the requested range of {}", .path.display())]
    Range { path: PathBuf, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("can't write {}", .path.display())]
    Store { path: PathBuf, source: io::Error },
    #[error("can't write to {}", .dir.display())]
    Write { dir: PathBuf, hint: &'static str, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("can't flush {} to disk", .path.display())]
    Flush { path: PathBuf, source: io::Error },
    #[error("can't delete {}", .path.display())]
    Delete { path: PathBuf, source: io::Error },
    #[error("can't list {}", .path.display())]
    List { path: PathBuf, source: io::Error },
}

/// What to do about an error of the store.
pub(super) fn hint(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let hint = match error.downcast_ref()? {
        Error::Vanished { .. } => "is its disk mounted?",
        Error::Write { hint, .. } => hint,
        _ => return None,
    };
    Some(hint.to_owned())
}

impl From<Error> for object_store::Error {
    fn from(source: Error) -> Self {
        Self::Generic { store: "file", source: Box::new(source) }
    }
}
