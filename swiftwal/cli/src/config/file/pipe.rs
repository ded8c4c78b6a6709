//! Reads a configuration that another command writes into a pipe, as with `-c <(command)`.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileTypeExt,
    path::Path,
    time::Duration,
};

use rustix::fs::{Mode, OFlags, fcntl_setfl};

use crate::within::within;

/// How long the other command may take: it may ask for a passphrase.
const LIMIT: Duration = Duration::from_secs(60);

/// The directories that contain the open files of this process.
const DESCRIPTORS: [&str; 2] = ["/dev/fd", "/proc/self/fd"];

/// Opens the pipe, if `path` names an open file of this process that is a pipe. A FIFO under any other name isn't
/// opened: it may never have a writer.
pub(super) fn open(path: &Path) -> io::Result<Option<File>> {
    if !DESCRIPTORS.iter().any(|directory| path.parent() == Some(Path::new(directory))) {
        return Ok(None);
    }
    // Without O_NONBLOCK, this would wait for a writer if the first one has finished.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if !file.metadata()?.file_type().is_fifo() {
        return Ok(None);
    }
    fcntl_setfl(&file, OFlags::empty())?;
    Ok(Some(file))
}

/// Reads the pipe to its end.
///
/// # Errors
///
/// [`io::ErrorKind::FileTooLarge`] for more than `most` bytes, [`io::ErrorKind::TimedOut`] if it doesn't end.
pub(super) fn read(pipe: File, most: u64) -> io::Result<Vec<u8>> {
    read_within(LIMIT, pipe, most)
}

fn read_within(limit: Duration, pipe: impl Read + Send + 'static, most: u64) -> io::Result<Vec<u8>> {
    let reading = move || {
        let mut content = Vec::new();
        pipe.take(most + 1).read_to_end(&mut content).map(|_| content)
    };
    let content = within("configuration", limit, reading).unwrap_or_else(|| {
        let reason = format!("the command that writes it didn't end within {} s", limit.as_secs());
        Err(io::Error::new(io::ErrorKind::TimedOut, reason))
    })?;
    if content.len() as u64 > most { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(content) }
}

#[cfg(test)]
mod tests {
    use std::io::pipe;

    use super::*;

    #[test]
    fn a_pipe_without_an_end_is_not_waited_for_for_ever_nor_read_without_bound() {
        let (reader, _writer) = pipe().unwrap();
        let kind = |outcome: io::Result<Vec<u8>>| outcome.unwrap_err().kind();
        assert_eq!(kind(read_within(Duration::ZERO, reader, 4)), io::ErrorKind::TimedOut);
        assert_eq!(kind(read_within(LIMIT, &b"12345"[..], 4)), io::ErrorKind::FileTooLarge);
        assert_eq!(read_within(LIMIT, &b"1234"[..], 4).unwrap(), b"1234");
    }
}
