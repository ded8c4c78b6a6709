//! Content that is read several times and from several threads: a file, or a buffer.
//!
//! A fingerprint distinguishes a file from another one that has its name by now, and from the same file before it was
//! changed.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::local::regular_file::open_regular_file;

/// A file or a buffer. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    File(Arc<OpenFile>),
    Buffer(Bytes),
    Beginning(Beginning),
}

/// The beginning of a file that is still being written, and zeros up to the size that it will have. What is written
/// behind it doesn't change it.
#[derive(Clone, Debug)]
pub(crate) struct Beginning {
    /// The file.
    pub(crate) file: Arc<File>,
    /// The length of the beginning.
    pub(crate) written: u64,
    /// The size with the zeros.
    pub(crate) bytes: u64,
}

impl Beginning {
    /// As [`Content::read_at`].
    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let length = |end: u64| usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX);
        let (file, all) = (length(self.written).min(buffer.len()), length(self.bytes).min(buffer.len()));
        if file > 0 {
            return self.file.read_at(&mut buffer[..file], offset);
        }
        buffer[..all].fill(0);
        Ok(all)
    }
}

/// A file in the state in which it was opened.
#[derive(Debug)]
pub(crate) struct OpenFile {
    file: File,
    path: PathBuf,
    fingerprint: Fingerprint,
}

/// The age from which on a file's modification time tells whether it was changed; every file system counts in shorter
/// steps.
const YOUNG_SECONDS: i64 = 10;

/// The identity and the state of a file.
///
/// PostgreSQL recycles segments: a file keeps its inode and its size, and gets another name and other content. Then
/// only its modification time differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fingerprint {
    device: u64,
    inode: u64,
    bytes: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
}

impl Fingerprint {
    pub(crate) fn of(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            bytes: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
        }
    }

    /// Whether the file may be changed after `now`, by the clock that dates it, without getting another fingerprint:
    /// file systems count time in steps.
    pub(crate) fn is_young(&self, now: Timestamp) -> bool {
        now.as_second() - self.modified.0 < YOUNG_SECONDS
    }
}

impl Content {
    /// Opens a regular file.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = open_regular_file(path)?;
        let fingerprint = Fingerprint::of(&file.metadata()?);
        Ok(Self::File(Arc::new(OpenFile { file, path: path.to_owned(), fingerprint })))
    }

    /// Returns the size; of a file, the size when it was opened.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::File(open) => open.fingerprint.bytes,
            Self::Buffer(bytes) => bytes.len() as u64,
            Self::Beginning(beginning) => beginning.bytes,
        }
    }

    /// Reads at `offset`; returns 0 at the end. It may read less than the buffer's size.
    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Self::File(open) => open.file.read_at(buffer, offset),
            Self::Buffer(bytes) => {
                let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                (&bytes[offset..]).read(buffer)
            }
            Self::Beginning(beginning) => beginning.read_at(buffer, offset),
        }
    }

    /// Returns a separate reader, from the beginning.
    pub(crate) fn reader(&self) -> impl Read + use<'_> {
        ContentReader { content: self, position: 0 }
    }

    /// Fails if a file was changed since it was opened, or if another file has its name by now: what was read may be a
    /// mixture.
    pub(crate) fn ensure_unchanged(&self) -> io::Result<()> {
        let Self::File(open) = self else { return Ok(()) };
        let now = [Fingerprint::of(&open.file.metadata()?), Fingerprint::of(&fs::metadata(&open.path)?)];
        if now == [open.fingerprint; 2] {
            return Ok(());
        }
        Err(io::Error::other("it was written to, or replaced by another file, while it was read"))
    }
}

struct ContentReader<'a> {
    content: &'a Content,
    position: u64,
}

impl Read for ContentReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.content.read_at(buffer, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::FileTimes, time::SystemTime};

    use super::*;

    fn written(path: &Path, text: &str) -> Content {
        fs::write(path, text).unwrap();
        // A long time ago, so that everything written from now on has a later time.
        let file = File::options().write(true).open(path).unwrap();
        file.set_times(FileTimes::new().set_modified(SystemTime::UNIX_EPOCH)).unwrap();
        Content::open(path).unwrap()
    }

    #[test]
    fn a_file_and_a_buffer_are_read_alike() {
        let directory = tempfile::tempdir().unwrap();
        for content in
            [written(&directory.path().join("x"), "0123456789"), Content::Buffer("0123456789".into())]
        {
            let mut all = String::new();
            content.reader().read_to_string(&mut all).unwrap();
            assert_eq!((all.as_str(), content.bytes()), ("0123456789", 10));
            let mut buffer = [0; 4];
            for (offset, expected) in [(0, &b"0123"[..]), (8, b"89"), (10, b""), (11, b"")] {
                let read = content.read_at(&mut buffer, offset).unwrap();
                assert_eq!(&buffer[..read], expected);
            }
            content.ensure_unchanged().unwrap();
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "as PostgreSQL recycles a segment")]
    fn a_file_that_was_written_to_or_replaced_or_recycled_is_another() {
        type Change = fn(&Path);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        let changes: [(&str, Change); 4] = [
            ("overwritten in place", |path| {
                File::options().write(true).open(path).unwrap().write_all_at(b"9876543210", 0).unwrap();
            }),
            ("longer", |path| fs::write(path, "0123456789+").unwrap()),
            ("replaced by the same content", |path| {
                fs::write(path.with_extension("new"), "0123456789").unwrap();
                fs::rename(path.with_extension("new"), path).unwrap();
            }),
            ("recycled", |path| fs::rename(path, path.with_extension("next")).unwrap()),
        ];
        for (what, change) in changes {
            let content = written(&path, "0123456789");
            content.ensure_unchanged().unwrap();
            change(&path);
            content.ensure_unchanged().expect_err(what);
        }
    }
}
