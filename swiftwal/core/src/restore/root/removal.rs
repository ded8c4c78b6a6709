//! Records what a restore created, and removes that and nothing else.

use std::{
    ffi::OsStr,
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    sync::{Arc, PoisonError},
};

use rustix::fs::AtFlags;

use super::{
    super::{created::Kind, member_name::split},
    Root,
};

impl Root {
    /// Removes one name that was created here.
    pub(in crate::restore) fn remove(&mut self, name: &[u8]) -> io::Result<()> {
        if !self.created().contains(name) {
            return Ok(());
        }
        let (directory, last) = self.place(name)?;
        Ok(rustix::fs::unlinkat(&directory, last, AtFlags::empty())?)
    }

    /// Removes every name that was created here, and no other. It continues after an error, and returns the first one
    /// at the end.
    pub(in crate::restore) fn remove_created(&mut self) -> io::Result<()> {
        let created = Arc::clone(&self.created);
        let mut created = created.lock().unwrap_or_else(PoisonError::into_inner);
        created.take(|name, kind| {
            let removed = self.place(name).and_then(|(directory, last)| unlink(&directory, last, kind));
            removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
        })
    }

    /// Records what was just created in `directory`. If that fails, the new file is removed again: without a record it
    /// would never be removed.
    pub(super) fn note(&self, directory: &OwnedFd, name: &[u8], kind: Kind) -> io::Result<()> {
        self.created().add(name, kind).inspect_err(|_| {
            let _ = unlink(directory, OsStr::from_bytes(split(name).1), kind);
        })
    }
}

fn unlink(directory: &OwnedFd, name: &OsStr, kind: Kind) -> io::Result<()> {
    let flags = if kind == Kind::Directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    Ok(rustix::fs::unlinkat(directory, name, flags)?)
}
