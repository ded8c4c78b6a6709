//! The threads that write the files of a tar, each file in one of them from its beginning to its end.
//!
//! The content of the files that wait in the queues is part of the pieces of the tar, whose memory is limited
//! (`fetch/buffers.rs`); the number of waiting pieces is limited here, since a file may be empty.

use std::{
    panic,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use super::{
    file_writer::{FilePiece, FileWriter, WriteFailure},
    places::Places,
};
use crate::{
    error::{Error, Result},
    restore::manifest::{FileSum, RestoredFiles},
};

/// The largest number of writing threads. More of them don't write faster to one disk.
const MOST_WRITERS: usize = 4;
/// The largest number of pieces that wait for one of them.
const PIECES_WAITING: usize = 256;

/// The writing threads. They end before this is dropped.
#[derive(Debug)]
pub(super) struct Writers {
    writers: Vec<Writer>,
    /// The number of the writer that has the current file.
    current: usize,
    /// The files that ended threads have written.
    files: FileSum,
}

#[derive(Debug)]
struct Writer {
    queue: SyncSender<FilePiece>,
    /// The weight of the pieces in the queue.
    waiting: Arc<AtomicUsize>,
    thread: JoinHandle<Result<FileSum, WriteFailure>>,
}

impl Writers {
    /// Starts the threads, which write into `places`: one for each core. `files` says what is compared with PostgreSQL's
    /// manifest.
    pub(super) fn start(places: &Places, files: &RestoredFiles) -> Result<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let mut started = Self { writers: Vec::new(), current: 0, files: FileSum::default() };
        for _ in 0..cores.min(MOST_WRITERS) {
            let writer = Writer::start(FileWriter::new(places.clone(), files.clone()));
            let path = places.clone().path(b"");
            started.writers.push(writer.map_err(Error::local("start a thread to write into", path))?);
        }
        Ok(started)
    }

    /// Passes a piece to the writer of its file; a new file goes to the writer with the least work. Waits if that writer
    /// has too many pieces already.
    ///
    /// # Errors
    ///
    /// The failure of a writer. All of them have ended then.
    pub(super) fn write(&mut self, piece: FilePiece) -> Result<(), WriteFailure> {
        // A writer that has failed may get no further file, so its failure would only show at the end.
        if self.writers.iter().any(|writer| writer.thread.is_finished()) {
            return self.finish().map(drop);
        }
        if piece.begins.is_some() {
            let waiting = |writer: &Writer| writer.waiting.load(Ordering::Relaxed);
            let least = self.writers.iter().enumerate().min_by_key(|(_, writer)| waiting(writer));
            self.current = least.map_or(0, |(number, _)| number);
        }
        let Some(writer) = self.writers.get(self.current) else { return Ok(()) };
        writer.waiting.fetch_add(piece.weight(), Ordering::Relaxed);
        if writer.queue.send(piece).is_err() { self.finish().map(drop) } else { Ok(()) }
    }

    /// Waits until every piece is written, and ends the threads. Returns all the files that they have written.
    ///
    /// # Errors
    ///
    /// The first failure of a writer.
    pub(super) fn finish(&mut self) -> Result<FileSum, WriteFailure> {
        let (queues, threads): (Vec<_>, Vec<_>) =
            self.writers.drain(..).map(|writer| (writer.queue, writer.thread)).unzip();
        drop(queues);
        let ended: Vec<_> = threads.into_iter().map(JoinHandle::join).collect();
        for ended in ended {
            self.files += ended.unwrap_or_else(|payload| panic::resume_unwind(payload))?;
        }
        Ok(self.files)
    }
}

impl Writer {
    fn start(mut files: FileWriter) -> std::io::Result<Self> {
        let (queue, pieces) = sync_channel::<FilePiece>(PIECES_WAITING);
        let waiting = Arc::new(AtomicUsize::new(0));
        let left = Arc::clone(&waiting);
        let thread = thread::Builder::new().name("file writer".to_owned()).spawn(move || {
            for piece in pieces {
                let weight = piece.weight();
                files.take(piece)?;
                left.fetch_sub(weight, Ordering::Relaxed);
            }
            Ok(files.finish())
        })?;
        Ok(Self { queue, waiting, thread })
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        if !thread::panicking() {
            let _ = self.finish();
        }
    }
}
