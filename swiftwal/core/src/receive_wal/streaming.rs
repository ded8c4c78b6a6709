//! Receives the WAL of one timeline into the spool, and reports to the server how far that is.
//!
//! WAL is reported as written when it is on the local disk. What has arrived by then is written together, with one request
//! to the disk. Reports don't wait for the storage.

use std::{future, time::Duration};

use bytes::Bytes;
use futures::FutureExt;
use swiftwal_postgres::{
    Lsn, SegmentName, SegmentSize, SourceError, SourceErrorKind, Timeline, receiving,
    replication::{ReceivedWal, Session, StreamOptions, WalEvent, WalReporter, WalStream},
};
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    positions::{Activity, Positions, Received},
    spool::{BegunSegment, Spool},
};
use crate::{
    error::{Error, Result},
    local::clock::{Clock, SystemClock},
};

/// How much is written to the disk at once.
const BATCH_BYTES: u64 = 1 << 20;
/// How often the server gets a report when nothing happens.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);
/// How fast the server's requests for reports are answered when they follow each other. A server that shuts down asks again
/// as soon as it has the answer.
const ANSWER_INTERVAL: Duration = Duration::from_millis(100);
/// How long a server that shuts down may wait for what the storage doesn't take.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(10);

/// The end of a stream that isn't an error.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ended {
    /// The server goes on with another timeline.
    Timeline { next: Timeline, branch: Lsn },
}

/// One stream of WAL.
#[derive(Debug)]
pub(super) struct Streaming<'a> {
    pub(super) spool: &'a Spool,
    pub(super) positions: &'a Positions,
    pub(super) timeline: Timeline,
    pub(super) size: SegmentSize,
    /// How large the spool may become.
    pub(super) most_bytes: u64,
    /// The end of the complete segments: at first where the stream begins.
    pub(super) complete: Lsn,
    pub(super) current: Option<BegunSegment>,
    /// The older timeline's segment in which this one branched off, and how many of its bytes belong to this timeline's past.
    pub(super) parent: Option<(SegmentName, u64)>,
}

