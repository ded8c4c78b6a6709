//! The reasons why no server can be started on a copy here.

use std::{borrow::Cow, io, path::PathBuf};

use thiserror::Error;

use crate::{message::Hinted, size::Size};

/// The reason why no server can be started on a copy here. Nothing was done.
#[derive(Debug, Error)]
pub(crate) enum IsolationError {
    #[error("PostgreSQL doesn't run as root, so this command can't start a server on the backup")]
    AsRoot,
    #[error(
        "the backup is of PostgreSQL {version}; this command needs version {} or later",
        super::settings::OLDEST
    )]
    TooOld { version: String },
    #[error(
        "PostgreSQL {version}, of which the backup is, isn't installed: no program postgres of it in {searched}"
    )]
    NoServer { version: String, searched: String },
    #[error("can't run {}", program.display())]
    Program { program: PathBuf, source: io::Error },
    #[error("{} is of PostgreSQL {found}, and the backup is of PostgreSQL {version}", program.display())]
    OtherVersion { program: PathBuf, found: String, version: String },
    #[error(
        "{} has no room for this backup: {} are free, and it takes about {}, with {} to be left free",
        directory.display(), Size(*free), Size(*bytes), Size(*reserve)
    )]
    NoRoom { directory: PathBuf, free: u64, bytes: u64, reserve: u64 },
    #[error("the path {} is too long for a socket: at most {most} bytes are possible", path.display())]
    LongPath { path: PathBuf, most: usize },
    #[error("can't {action} {}", path.display())]
    Scratch { action: &'static str, path: PathBuf, source: io::Error },
}

impl IsolationError {
    /// For `map_err`: the error of an action on a file or directory.
    pub(super) fn scratch(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Scratch { action, path, source }
    }
}

impl Hinted for IsolationError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::AsRoot => {
                "run it as the user postgres, or as another user who can read the repository, as with sudo -u postgres"
            }
            Self::NoServer { version, .. } => {
                return Some(
                    format!("install it (Debian: postgresql-{version}), or name its directory with --bindir")
                        .into(),
                );
            }
            Self::OtherVersion { .. } | Self::Program { .. } => {
                "name the directory of the programs of the backup's version with --bindir"
            }
            Self::NoRoom { .. } => "free some space there, or name another directory with --scratch",
            Self::LongPath { .. } => "name a directory with a shorter path with --scratch",
            Self::Scratch { .. } => "name a directory that this user can write to with --scratch",
            Self::TooOld { .. } => return None,
        };
        Some(hint.into())
    }
}
