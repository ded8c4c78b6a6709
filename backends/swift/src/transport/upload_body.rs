//! The body of a request while it is sent, which shows whether it makes progress.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use object_store::PutPayload;
use tokio::time::{Instant, sleep_until};

use super::LEAST_BYTES;

/// A payload is sent in pieces of this size, each of which shows progress.
const PIECE_BYTES: usize = LEAST_BYTES;

/// When a body last made progress; shared between the body and its observer.
#[derive(Clone, Debug)]
pub(super) struct Activity(Arc<Mutex<Instant>>);

impl Default for Activity {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}

impl Activity {
    fn record(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when there was no progress for this time.
    pub(super) async fn ceases_for(&self, silence: Duration) {
        loop {
            let last = self.last();
            sleep_until(last + silence).await;
            if self.last() == last {
                return;
            }
        }
    }
}

/// The payload of a request while it is sent.
#[derive(Debug)]
pub(super) struct UploadBody {
    chunks: std::vec::IntoIter<Bytes>,
    current: Bytes,
    left: u64,
    activity: Activity,
}

impl UploadBody {
    pub(super) fn new(payload: PutPayload, activity: Activity) -> Self {
        let left = payload.content_length() as u64;
        let chunks = payload.into_iter().collect::<Vec<_>>().into_iter();
        Self { chunks, current: Bytes::new(), left, activity }
    }

    fn piece(&mut self) -> Option<Bytes> {
        while self.current.is_empty() {
            self.current = self.chunks.next()?;
        }
        let piece = self.current.split_to(PIECE_BYTES.min(self.current.len()));
        self.left -= piece.len() as u64;
        Some(piece)
    }
}

impl Body for UploadBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.activity.record();
        Poll::Ready(self.piece().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