impl Streaming<'_> {
    /// Streams until the timeline ends.
    pub(super) async fn run(&mut self, session: Session, slot: &str) -> Result<Ended> {
        self.wait_for_room().await?;
        let mut options = StreamOptions::new(self.complete, self.timeline, || SystemClock.now());
        options.slot = Some(slot.to_owned());
        let mut stream = WalStream::start(session, &options).await.map_err(receiving)?;
        self.positions.begun().insert(self.segment());
        self.positions.received.send_replace(Some(Received {
            timeline: self.timeline,
            pending: self.spool.complete().await?.into_iter().collect(),
            stored: self.complete,
            written: self.complete,
            current: None,
        }));
        // What was stored and removed since the spool was read will never be reported as stored to this stream.
        let pending = self.spool.complete().await?;
        self.positions.received.send_modify(|received| {
            if let Some(received) = received {
                received.pending.retain(|segment| pending.contains(segment));
            }
        });
        self.positions.activity.send_replace(Activity::Receiving(self.timeline, self.complete));
        let reporter = stream.reporter();
        let positions = self.positions;
        tokio::select! {
            ended = self.receive(&mut stream) => ended,
            never = report(&reporter, positions) => match never {},
        }
    }

    async fn receive(&mut self, stream: &mut WalStream) -> Result<Ended> {
        let mut shutdown = Shutdown::default();
        let mut arrived = None;
        loop {
            let event = match arrived.take() {
                Some(event) => event,
                None => tokio::select! {
                    event = stream.next() => event,
                    () = shutdown.patience() => return Err(shutting_down()),
                },
            };
            match event.map_err(receiving)? {
                Some(WalEvent::Wal(wal)) => {
                    shutdown = Shutdown::default();
                    arrived = self.write(wal, stream).await?;
                }
                Some(WalEvent::Keepalive { server_end, wants_report: true }) => {
                    let is_waiting = server_end <= self.written() && !self.positions.is_all_stored();
                    if is_waiting {
                        self.positions.store_now.notify_one();
                    }
                    shutdown.asked(is_waiting);
                    self.positions.report_now.notify_one();
                }
                Some(WalEvent::EndOfTimeline { next, branch }) => {
                    return Ok(Ended::Timeline { next, branch });
                }
                Some(_) => {}
                None => return Err(unexpected("the stream ended without the next timeline")),
            }
        }
    }

    /// Writes WAL, together with what else has arrived, and returns the event behind it if there is one already.
    async fn write(&mut self, wal: ReceivedWal, stream: &mut WalStream) -> Result<Option<Arrived>> {
        let mut batch = Batch::default();
        let mut next = Some(wal);
        while let Some(ReceivedWal { start, mut data, .. }) = next.take() {
            let expected = self.written().0 + batch.bytes;
            if start.0 != expected {
                let expected = Lsn(expected);
                return Err(unexpected(format!(
                    "the server sent WAL from {start}, after that up to {expected}"
                )));
            }
            while !data.is_empty() {
                let missing = self.current().await?.missing() - batch.bytes;
                let piece = data.split_to(usize::try_from(missing).unwrap_or(usize::MAX).min(data.len()));
                let is_full = piece.len() as u64 == missing;
                batch.add(piece);
                if is_full || batch.bytes >= BATCH_BYTES {
                    self.flush(&mut batch).await?;
                }
                if is_full {
                    self.complete_segment().await?;
                }
            }
            match stream.next().now_or_never() {
                Some(Ok(Some(WalEvent::Wal(wal)))) => next = Some(wal),
                other => {
                    self.flush(&mut batch).await?;
                    return Ok(other);
                }
            }
        }
        Ok(None)
    }

    /// Returns the segment that is being received, and begins it if necessary.
    ///
    /// # Errors
    ///
    /// The spool is full. A stream that isn't read would keep the server from shutting down.
    async fn current(&mut self) -> Result<&mut BegunSegment> {
        if self.current.is_none() {
            if !self.has_room().await? {
                return Err(unexpected("the spool is full"));
            }
            let begun = self.spool.begin(self.segment(), self.size, self.parent.take()).await?;
            self.positions.received.send_modify(|received| {
                if let Some(received) = received {
                    received.current = Some((begun.name, begun.beginning()));
                }
            });
            self.current = Some(begun);
        }
        self.current.as_mut().ok_or_else(|| unexpected("no segment"))
    }

    /// Whether the spool has room for another segment. It always has room for two.
    async fn has_room(&self) -> Result<bool> {
        let most = self.most_bytes.max(2 * self.size.bytes());
        Ok(self.spool.bytes(self.size).await? + self.size.bytes() <= most)
    }

    /// Waits until the spool has room for another segment.
    async fn wait_for_room(&self) -> Result<()> {
        let mut stored = self.positions.received.subscribe();
        let mut has_warned = false;
        while !self.has_room().await? {
            if !has_warned {
                tracing::warn!(
                    "the spool is full: no more WAL is received until some of it is stored. The server keeps its WAL \
                     meanwhile: watch its pg_wal"
                );
                has_warned = true;
            }
            if stored.changed().await.is_err() {
                future::pending::<()>().await;
            }
        }
        Ok(())
    }

    async fn flush(&mut self, batch: &mut Batch) -> Result<()> {
        let pieces = std::mem::take(batch).pieces;
        let Some(current) = self.current.as_mut().filter(|_| !pieces.is_empty()) else { return Ok(()) };
        current.append(pieces).await?;
        let (name, beginning) = (current.name, current.beginning());
        self.positions.received.send_modify(|received| {
            if let Some(received) = received {
                received.written = Lsn(self.complete.0 + beginning.written);
                received.current = Some((name, beginning));
            }
        });
        Ok(())
    }

    async fn complete_segment(&mut self) -> Result<()> {
        if let Some(segment) = self.current.take() {
            self.spool.complete_segment(segment).await?;
            self.complete = Lsn(self.complete.0 + self.size.bytes());
            self.positions.received.send_modify(|received| {
                if let Some(received) = received {
                    received.current = None;
                }
            });
            self.positions.completed.notify_one();
        }
        Ok(())
    }

    /// Returns the name of the segment behind the complete ones.
    fn segment(&self) -> SegmentName {
        SegmentName::containing(self.timeline, self.complete, self.size)
    }

    fn written(&self) -> Lsn {
        let begun = self.current.as_ref().map_or(0, |current| self.size.bytes() - current.missing());
        Lsn(self.complete.0 + begun)
    }
}

