//! The names of a tar's members, as paths below the restored directory.

use std::{ffi::OsStr, io, os::unix::ffi::OsStrExt, path::Path};

/// Whether `name` stays in its directory, component by component.
pub(crate) fn stays_inside(name: &[u8]) -> bool {
    name.split(|byte| *byte == b'/').all(|step| component(step).is_ok())
}

/// Returns `name` as a path.
pub(crate) fn path_of(name: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(name))
}

/// Returns a name that stays in its directory, as a component of a path.
pub(crate) fn component(name: &[u8]) -> io::Result<&OsStr> {
    if matches!(name, b"" | b"." | b"..") || name.contains(&0) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the name points outside the directory"));
    }
    Ok(OsStr::from_bytes(name))
}

/// Splits `name` into its directory, empty for the restored directory itself, and its last component.
pub(crate) fn split(name: &[u8]) -> (&[u8], &[u8]) {
    match name.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&name[..slash], &name[slash + 1..]),
        None => (b"", name),
    }
}
