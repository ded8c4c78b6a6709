//! Opens local files that another program may have replaced with something else.
//!
//! A FIFO in place of a file would block the process for ever, and a device or a huge file would fill its memory.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use rustix::fs::{Mode, OFlags};

/// Opens a regular file for reading. Anything else, such as a FIFO or a directory, is an error at once.
///
/// # Errors
///
/// Those of the system; [`io::ErrorKind::InvalidInput`] if it isn't a regular file.
pub fn open_regular_file(path: &Path) -> io::Result<File> {
    // Without O_NONBLOCK, opening a FIFO waits for a writer.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let kind = file.metadata()?.file_type();
    if kind.is_file() {
        return Ok(file);
    }
    if kind.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"))
}

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
///
/// As [`open_regular_file`]; [`io::ErrorKind::FileTooLarge`] for a larger file.
pub fn read_regular_file(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    open_regular_file(path)?.take(limit.saturating_add(1)).read_to_end(&mut content)?;
    if content.len() as u64 > limit {
        let message = format!("it is larger than {limit} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, mknodat};

    use super::*;

    #[test]
    fn a_fifo_is_refused_at_once_and_so_is_a_directory() {
        let scratch = tempfile::tempdir().unwrap();
        let fifo = scratch.path().join("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let refused = open_regular_file(&fifo).unwrap_err();
        assert_eq!(refused.to_string(), "it is not a regular file");
        assert_eq!(open_regular_file(scratch.path()).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert_eq!(
            open_regular_file(Path::new("/dev/zero")).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
    }

    #[test]
    fn a_file_that_is_too_large_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "1234").unwrap();
        assert_eq!(read_regular_file(file.path(), 4).unwrap(), b"1234");
        assert_eq!(read_regular_file(file.path(), 3).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
