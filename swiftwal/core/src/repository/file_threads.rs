//! Threads that take the files of a tar, each file in one of them from its beginning to its end: a restore writes the files
//! in them, verify checks them.
//!
//! The content of the files that wait in the queues is part of the pieces of the tar, whose memory is limited
//! (`fetch/buffers.rs`); the number of waiting pieces is limited here, since a file may be empty.

use std::{
    fmt, io, panic,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use bytes::Bytes;

use crate::repository::manifest::FileSum;

/// The largest number of threads. More of them don't write faster to one disk.
const MOST_THREADS: usize = 4;
/// The largest number of pieces that wait for one of them.
const PIECES_WAITING: usize = 256;
/// What a file without content counts as, to compare queues: creating one takes about as long as writing this much.
const EMPTY_BYTES: usize = 16 << 10;

/// Takes files piece by piece, one file after another, in a thread.
pub(crate) trait TakeFiles: Send + 'static {
    /// A file, when its first piece arrives.
    type File: fmt::Debug + Send + 'static;
    /// Why a file couldn't be taken.
    type Failure: fmt::Debug + Send + 'static;

    /// Takes a piece, which belongs to the same file as the one before unless a file begins with it.
    fn take(&mut self, piece: FilePiece<Self::File>) -> Result<(), Self::Failure>;

    /// Returns the files that were taken, to be compared with PostgreSQL's manifest.
    fn finish(self) -> FileSum;
}

/// The next piece of a file.
#[derive(Debug)]
pub(crate) struct FilePiece<File> {
    /// The file, with its first piece.
    pub(crate) begins: Option<File>,
    pub(crate) data: Bytes,
    /// Whether this is its last piece.
    pub(crate) is_last: bool,
}

impl<File> FilePiece<File> {
    /// The work for it, to compare queues.
    fn weight(&self) -> usize {
        self.data.len() + if self.begins.is_some() { EMPTY_BYTES } else { 0 }
    }
}

/// The threads. They end before this is dropped.
#[derive(Debug)]
pub(crate) struct FileThreads<T: TakeFiles> {
    threads: Vec<FileThread<T>>,
    /// The number of the thread that has the current file.
    current: usize,
    /// The files that ended threads have taken.
    files: FileSum,
}

#[derive(Debug)]
struct FileThread<T: TakeFiles> {
    queue: SyncSender<FilePiece<T::File>>,
    /// The weight of the pieces in the queue.
    waiting: Arc<AtomicUsize>,
    thread: JoinHandle<Result<FileSum, T::Failure>>,
}

impl<T: TakeFiles> FileThreads<T> {
    /// Starts a thread for each core, but at most `most`, with what `taker` returns.
    pub(crate) fn start(most: usize, mut taker: impl FnMut() -> T) -> io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let mut started = Self { threads: Vec::new(), current: 0, files: FileSum::default() };
        for _ in 0..cores.min(MOST_THREADS).min(most.max(1)) {
            started.threads.push(FileThread::start(taker())?);
        }
        Ok(started)
    }

    /// Passes a piece to the thread of its file; a new file goes to the thread with the least work. Waits if that thread
    /// has too many pieces already.
    ///
    /// # Errors
    ///
    /// The failure of a thread. All of them have ended then.
    pub(crate) fn pass(&mut self, piece: FilePiece<T::File>) -> Result<(), T::Failure> {
        // A thread that has failed may get no further file, so its failure would only show at the end.
        if self.threads.iter().any(|thread| thread.thread.is_finished()) {
            return self.finish().map(drop);
        }
        if piece.begins.is_some() {
            let waiting = |thread: &FileThread<T>| thread.waiting.load(Ordering::Relaxed);
            let least = self.threads.iter().enumerate().min_by_key(|(_, thread)| waiting(thread));
            self.current = least.map_or(0, |(number, _)| number);
        }
        let Some(thread) = self.threads.get(self.current) else { return Ok(()) };
        thread.waiting.fetch_add(piece.weight(), Ordering::Relaxed);
        if thread.queue.send(piece).is_err() { self.finish().map(drop) } else { Ok(()) }
    }

    /// Waits until every piece is taken, and ends the threads. Returns all the files that they have taken.
    ///
    /// # Errors
    ///
    /// The first failure of a thread.
    pub(crate) fn finish(&mut self) -> Result<FileSum, T::Failure> {
        let (queues, threads): (Vec<_>, Vec<_>) =
            self.threads.drain(..).map(|thread| (thread.queue, thread.thread)).unzip();
        drop(queues);
        let ended: Vec<_> = threads.into_iter().map(JoinHandle::join).collect();
        for ended in ended {
            self.files += ended.unwrap_or_else(|payload| panic::resume_unwind(payload))?;
        }
        Ok(self.files)
    }
}

impl<T: TakeFiles> FileThread<T> {
    fn start(mut files: T) -> io::Result<Self> {
        let (queue, pieces) = sync_channel::<FilePiece<T::File>>(PIECES_WAITING);
        let waiting = Arc::new(AtomicUsize::new(0));
        let left = Arc::clone(&waiting);
        let thread = thread::Builder::new().name("file thread".to_owned()).spawn(move || {
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

impl<T: TakeFiles> Drop for FileThreads<T> {
    fn drop(&mut self) {
        if !thread::panicking() {
            let _ = self.finish();
        }
    }
}
