//! Computes the checksums of combined files, for PostgreSQL's manifest of the result.

use std::{
    collections::BTreeMap,
    io::Read,
    panic,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use crate::{
    error::{Error, Result},
    repository::manifest::{Algorithm, Checksum},
    restore::{
        chain::{CompleteFile, FileName},
        destination::Destination,
        member_name::path_of,
    },
};

/// The largest number of reading threads.
const MOST_READERS: usize = 4;
/// The number of bytes that a thread reads at once.
const PIECE_BYTES: usize = 1 << 20;

/// Adds the checksum of each file that lacks it, by reading the file: its blocks came from several backups, so none of
/// their manifests has it. The files are read by several threads, until `is_stopped` is set.
///
/// # Errors
///
/// [`Error::Stopped`]; [`Error::Local`] for a file that can't be read.
pub(in crate::restore) fn read_back(
    files: &mut BTreeMap<FileName, CompleteFile>,
    destination: &Destination,
    algorithm: Algorithm,
    is_stopped: &AtomicBool,
) -> Result<()> {
    let unknown = files.iter_mut().filter(|(_, file)| !file.has_checksum(algorithm));
    let queue = Mutex::new(unknown);
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let read_all = || {
        let mut piece = vec![0; PIECE_BYTES];
        while let Some((name, file)) = next() {
            file.checksum =
                Some((algorithm, checksum(destination, name, algorithm, &mut piece, is_stopped)?));
        }
        Ok(())
    };
    let readers = thread::available_parallelism().map_or(1, usize::from).min(MOST_READERS);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..readers).map(|_| scope.spawn(read_all)).collect();
        let ended: Vec<_> = readers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        let outcomes =
            ended.into_iter().map(|end| end.unwrap_or_else(|payload| panic::resume_unwind(payload)));
        outcomes.collect()
    })
}

fn checksum(
    destination: &Destination,
    (tablespace, name): &FileName,
    algorithm: Algorithm,
    piece: &mut [u8],
    is_stopped: &AtomicBool,
) -> Result<Vec<u8>> {
    let mut root = destination.root(*tablespace)?;
    let mut file = root.open_file(name)?;
    let mut checksum = Checksum::new(algorithm);
    loop {
        if is_stopped.load(Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
        let read = file.read(piece).map_err(Error::local("read", root.path().join(path_of(name))))?;
        if read == 0 {
            return Ok(checksum.finish());
        }
        checksum.update(&piece[..read]);
    }
}
