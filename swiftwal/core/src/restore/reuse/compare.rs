//! Compares the files of a directory with the index of a backup, in several threads. A file that is equal is kept; one
//! that differs, or can't be read, is removed.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    panic,
    sync::{Mutex, PoisonError},
    thread,
};

use swiftwal_postgres::incremental_file::IncrementalHeader;

use super::{
    Stop,
    file::{Files, IndexedFile},
    known_content::FileContent,
};
use crate::{
    error::Result,
    repository::manifest::{Algorithm, FileSum, RestoredFiles, correction},
    restore::{
        chain::{CompleteFile, FileName},
        created::Kind,
        extract::Places,
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
    /// The files that were kept, for PostgreSQL's manifest of the backup.
    pub(super) kept: FileSum,
    /// Those of which the backup has only blocks, for the manifest of the result.
    pub(super) complete: BTreeMap<FileName, CompleteFile>,
}

/// Compares the files of a tar with those in `places`. `sums` says what is compared with PostgreSQL's manifest.
pub(super) fn compare(places: &Places, files: Files, sums: &RestoredFiles, stop: &Stop) -> Result<Compared> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let tablespace = files.tablespace();
    let files = Mutex::new(files);
    let parts: Vec<_> = thread::scope(|scope| {
        let read = || Reader::new(places.clone(), tablespace, sums.clone()).read_all(&files, stop);
        let threads: Vec<_> = (0..cores.min(MOST_READERS)).map(|_| scope.spawn(read)).collect();
        threads.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    let (mut needed, mut kept, mut complete) = (Vec::new(), FileSum::default(), BTreeMap::new());
    for part in parts {
        let reader = part.unwrap_or_else(|payload| panic::resume_unwind(payload))?;
        needed.extend(reader.needed);
        kept += reader.sums.sum;
        complete.extend(reader.complete);
    }
    needed.sort_unstable();
    Ok(Compared { needed: Some(needed), kept, complete })
}

struct Reader {
    places: Places,
    tablespace: Option<u32>,
    buffer: Vec<u8>,
    /// The numbers of the files that must be written.
    needed: Vec<u32>,
    /// The files that were kept, as in [`Compared`].
    sums: RestoredFiles,
    complete: Vec<(FileName, CompleteFile)>,
}

impl Reader {
    fn new(places: Places, tablespace: Option<u32>, sums: RestoredFiles) -> Self {
        let buffer = vec![0; BUFFER_BYTES];
        Self { places, tablespace, buffer, needed: Vec::new(), sums, complete: Vec::new() }
    }

    /// Returns itself when no file is left.
    fn read_all(mut self, files: &Mutex<Files>, stop: &Stop) -> Result<Self> {
        let next = || files.lock().unwrap_or_else(PoisonError::into_inner).next().transpose();
        while let Some(file) = next()? {
            stop.check()?;
            let is_kept = file.is_reusable() && self.keep_if_equal(&file, stop)?;
            if !is_kept {
                // A name that the restore doesn't write may be that of its own marker.
                if file.is_written() {
                    let (root, name) = self.places.of(file.name());
                    root.remove_existing(name, Kind::File)?;
                }
                self.needed.push(file.number);
            }
        }
        Ok(self)
    }

    /// Keeps a file if it has the content that the index says. Returns whether it does.
    fn keep_if_equal(&mut self, file: &IndexedFile, stop: &Stop) -> Result<bool> {
        let Some(expected) = file.restored() else { return Ok(false) };
        let (root, name) = self.places.of(file.name());
        let Ok(mut opened) = root.open_existing(name) else { return Ok(false) };
        if !opened.metadata().is_ok_and(|found| found.len() == expected.bytes) {
            return Ok(false);
        }
        let (mut content, mut bytes) = (blake3::Hasher::new(), 0);
        let mut checksum = self.sums.checksum(file.name());
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
        if (FileContent { bytes, hash: content.finalize() }) != expected {
            return Ok(false);
        }
        let (root, name) = self.places.of(file.name());
        root.keep_existing(name, &opened, file.member.mode)?;
        if let (Some(checksum), Some(algorithm)) = (checksum, self.sums.algorithm) {
            self.note_kept(file, bytes, algorithm, checksum.finish());
        }
        Ok(true)
    }

    /// Records a file with this content that was kept. The manifest of the backup lists an incremental one as that.
    fn note_kept(&mut self, file: &IndexedFile, bytes: u64, algorithm: Algorithm, checksum: Vec<u8>) {
        if !file.is_incremental() {
            return self.sums.add(&file.member.name, bytes, &checksum);
        }
        let stored = IncrementalHeader::unchanged(bytes).map(|header| header.to_bytes()).unwrap_or_default();
        let stored = correction(&stored, algorithm);
        self.sums.add(&file.member.name, stored.bytes, &stored.checksum);
        let name = (self.tablespace, file.name().to_owned());
        self.complete.push((name, CompleteFile { bytes, checksum: Some((algorithm, checksum)) }));
    }
}
