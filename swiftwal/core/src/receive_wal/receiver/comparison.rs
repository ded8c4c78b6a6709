//! Compares what is in the spool or stored with the WAL of the server, which must be its continuation.

use std::{io, iter, ops::Range};

use swiftwal_postgres::{
    Lsn, SegmentName, Timeline, TimelineHistory, WalName, WalServer,
    replication::{Session, StreamOptions},
};
use tokio::fs::File;

use super::{Receiver, parent};
use crate::{
    error::{Error, Result},
    local::clock::{Clock, SystemClock},
    receive_wal::{
        continuity::{ENOUGH_BYTES, Ours, another_server, compare},
        frontier::segment_at,
    },
};

impl<'a> Receiver<'a> {
    /// Compares what is here with what the server has, and returns the session, or another one with the same server. The
    /// beginning of the current segment is compared as it is received again, or, `in_advance`, now: before a history is stored
    /// or the slot is created.
    ///
    /// # Errors
    ///
    /// [`Refusal::AnotherWal`] if the WAL behind `start` isn't the continuation of what is here.
    pub(super) async fn compare(
        &self,
        mut session: Session,
        server: &WalServer,
        past: &TimelineHistory,
        start: Lsn,
        in_advance: bool,
    ) -> Result<Session> {
        let size = server.segment_size;
        let current = segment_at(past, start, size);
        if self.complete.is_none() {
            self.fetch_beginning(current).await?;
        }
        for (segment, most) in iter::once((current, u64::MAX)).chain(parent(past, start, size)) {
            if self.spool.fingerprint(segment).await?.is_none() {
                continue;
            }
            let bytes = self.spool.open_begun(segment).await?.written.min(most);
            if bytes < ENOUGH_BYTES {
                continue;
            }
            if !in_advance {
                return Ok(session);
            }
            let end = Lsn(start.0 + bytes).min(server.flushed);
            // A server that is behind is compared as far as it goes.
            if start < end
                && let Some(ours) = self.open_spooled(segment, true).await?
            {
                session = self.receive_again(session, server, current.timeline(), start..end, ours).await?;
            }
        }
        // A server that is behind refuses to stream from there.
        let Some(before) = start.0.checked_sub(size.bytes()).map(Lsn).filter(|_| start <= server.flushed)
        else {
            return Ok(session);
        };
        let segment = segment_at(past, before, size);
        match self.open_ours(segment).await? {
            Some(ours) => self.receive_again(session, server, segment.timeline(), before..start, ours).await,
            None => Ok(session),
        }
    }

    /// Receives WAL that is here once more and compares it. Returns the session, or another one with the same server.
    async fn receive_again(
        &self,
        session: Session,
        server: &WalServer,
        timeline: Timeline,
        range: Range<Lsn>,
        ours: Ours<'_>,
    ) -> Result<Session> {
        let options = StreamOptions::new(range.start, timeline, || SystemClock.now());
        if let Some(session) = compare(session, &options, range.end, ours).await? {
            return Ok(session);
        }
        let (session, found) = WalServer::connect(self.connector).await?;
        if found.is_same_as(server) { Ok(session) } else { Err(another_server()) }
    }

    /// Opens a complete segment in the spool or in the repository; none if there is none.
    async fn open_ours(&self, segment: SegmentName) -> Result<Option<Ours<'a>>> {
        if let Some(ours) = self.open_spooled(segment, false).await? {
            return Ok(Some(ours));
        }
        let repository = self.repository;
        let Some(stored) = repository.wal_if_stored(WalName::Segment(segment)).await? else {
            return Ok(None);
        };
        let object = stored.name.clone();
        let failed = Box::new(move |error| repository.unreadable(&object, error));
        Ok(Some(Ours { segment, is_beginning: false, content: stored.content(), failed }))
    }

    /// Opens a complete segment in the spool, or the beginning of one; none if there is none.
    async fn open_spooled(&self, segment: SegmentName, is_beginning: bool) -> Result<Option<Ours<'a>>> {
        let name = if is_beginning { WalName::Partial(segment) } else { WalName::Segment(segment) };
        let path = self.spool.path_of(name);
        match File::open(&path).await {
            Ok(file) => {
                let failed = Box::new(Error::local("read", path));
                Ok(Some(Ours { segment, is_beginning, content: Box::new(file), failed }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::local("read", path)(error)),
        }
    }

    /// Puts the beginning of a segment into the spool that an earlier process has stored, if the spool has none: what the
    /// server sends must be its continuation, too.
    async fn fetch_beginning(&self, segment: SegmentName) -> Result<()> {
        if self.spool.fingerprint(segment).await?.is_some() {
            return Ok(());
        }
        let Some(stored) = self.repository.received(segment).await? else { return Ok(()) };
        let object = stored.name.clone();
        let mut content = stored.content();
        self.spool.put_begun(segment, &mut content, |error| self.repository.unreadable(&object, error)).await
    }
}