/// An event that has arrived.
type Arrived = Result<Option<WalEvent>, swiftwal_postgres::replication::ReplicationError>;

/// WAL that isn't written yet.
#[derive(Debug, Default)]
struct Batch {
    pieces: Vec<Bytes>,
    bytes: u64,
}

impl Batch {
    fn add(&mut self, piece: Bytes) {
        self.bytes += piece.len() as u64;
        self.pieces.push(piece);
    }
}

/// Notices that the server shuts down and waits for what isn't stored: it asks for reports one after the other. The protocol
/// has no other sign of it.
#[derive(Debug, Default)]
struct Shutdown {
    asked: Option<Instant>,
    since: Option<Instant>,
}

impl Shutdown {
    /// A server that only looks for a sign of life asks every half `wal_sender_timeout`, 30 s by default.
    const CLOSE: Duration = Duration::from_secs(2);

    fn asked(&mut self, is_waiting: bool) {
        let now = Instant::now();
        let follows = self.asked.is_some_and(|asked| now - asked < Self::CLOSE);
        self.asked = Some(now);
        self.since = self.since.or(Some(now)).filter(|_| is_waiting && follows);
    }

    /// Returns when the server has waited long enough.
    async fn patience(&self) {
        match self.since {
            Some(since) => sleep_until(since + SHUTDOWN_PATIENCE).await,
            None => future::pending().await,
        }
    }
}

/// Reports whenever a position changes, when the server asks, and from time to time.
async fn report(reporter: &WalReporter, positions: &Positions) -> std::convert::Infallible {
    let mut received = positions.received.subscribe();
    let mut answered = None::<Instant>;
    loop {
        if !matches!(reporter.report(positions.status()).await, Ok(true)) {
            // The stream has ended, and says why itself.
            future::pending::<()>().await;
        }
        tokio::select! {
            _ = received.changed() => {}
            () = positions.report_now.notified() => {
                if let Some(answered) = answered {
                    sleep_until(answered + ANSWER_INTERVAL).await;
                }
                answered = Some(Instant::now());
            }
            () = sleep(REPORT_INTERVAL) => {}
        }
    }
}

fn unexpected(problem: impl Into<String>) -> Error {
    SourceError::new(SourceErrorKind::Unavailable, problem).into()
}

fn shutting_down() -> Error {
    SourceError::new(
        SourceErrorKind::Unavailable,
        "the server is shutting down and the storage doesn't respond; the rest of its WAL is in the spool",
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_a_server_that_asks_again_and_again_is_shutting_down() {
        let mut shutdown = Shutdown::default();
        for _ in 0..3 {
            shutdown.asked(true);
            sleep(Duration::from_secs(30)).await;
        }
        assert!(shutdown.patience().now_or_never().is_none());
        let began = Instant::now();
        for _ in 0..3 {
            shutdown.asked(true);
            sleep(ANSWER_INTERVAL).await;
        }
        shutdown.patience().await;
        assert_eq!(began.elapsed(), ANSWER_INTERVAL + SHUTDOWN_PATIENCE);
        shutdown.asked(false);
        assert!(shutdown.patience().now_or_never().is_none());
    }
}
