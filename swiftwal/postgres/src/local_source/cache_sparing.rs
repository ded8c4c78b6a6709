//! Reads a file without pushing the server's data out of the operating system's cache.
//!
//! What is in the cache before is there because the server uses it: it stays. What had to be read from the disk is
//! dropped from the cache again. The rule applies to slices, not to single pages.

use std::{
    fs::File,
    io::{self, IoSliceMut},
    iter, mem,
    num::NonZeroU64,
    os::unix::fs::FileExt,
};

use rustix::{
    fs::{Advice, fadvise},
    io::{Errno, ReadWriteFlags, preadv2},
};

/// Aligned to pages, and large enough for a disk.
const SLICE_BYTES: u64 = 1 << 20;

/// Divides a buffer for what a file has from `offset` on into slices, each with its offset. They end at multiples of
/// [`SLICE_BYTES`] in the file.
pub(super) fn slices(mut offset: u64, mut buffer: &mut [u8]) -> impl Iterator<Item = (u64, &mut [u8])> {
    iter::from_fn(move || {
        if buffer.is_empty() {
            return None;
        }
        let room = usize::try_from(SLICE_BYTES - offset % SLICE_BYTES).unwrap_or(usize::MAX);
        let length = room.min(buffer.len());
        let (slice, rest) = mem::take(&mut buffer).split_at_mut(length);
        let at = offset;
        offset += slice.len() as u64;
        buffer = rest;
        Some((at, slice))
    })
}

/// Fills a slice from `offset` on; returns how much the file had.
pub(super) fn read_slice(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_contain_everything_and_end_where_a_page_of_the_file_does() {
        let slice = SLICE_BYTES as usize;
        for (offset, bytes, expected) in [
            (0, 0, vec![]),
            (0, 512, vec![(0, 512)]),
            (SLICE_BYTES, slice, vec![(SLICE_BYTES, slice)]),
            (
                SLICE_BYTES - 512,
                slice + 513,
                vec![(SLICE_BYTES - 512, 512), (SLICE_BYTES, slice), (2 * SLICE_BYTES, 1)],
            ),
        ] {
            let mut buffer = vec![0; bytes];
            let found: Vec<_> = slices(offset, &mut buffer).map(|(at, slice)| (at, slice.len())).collect();
            assert_eq!(found, expected);
        }
    }
}
