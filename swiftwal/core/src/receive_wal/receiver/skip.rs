//! Goes on behind WAL that the server has removed before it was stored, and records that gap.

use swiftwal_postgres::{
    Lsn, SourceError, TimelineHistory, WalServer, receiving,
    replication::{Session, StreamOptions, WalStream},
};

use super::Receiver;
use crate::{
    error::Result,
    local::clock::{Clock, SystemClock},
    receive_wal::{
        continuity::{another_server, is_removed},
        frontier::{segment_at, segment_start},
        gap::Search,
    },
    repository::gap::WalGap,
};

/// WAL that a server has removed.
pub(super) struct Refused<'a> {
    pub(super) server: &'a WalServer,
    pub(super) past: &'a TimelineHistory,
    /// Where it begins.
    pub(super) gap: Lsn,
    /// Where the WAL begins that the slot keeps, if that is known.
    pub(super) kept: Option<Lsn>,
}

impl Receiver<'_> {
    /// Goes on behind WAL that the server has removed: with what is stored behind it, or with the first segment that the
    /// server has.
    pub(super) async fn skip(&mut self, refused: Refused<'_>, error: SourceError) -> Result<()> {
        let Refused { server, past, gap, kept } = refused;
        let size = server.segment_size;
        let mut stored = self.stored_past(server, past).await?;
        // Another process may have stored it meanwhile.
        let mut next = stored.end_of_run(self.repository, gap).await?;
        if next == gap {
            let written = segment_start(server.flushed, size);
            let kept = kept.filter(|kept| *kept > gap).unwrap_or(written);
            let most = stored.next_stored(gap).map_or(kept, |stored| stored.min(kept));
            if most <= gap {
                return Err(error.into());
            }
            let end = self.first_available(server, past, gap, most).await?;
            next = stored.end_of_run(self.repository, end).await?;
            let advice = if stored.has_backup_from(end) {
                "The newest backup doesn't need it"
            } else {
                "Take a new backup now, or store these segments with archive-wal if another server has them"
            };
            let (first, last) =
                (segment_at(past, gap, size), segment_at(past, Lsn(end.0 - size.bytes()), size));
            let noticed = self.repository.clock().now();
            self.repository.record_gap(&WalGap::new(first, last, size, noticed)).await?;
            let missing = if first == last {
                format!("segment {first}")
            } else {
                format!("segments {first} to {last}")
            };
            tracing::warn!(
                "the server has removed WAL that isn't stored: {missing}. A backup that was taken before this can be \
                 recovered only up to {gap}. {advice}"
            );
        }
        self.complete = Some((past.timeline_at(Lsn(next.0.saturating_sub(1))), next));
        Ok(())
    }

    /// Returns the start of the first segment behind `gap` that the server has, `most` at the latest.
    async fn first_available(
        &self,
        server: &WalServer,
        past: &TimelineHistory,
        gap: Lsn,
        most: Lsn,
    ) -> Result<Lsn> {
        let size = server.segment_size.bytes();
        let start = |segment: u64| Lsn(gap.0 + segment * size);
        let mut search = Search::new((most.0 - gap.0) / size);
        while let Some(segment) = search.next() {
            let (session, found) = WalServer::connect(self.connector).await?;
            if !found.is_same_as(server) {
                return Err(another_server());
            }
            let start = start(segment);
            let timeline = segment_at(past, start, server.segment_size).timeline();
            let options = StreamOptions::new(start, timeline, || SystemClock.now());
            search.note(segment, has_wal(session, &options).await?);
        }
        Ok(start(search.found()))
    }
}

/// Whether the server has the WAL at the start of the stream, which must be before the end of its WAL. The stream is without
/// a slot, so that nothing is reported as stored.
async fn has_wal(session: Session, options: &StreamOptions) -> Result<bool> {
    let asked = async { WalStream::start(session, options).await?.next().await.map(drop) };
    match asked.await {
        Ok(()) => Ok(true),
        Err(error) if is_removed(&error) => Ok(false),
        Err(error) => Err(receiving(error).into()),
    }
}
