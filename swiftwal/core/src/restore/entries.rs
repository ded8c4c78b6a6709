//! The entries of a directory that exists.

use std::io;

use rustix::{
    fd::AsFd,
    fs::{AtFlags, Dir, FileType},
};

/// Returns the names in a directory with their types. Links aren't followed.
pub(super) fn entries(directory: impl AsFd) -> io::Result<Vec<(Vec<u8>, FileType)>> {
    let mut entries = Vec::new();
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let kind = match entry.file_type() {
            // Not every file system says it in the listing.
            FileType::Unknown => {
                let found = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(found.st_mode)
            }
            kind => kind,
        };
        entries.push((name.to_bytes().to_owned(), kind));
    }
    Ok(entries)
}
