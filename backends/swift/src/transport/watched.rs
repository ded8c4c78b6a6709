//! The body of a response. It ends with an error if it is cut off or makes no progress for too long.

use std::time::Duration;

use bytes::Bytes;
use futures::{
    StreamExt,
    stream::{BoxStream, unfold},
};
use tokio::time::{Instant, timeout};

use super::{Broken, LEAST_BYTES, Pace};

/// How many times the permitted silence a server may send blanks before it reports.
const LONGEST_REPORT: u32 = 10;

/// A body with the time spent waiting for it. The time that the reader takes between two chunks doesn't count.
pub(super) struct Watched {
    body: BoxStream<'static, reqwest::Result<Bytes>>,
    silence: Duration,
    pace: Pace,
    /// The time without progress.
    waited: Duration,
    bytes: usize,
    /// The total time.
    reporting: Duration,
}

impl Watched {
    pub(super) fn new(
        body: BoxStream<'static, reqwest::Result<Bytes>>,
        silence: Duration,
        pace: Pace,
    ) -> Self {
        Self { body, silence, pace, waited: Duration::ZERO, bytes: 0, reporting: Duration::ZERO }
    }

    pub(super) fn into_stream(self) -> BoxStream<'static, Result<Bytes, Broken>> {
        unfold(Some(self), |watched| async move {
            let mut watched = watched?;
            let chunk = watched.next().await?;
            let goes_on = chunk.is_ok();
            Some((chunk, goes_on.then_some(watched)))
        })
        .boxed()
    }

    async fn next(&mut self) -> Option<Result<Bytes, Broken>> {
        let began = Instant::now();
        let chunk = timeout(self.silence.saturating_sub(self.waited), self.body.next()).await;
        self.waited += began.elapsed();
        self.reporting += began.elapsed();
        match chunk {
            Ok(None) => None,
            Ok(Some(Ok(chunk))) => Some(self.take(chunk)),
            Ok(Some(Err(error))) => Some(Err(Broken::interrupted(&error))),
            Err(_) => Some(Err(Broken::Stalled(self.silence))),
        }
    }

    fn take(&mut self, chunk: Bytes) -> Result<Bytes, Broken> {
        self.bytes += chunk.len();
        let enough = if self.pace == Pace::Report { 1 } else { LEAST_BYTES };
        if self.bytes >= enough {
            (self.bytes, self.waited) = (0, Duration::ZERO);
        }
        let longest = self.silence * LONGEST_REPORT;
        if self.pace == Pace::Report && self.reporting > longest {
            return Err(Broken::Stalled(longest));
        }
        Ok(chunk)
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    const SILENCE: Duration = Duration::from_secs(60);

    /// Reads a body of which `bytes` bytes arrive every fifty seconds, and returns how much arrived.
    async fn read(bytes: usize, chunks: usize, pace: Pace) -> Result<usize, Broken> {
        let body = stream::iter(0..chunks).then(move |_| async move {
            tokio::time::sleep(Duration::from_secs(50)).await;
            Ok(Bytes::from(vec![b' '; bytes]))
        });
        let mut body = Watched::new(body.boxed(), SILENCE, pace).into_stream();
        let mut count = 0;
        while let Some(chunk) = body.next().await {
            count += chunk?.len();
        }
        Ok(count)
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_now_and_then_is_no_progress() {
        let began = Instant::now();
        let broken = read(1, 1000, Pace::Data).await.unwrap_err();
        assert!(matches!(broken, Broken::Stalled(SILENCE)), "{broken}");
        assert_eq!(began.elapsed().as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_that_moves_comes_whole() {
        assert_eq!(read(LEAST_BYTES, 1000, Pace::Data).await.unwrap(), 1000 * LEAST_BYTES);
        assert_eq!(read(1, 1, Pace::Data).await.unwrap(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_report_may_be_waited_for_as_long_as_blanks_come_but_not_for_ever() {
        assert_eq!(read(1, 10, Pace::Report).await.unwrap(), 10);
        let broken = read(1, 1000, Pace::Report).await.unwrap_err();
        assert!(matches!(broken, Broken::Stalled(longest) if longest == SILENCE * 10), "{broken}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_that_the_reader_takes_does_not_count() {
        let body = stream::iter(0..10).map(|_| Ok(Bytes::from_static(b"x"))).boxed();
        let mut body = Watched::new(body, SILENCE, Pace::Data).into_stream();
        while let Some(chunk) = body.next().await {
            chunk.unwrap();
            tokio::time::sleep(SILENCE * 2).await;
        }
    }
}
