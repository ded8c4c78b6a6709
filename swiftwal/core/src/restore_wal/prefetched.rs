//! Takes a segment that a prefetcher has fetched.
//!
//! restore-wal calls it before it fetches a segment itself. Whatever goes wrong here, the segment is then fetched as if
//! there were no prefetcher: each wait has an end, and only the file that the prefetcher has checked is handed over.
//!
//! A prefetcher that hangs costs one wait: when it doesn't answer, it is killed, so that another one can take its lock. If
//! that isn't possible, it isn't asked again: its socket is removed. If it goes on later, it finds that out and ends.

use std::{io, os::unix::fs::FileExt, path::Path, time::Duration};

use swiftwal_postgres::{SegmentHeader, SegmentName};
use tokio::time::{Instant, timeout};

use super::{
    data_directory::DataDirectory,
    followed::branch_in,
    messages::{Action, Answer, Connection, Request},
    spool::Spool,
};
use crate::{
    error::{Error, Result},
    local::{content::Fingerprint, regular_file::open_regular_file, staged_file::move_file},
    repository::segment_check::check_segment,
};

/// How long a living prefetcher may take for an answer.
const ANSWER: Duration = Duration::from_secs(2);

/// A prefetcher that is alive.
#[derive(Debug)]
pub struct Prefetcher {
    connection: Connection,
    spool: Spool,
    /// The inode of the socket, if it is still there.
    socket: Option<u64>,
}

impl Prefetcher {
    /// Connects to the prefetcher of a spool. None if none is alive, or the one that is alive hasn't answered before.
    pub async fn connect(spool: &Spool) -> Option<Self> {
        let socket = spool.socket_inode().ok();
        let stream = timeout(ANSWER, spool.connect()).await.ok()?.ok()?;
        Some(Self { connection: Connection::new(stream), spool: spool.clone(), socket })
    }

    /// Moves the segment `name` from the spool to `target`, and returns true; or returns false if the prefetcher doesn't
    /// have it, or doesn't answer, or if recovery follows a timeline that branched off within the segment. If it is being
    /// fetched, waits for it as long as it arrives: for half of the time until the
    /// deadline, and longer if it will probably be complete by then. Otherwise it would be fetched twice.
    ///
    /// `time_left` receives the size of the segment when a part of it has arrived, 0 before that, and returns the time until
    /// the deadline, if there is one.
    ///
    /// The prefetcher has checked the content. Here the file must be the one that it has checked, which the inode and the
    /// time of the last change show, and its first page and its size must fit the name and the data directory.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] if it isn't that file; [`Error::Local`] if it can't be moved. Nothing has changed at `target`.
    pub async fn take(
        mut self,
        spool: &Spool,
        data: &DataDirectory,
        name: SegmentName,
        target: &Path,
        time_left: &(dyn Fn(u64) -> Option<Duration> + Send + Sync),
    ) -> Result<bool> {
        if branch_in(target, name).await?.is_some() {
            return Ok(false);
        }
        let size = data.segment_size.bytes();
        let mut arrival = Arrival::new(size);
        let is_worth_waiting = |bytes| arrival.is_worth_waiting(bytes, time_left);
        let answer = self.answer(Action::Take(name), is_worth_waiting).await;
        let Ok(Answer::Ready(fingerprint)) = answer else { return Ok(false) };
        let spooled = spool.segment(name);
        let local = || Error::local("read", &spooled);
        let file = open_regular_file(&spooled).map_err(local())?;
        let found = file.metadata().map_err(local())?;
        if Fingerprint::of(&found) != fingerprint {
            return Err(Error::damaged(spooled.display(), "it was changed after it was fetched"));
        }
        let mut start = [0; SegmentHeader::BYTES];
        file.read_at(&mut start, 0).map_err(local())?;
        let header = check_segment(name, &start, found.len(), spooled.display())?;
        data.check(&header, spooled.display())?;
        move_file(&spooled, target).map_err(Error::local("write", target))?;
        Ok(true)
    }

    /// Sends a request. Returns the first answer other than [`Answer::Wait`], or that one when `is_worth_waiting`, which
    /// receives the number of bytes, says so. A prefetcher that doesn't answer in time is killed, and isn't asked again.
    async fn answer(
        &mut self,
        action: Action,
        mut is_worth_waiting: impl FnMut(u64) -> bool + Send,
    ) -> io::Result<Answer> {
        let request = Request { configuration: self.spool.configuration().to_owned(), action };
        let exchange = async {
            timeout(ANSWER, self.connection.send(&request)).await??;
            loop {
                match self.connection.receive(ANSWER).await? {
                    Answer::Wait(bytes) if is_worth_waiting(bytes) => {}
                    answer => return Ok(answer),
                }
            }
        };
        let answer = exchange.await;
        if answer.is_err() {
            self.give_up();
        }
        answer
    }

    /// Makes sure that nobody waits for this prefetcher again. One that is dead has lost nothing.
    fn give_up(&self) {
        // Where that isn't possible, it keeps its lock, and nothing is fetched ahead until it ends.
        drop(self.connection.kill_listener());
        if self.spool.socket_inode().ok() == self.socket {
            // The next one creates it again.
            drop(self.spool.remove_socket());
        }
    }

    /// Lets the prefetcher go on after the segment `name`, which was fetched without it. Returns false if it doesn't
    /// answer.
    pub async fn delivered(mut self, name: SegmentName) -> bool {
        matches!(self.answer(Action::Delivered(name), |_| true).await, Ok(Answer::Noted))
    }
}

/// The arrival of a segment that the prefetcher is fetching.
struct Arrival {
    size: u64,
    began: Instant,
    /// The number of bytes that had arrived before.
    first: Option<u64>,
}

impl Arrival {
    fn new(size: u64) -> Self {
        Self { size, began: Instant::now(), first: None }
    }

    /// Whether to wait for the segment, of which so many bytes are there.
    fn is_worth_waiting(&mut self, bytes: u64, time_left: &dyn Fn(u64) -> Option<Duration>) -> bool {
        let first = *self.first.get_or_insert(bytes);
        let arrived = bytes.saturating_sub(first);
        let Some(left) = time_left(if arrived > 0 { self.size } else { 0 }) else { return true };
        let passed = self.began.elapsed();
        let missing = self.size.saturating_sub(bytes);
        // The second part: at the same speed, what is missing arrives in the time that is left.
        passed < left || u128::from(missing) * passed.as_millis() <= u128::from(arrived) * left.as_millis()
    }
}
