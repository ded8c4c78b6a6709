//! Reads a file without pushing the server's data out of the operating system's cache.
//!
//! What is in the cache before is there because the server uses it: it stays. What had to be read from the disk is
//! dropped from the cache again. The rule applies to slices, not to single pages.

use std::{
    fs::File,
    io::{self, IoSliceMut},
    num::NonZeroU64,
    os::unix::fs::FileExt,
};

use rustix::{
    fs::{Advice, fadvise},
    io::{Errno, ReadWriteFlags, preadv2},
};

/// Aligned to pages, and large enough for a disk.
const SLICE_BYTES: u64 = 1 << 20;

/// Fills `buffer` from `offset` on; returns how much the file had.
pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        let from = offset + done as u64;
        let slice = usize::try_from(SLICE_BYTES - from % SLICE_BYTES).unwrap_or(usize::MAX);
        let end = buffer.len().min(done.saturating_add(slice));
        let read = read_slice(file, &mut buffer[done..end], from)?;
        done += read;
        if done < end {
            break;
        }
    }
    Ok(done)
}

fn read_slice(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let cached = match preadv2(file, &mut [IoSliceMut::new(buffer)], offset, ReadWriteFlags::NOWAIT) {
        Ok(read) if read == buffer.len() => return Ok(read),
        Ok(read) => read,
        Err(Errno::AGAIN) => 0,
        // The file system can't tell what is in the cache.
        Err(_) => return read_all(file, buffer, offset),
    };
    let rest = &mut buffer[cached..];
    let offset = offset + cached as u64;
    let read = read_all(file, rest, offset)?;
    if let Some(length) = NonZeroU64::new(read as u64) {
        // Only advice: without it, more of the cache is used.
        let _ = fadvise(file, offset, Some(length), Advice::DontNeed);
    }
    Ok(cached + read)
}

/// Reads until the buffer is full or the file ends.
fn read_all(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
