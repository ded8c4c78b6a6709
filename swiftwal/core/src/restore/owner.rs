//! The owner of a directory, and the user's name for messages.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::root::Owner;
use crate::local::user::user_name;

/// Returns the owner of everything that is restored into `data` when this program runs as root: the owner of the
/// directory, or of its parent if it doesn't exist.
pub(super) fn owner(data: &Path) -> io::Result<Option<Owner>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let model = if data.try_exists()? { data.to_owned() } else { parent(data)? };
    let model = fs::metadata(model)?;
    Ok(Some((model.uid(), model.gid())))
}

/// Returns the name of the owner of `path`, or of the nearest existing directory above it.
pub(super) fn owner_name(path: &Path) -> Option<String> {
    let absolute = std::path::absolute(path).ok()?;
    let uid = absolute.ancestors().find_map(|path| fs::metadata(path).ok())?.uid();
    Some(user_name(uid))
}

/// Returns the directory that contains `path`.
pub(super) fn parent(path: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    Ok(absolute.parent().unwrap_or(&absolute).to_owned())
}
