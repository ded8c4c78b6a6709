//! Reports to the server how far the receiver is.

use std::sync::Arc;

use bytes::BytesMut;
use jiff::Timestamp;
use tokio::sync::Mutex;

use super::{STREAMING, copy_done, payload::WalStatus};
use crate::replication::{error::ReplicationError, wire::Writer};

/// Reports to the server how far the receiver of a stream is.
#[derive(Debug, Clone)]
pub struct WalReporter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    writer: Writer,
    clock: fn() -> Timestamp,
    reported: Mutex<Reported>,
}

#[derive(Debug)]
struct Reported {
    status: WalStatus,
    /// Whether the server accepts reports.
    is_copying: bool,
}

impl WalReporter {
    pub(super) fn new(writer: Writer, clock: fn() -> Timestamp, is_copying: bool) -> Self {
        let reported = Mutex::new(Reported { status: WalStatus::default(), is_copying });
        Self { shared: Arc::new(Shared { writer, clock, reported }) }
    }

    /// Reports a status. Returns false, and sends nothing, if the stream has ended.
    ///
    /// # Errors
    ///
    /// The connection is lost. [`WalStream::next`](super::WalStream::next) returns what the server said before that.
    pub async fn report(&self, status: WalStatus) -> Result<bool, ReplicationError> {
        let mut reported = self.shared.reported.lock().await;
        reported.status = status;
        self.send(&reported, false).await
    }

    /// Repeats the last report, and asks for an answer.
    pub(super) async fn ask_for_answer(&self) -> Result<(), ReplicationError> {
        let reported = self.shared.reported.lock().await;
        self.send(&reported, true).await.map(drop)
    }

    async fn send(&self, reported: &Reported, wants_answer: bool) -> Result<bool, ReplicationError> {
        if reported.is_copying {
            let message = reported.status.message((self.shared.clock)(), wants_answer);
            self.shared.writer.send(&message, STREAMING).await?;
        }
        Ok(reported.is_copying)
    }

    /// Ends the copy from this side, once. If the call is cancelled, the next one sends what remains.
    pub(super) async fn end_copy(&self) -> Result<(), ReplicationError> {
        let mut reported = self.shared.reported.lock().await;
        let is_first = std::mem::replace(&mut reported.is_copying, false);
        let message = if is_first { copy_done() } else { BytesMut::new() };
        self.shared.writer.send(&message, STREAMING).await
    }
}
