//! Compares the files of a directory with the index of a backup, in several threads. A file that is equal is kept; one
//! that differs, or can't be read, is removed.

use std::{
    io::{self, Read},
    panic,
    sync::{Mutex, PoisonError},
    thread,
};

use super::{
    Stop,
    file::{Files, IndexedFile},
};
use crate::{
    error::Result,
    restore::{
        created::Kind,
        extract::Places,
        manifest::{FileSum, RestoredFiles},
    },
};

/// The largest number of threads that read files.
const MOST_READERS: usize = 4;
/// How much of a file is read at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// The result of a comparison.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// The numbers of the files that must be written, in order: four bytes for each. None for all of them.
    pub(super) needed: Option<Vec<u32>>,
    /// The files that were kept, for PostgreSQL's manifest.
    pub(super) kept: FileSum,
}

/// Compares the files of a tar with those in `places`. `sums` says what is compared with PostgreSQL's manifest.
pub(super) fn compare(places: &Places, files: Files, sums: &RestoredFiles, stop: &Stop) -> Result<Compared> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let files = Mutex::new(files);
    let parts: Vec<_> = thread::scope(|scope| {
        let read = || Reader::new(places.clone(), sums.clone()).read_all(&files, stop);
        let threads: Vec<_> = (0..cores.min(MOST_READERS)).map(|_| scope.spawn(read)).collect();
        threads.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    let (mut needed, mut kept) = (Vec::new(), FileSum::default());
    for part in parts {
        let (more, sum) = part.unwrap_or_else(|payload| panic::resume_unwind(payload))?;
        needed.extend(more);
        kept += sum;
    }
    needed.sort_unstable();
    Ok(Compared { needed: Some(needed), kept })
}

struct Reader {
    places: Places,
    sums: RestoredFiles,
    buffer: Vec<u8>,
    needed: Vec<u32>,
}

impl Reader {
    fn new(places: Places, sums: RestoredFiles) -> Self {
        Self { places, sums, buffer: vec![0; BUFFER_BYTES], needed: Vec::new() }
    }

    /// Returns the numbers of the files that must be written, and the files that were kept.
    fn read_all(mut self, files: &Mutex<Files>, stop: &Stop) -> Result<(Vec<u32>, FileSum)> {
        let next = || files.lock().unwrap_or_else(PoisonError::into_inner).next().transpose();
        while let Some(file) = next()? {
            stop.check()?;
            let is_kept = file.is_reusable() && self.keep_if_equal(&file, stop)?;
            if !is_kept {
                // A name that the restore doesn't write may be that of its own marker.
                if file.is_written() {
                    let (root, name) = self.places.of(&file.member.name);
                    root.remove_existing(name, Kind::File)?;
                }
                self.needed.push(file.number);
            }
        }
        Ok((self.needed, self.sums.sum))
    }

    /// Keeps a file if it has the content that the index says. Returns whether it does.
    fn keep_if_equal(&mut self, file: &IndexedFile, stop: &Stop) -> Result<bool> {
        let (root, name) = self.places.of(&file.member.name);
        let Ok(mut opened) = root.open_existing(name) else { return Ok(false) };
        if !opened.metadata().is_ok_and(|found| found.len() == file.member.bytes) {
            return Ok(false);
        }
        let (mut content, mut bytes) = (blake3::Hasher::new(), 0);
        let mut checksum = self.sums.checksum(&file.member.name);
        loop {
            let piece = match opened.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(read) => self.buffer.get(..read).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // As on a broken disk.
                Err(_) => return Ok(false),
            };
            stop.check()?;
            bytes += piece.len() as u64;
            content.update(piece);
            if let Some(checksum) = &mut checksum {
                checksum.update(piece);
            }
        }
        if bytes != file.member.bytes || Some(content.finalize()) != file.hash {
            return Ok(false);
        }
        let (root, name) = self.places.of(&file.member.name);
        root.keep_existing(name, &opened, file.member.mode)?;
        if let Some(checksum) = checksum {
            self.sums.add(&file.member.name, bytes, &checksum.finish());
        }
        Ok(true)
    }
}
