//! A file of the cluster, written from its beginning to its end.
//!
//! Large pieces bypass the operating system's cache: to copy them into it takes more processor time than everything else
//! that a restore does, and the disk would be idle until the cache is written back. This needs a file system that does
//! it well, and data that is aligned (`fetch/buffers.rs`). Everything else is written through the cache, also after the
//! kernel has refused once.

use std::{
    fs::File,
    io::{self, Write},
};

use rustix::{
    fs::{OFlags, fcntl_setfl, fstatfs},
    io::Errno,
};

use crate::repository::fetch::ALIGNMENT;

/// The size of a page of the cache, and of the largest usual block of a disk. A page is written in only one of the two
/// ways.
const PAGE_BYTES: usize = 4096;
/// A smaller piece isn't worth two calls of the kernel more.
const LEAST_BYTES: usize = 256 << 10;

const EXT4: i128 = 0xEF53;
const XFS: i128 = 0x5846_5342;

/// A new file.
#[derive(Debug)]
pub(super) struct FileOutput {
    file: File,
    position: u64,
    /// Whether the cache can be bypassed; None as long as that doesn't matter.
    bypasses: Option<bool>,
}

impl FileOutput {
    pub(super) fn new(file: File) -> Self {
        Self { file, position: 0, bypasses: None }
    }

    /// Writes the next piece.
    pub(super) fn write(&mut self, data: &[u8]) -> io::Result<()> {
        let (before, direct, behind) = divide(self.position, data);
        self.write_cached(before)?;
        if !direct.is_empty() {
            let written = if self.bypasses() { self.write_direct(direct)? } else { 0 };
            self.write_cached(&direct[written..])?;
        }
        self.write_cached(behind)
    }

    fn write_cached(&mut self, data: &[u8]) -> io::Result<()> {
        self.file.write_all(data)?;
        self.position += data.len() as u64;
        Ok(())
    }

    fn bypasses(&mut self) -> bool {
        let file = &self.file;
        let is_suitable = || fstatfs(file).is_ok_and(|found| matches!(i128::from(found.f_type), EXT4 | XFS));
        *self.bypasses.get_or_insert_with(is_suitable)
    }

    /// Writes past the cache, and returns how much: less than everything if the kernel refuses.
    fn write_direct(&mut self, data: &[u8]) -> io::Result<usize> {
        if fcntl_setfl(&self.file, OFlags::DIRECT).is_err() {
            self.bypasses = Some(false);
            return Ok(0);
        }
        let mut written = 0;
        let outcome = loop {
            match rustix::io::write(&self.file, &data[written..]) {
                Ok(0) | Err(Errno::INVAL) => {
                    self.bypasses = Some(false);
                    break Ok(());
                }
                Ok(bytes) => written += bytes,
                Err(Errno::INTR) => {}
                Err(error) => break Err(error),
            }
            if written == data.len() {
                break Ok(());
            }
        };
        fcntl_setfl(&self.file, OFlags::empty())?;
        outcome?;
        self.position += written as u64;
        Ok(written)
    }
}

/// Divides a piece that is to be written at `position` into what can bypass the cache, and what is before and behind it.
fn divide(position: u64, data: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let through_the_cache = (data, &[][..], &[][..]);
    // Less than a page.
    let into_page = (position % PAGE_BYTES as u64) as usize;
    let before = (PAGE_BYTES - into_page) % PAGE_BYTES;
    let Some((before, rest)) = data.split_at_checked(before) else { return through_the_cache };
    if rest.len() < LEAST_BYTES || rest.as_ptr().align_offset(ALIGNMENT) != 0 {
        return through_the_cache;
    }
    let (direct, behind) = rest.split_at(rest.len() / PAGE_BYTES * PAGE_BYTES);
    (before, direct, behind)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    /// Bytes from an aligned address on, different on each page.
    fn data(memory: &mut Vec<u8>, bytes: usize) -> &[u8] {
        memory.extend((0..bytes + ALIGNMENT).map(|number| (number % 251) as u8));
        let start = memory.as_ptr().align_offset(ALIGNMENT);
        &memory[start..start + bytes]
    }

    #[test]
    fn whole_pages_of_large_aligned_pieces_can_bypass_the_cache() {
        let mut memory = Vec::new();
        let data = data(&mut memory, LEAST_BYTES + 10_000);
        let lengths = |position, data| {
            let (before, direct, behind) = divide(position, data);
            (before.len(), direct.len(), behind.len())
        };
        let pages = LEAST_BYTES + 2 * PAGE_BYTES;
        assert_eq!(lengths(0, data), (0, pages, 10_000 - 2 * PAGE_BYTES));
        assert_eq!(lengths(4096 * 7 - 512, data), (512, pages, 10_000 - 2 * PAGE_BYTES - 512));
        // Not aligned, in the file or in memory, or small.
        assert_eq!(lengths(100, data), (data.len(), 0, 0));
        assert_eq!(lengths(0, &data[1..]), (data.len() - 1, 0, 0));
        assert_eq!(lengths(0, &data[..LEAST_BYTES - 1]), (LEAST_BYTES - 1, 0, 0));
        assert_eq!(lengths(1, &data[..10]), (10, 0, 0));
    }

    #[test]
    fn a_file_has_what_was_written_in_whichever_way() {
        let mut memory = Vec::new();
        let data = data(&mut memory, 3 << 20);
        let cuts = [0, 512, 1 << 20, (1 << 20) + 1024, (2 << 20) + 1536, (3 << 20) - 100, 3 << 20];
        for bypasses in [None, Some(false)] {
            let file = tempfile::tempfile_in(".").unwrap();
            let mut output = FileOutput { bypasses, ..FileOutput::new(file.try_clone().unwrap()) };
            for cut in cuts.windows(2) {
                output.write(&data[cut[0]..cut[1]]).unwrap();
            }
            let mut content = vec![0; 3 << 20];
            file.read_exact_at(&mut content, 0).unwrap();
            assert!(content == data && file.metadata().unwrap().len() == 3 << 20);
        }
    }

    #[test]
    fn what_the_kernel_refuses_to_write_past_the_cache_is_written_through_it() {
        let mut memory = Vec::new();
        let data = data(&mut memory, LEAST_BYTES);
        // A device has no such way, and this one refuses every byte.
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut output = FileOutput { bypasses: Some(true), ..FileOutput::new(full) };
        assert_eq!(output.write(data).unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
