//! Connects to the server, and decides where its WAL is received from.
//!
//! At each connect the server may be another one: the cluster must be the same, and the position is looked for anew in the
//! past of its timeline. Every history of that past must be stored, with the same content, before WAL is received that
//! follows it; and the WAL must be the continuation of what is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    io, iter,
    ops::Range,
};

use bytes::Bytes;

use swiftwal_postgres::{
    Connector, Lsn, SegmentName, SegmentSize, SourceError, SourceErrorKind, Timeline, TimelineHistory,
    WalName, WalServer, receiving,
    replication::{ReplicationError, Session, SlotOptions, StreamOptions, WalStream},
};
use tokio::{fs::File, time::sleep};

use super::{
    ReceiveOptions,
    continuity::{ENOUGH_BYTES, Ours, another_server, compare, is_removed},
    frontier::{StoredPast, segment_at, segment_start},
    gap::Search,
    pause::{Pause, may_pass},
    positions::{Activity, Positions},
    spool::Spool,
    streaming::{Ended, Streaming},
};
use crate::{
    error::{Error, Refusal, Result, causes},
    local::clock::{Clock, SystemClock},
    repository::{
        Repository,
        cluster::ClusterIdentity,
        gap::WalGap,
        history::{Histories, check_history},
        wal_file::WalFile,
    },
};

/// The SQLSTATE of a slot that doesn't exist.
const UNDEFINED_OBJECT: &str = "42704";
/// The SQLSTATE of a slot that can't be used: the server has invalidated it, or it isn't a physical one.
const OBJECT_NOT_IN_PREREQUISITE_STATE: &str = "55000";
/// The SQLSTATE of a slot that exists already.
const DUPLICATE_OBJECT: &str = "42710";

/// The part of the receiver that connects.
#[derive(Debug)]
pub(super) struct Receiver<'a> {
    repository: &'a Repository,
    connector: &'a Connector,
    options: &'a ReceiveOptions,
    spool: &'a Spool,
    positions: &'a Positions,
    /// The cluster, once it is known.
    system_identifier: Option<u64>,
    /// The end of the WAL that is complete in the spool or stored, and its timeline. None until a server was found.
    complete: Option<(Timeline, Lsn)>,
    /// The histories of the servers that were found. Each is stored.
    histories: BTreeMap<Timeline, Bytes>,
    /// The timelines whose histories a server doesn't have, and that were reported.
    without_history: BTreeSet<Timeline>,
}

impl<'a> Receiver<'a> {
    pub(super) fn new(
        repository: &'a Repository,
        connector: &'a Connector,
        options: &'a ReceiveOptions,
        spool: &'a Spool,
        positions: &'a Positions,
    ) -> Self {
        Self {
            repository,
            connector,
            options,
            spool,
            positions,
            system_identifier: None,
            complete: None,
            histories: BTreeMap::new(),
            without_history: BTreeSet::new(),
        }
    }

    /// Receives WAL, and connects again after each interruption. What the first connection is refused for is an error:
    /// somebody is waiting for the start to succeed.
    pub(super) async fn run(&mut self) -> Result<Infallible> {
        let mut pause = Pause::default();
        loop {
            let before = self.complete;
            let error = match Box::pin(self.receive_once()).await {
                Ok(()) => {
                    pause = Pause::default();
                    continue;
                }
                Err(error) => error,
            };
            let is_of_server = matches!(error, Error::Source(_)) && before.is_some();
            if !may_pass(&error) && !is_of_server {
                return Err(error);
            }
            if self.complete != before {
                pause = Pause::default();
            }
            let seconds = pause.seconds();
            self.positions.activity.send_replace(Activity::Waiting(causes(&error)));
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "can't receive WAL; trying again in {seconds} s"
            );
            sleep(pause.next()).await;
        }
    }

    /// Connects and receives until the timeline ends, or WAL turns out to be missing.
    async fn receive_once(&mut self) -> Result<()> {
        let (mut session, server) = WalServer::connect(self.connector).await?;
        self.check(&server).await?;
        let (past, new) = self.past(&mut session, &server).await?;
        let mut kept = self.kept(&mut session, &server).await?;
        let may_create = self.options.create_slot && kept.is_none();
        let mut start = self.start(&server, &past, kept, false).await?;
        let in_advance = may_create || !new.is_empty();
        let mut session = self.compare(session, &server, &past, start, in_advance).await?;
        for (timeline, content) in new {
            self.store_history(timeline, content).await?;
        }
        // A server that is refused must not keep WAL for a slot that nothing is going to use.
        if may_create && self.create_slot(&mut session).await? {
            kept = self.kept(&mut session, &server).await?;
            let from_slot = self.start(&server, &past, kept, true).await?;
            if from_slot != start {
                start = from_slot;
                session = self.compare(session, &server, &past, start, true).await?;
            }
        }
        let segment = segment_at(&past, start, server.segment_size);
        self.complete = Some((past.timeline_at(Lsn(start.0.saturating_sub(1))), start));
        tracing::info!("receiving WAL from {start} on timeline {}, segment {segment}", segment.timeline());
        let mut streaming = Streaming {
            spool: self.spool,
            positions: self.positions,
            timeline: segment.timeline(),
            size: server.segment_size,
            most_bytes: self.options.spool_bytes,
            complete: start,
            current: None,
            parent: parent(&past, start, server.segment_size),
        };
        let ended = streaming.run(session, &self.options.slot).await;
        if streaming.complete > start {
            self.complete = Some((segment.timeline(), streaming.complete));
        }
        match ended {
            Ok(Ended::Timeline { next, branch }) => {
                tracing::info!(
                    "timeline {} ended at {branch}; going on with timeline {next}",
                    segment.timeline()
                );
                Ok(())
            }
            Err(Error::Source(error))
                if streaming.complete == start && cause(&error).is_some_and(is_removed) =>
            {
                self.skip(Refused { server: &server, past: &past, gap: start, kept }, error).await
            }
            Err(Error::Source(error))
                if streaming.complete == start && code(&error) == Some(OBJECT_NOT_IN_PREREQUISITE_STATE) =>
            {
                self.replace_slot(error).await
            }
            Err(Error::Source(error)) if code(&error) == Some(UNDEFINED_OBJECT) => {
                let slot = &self.options.slot;
                let hint =
                    format!("create the slot {slot} with --create-slot, or name another one with --slot");
                Err(error.with_hint(hint).into())
            }
            Err(error) => Err(error),
        }
    }

    /// Refuses a server of another cluster, and a standby unless that is allowed.
    async fn check(&mut self, server: &WalServer) -> Result<()> {
        let found = server.system_identifier;
        match self.system_identifier {
            Some(expected) if expected != found => {
                let what = "system identifier";
                let location = self.repository.location().to_owned();
                return Err(Refusal::AnotherCluster { location, what, expected, found }.into());
            }
            Some(_) => {}
            None => {
                let identity = ClusterIdentity {
                    system_identifier: found,
                    postgres_version: server.postgres_version.clone(),
                    wal_segment_bytes: server.segment_size,
                };
                let format = self.options.codec.format();
                self.repository.ensure_cluster_unless_cached(Some(&identity), format).await?;
                self.system_identifier = Some(found);
            }
        }
        if server.is_standby == Some(true) && !self.options.allow_standby {
            let hint = "connect to the primary; if the connection string names several hosts, \
                        target_session_attrs=primary finds it. To receive from a standby, give --allow-standby";
            return Err(SourceError::new(SourceErrorKind::Refused, "the server is a standby")
                .with_hint(hint)
                .into());
        }
        Ok(())
    }

    /// Returns the past of the server's timeline, and those of its histories that aren't stored yet.
    async fn past(
        &mut self,
        session: &mut Session,
        server: &WalServer,
    ) -> Result<(TimelineHistory, Vec<(Timeline, Bytes)>)> {
        let (mut past, mut new) = (TimelineHistory::without_ancestors(server.timeline), Vec::new());
        if server.timeline != Timeline::FIRST {
            past = self.history(session, server.timeline, &mut new).await?;
        }
        let ancestors: Vec<_> = past.ancestors().iter().map(|ancestor| ancestor.timeline).collect();
        for timeline in ancestors.into_iter().filter(|timeline| *timeline != Timeline::FIRST) {
            match self.history(session, timeline, &mut new).await {
                Err(Error::Source(error)) if cause(&error).is_some_and(is_removed) => {
                    self.check_stored_history(&past, timeline).await?;
                }
                history => drop(history?),
            }
        }
        Ok((past, new))
    }

    /// Refuses a server without a history of `timeline` whose past differs from the stored one.
    async fn check_stored_history(&mut self, past: &TimelineHistory, timeline: Timeline) -> Result<()> {
        let mut stored = Histories::default();
        stored.look_for(self.repository, timeline).await?;
        let before = past.ancestors().iter().take_while(|ancestor| ancestor.timeline < timeline);
        match stored.get(timeline) {
            Some(stored) if !before.eq(stored.ancestors()) => {
                let refusal = Refusal::AnotherContent {
                    object: WalName::History(timeline).to_string(),
                    location: self.repository.location().to_owned(),
                    path: format!("the server's {}", WalName::History(past.timeline())),
                    history_of: Some(timeline),
                };
                Err(refusal.into())
            }
            None if !stored.has(timeline) && self.without_history.insert(timeline) => {
                tracing::warn!(
                    "neither the server nor the repository has the history of timeline {timeline}: recovery can't pass \
                     that timeline"
                );
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Asks for the history of a timeline. Two servers may have been promoted to one timeline: nothing is received from one
    /// whose history differs from the stored one, or from that of another server. One that isn't stored is added to `new`:
    /// the server may turn out to be another one.
    async fn history(
        &mut self,
        session: &mut Session,
        timeline: Timeline,
        new: &mut Vec<(Timeline, Bytes)>,
    ) -> Result<TimelineHistory> {
        let content = session.timeline_history(timeline).await.map_err(receiving)?;
        let file = WalFile::history(timeline, content.clone())?;
        match self.histories.get(&timeline) {
            Some(known) if *known == content => {}
            Some(_) => return Err(self.repository.another_content(&file, self.options.codec.format())),
            None if self.repository.wal_format(WalName::History(timeline)).await?.is_some() => {
                self.store_history(timeline, content.clone()).await?;
            }
            None => new.push((timeline, content.clone())),
        }
        check_history(timeline, &content, WalName::History(timeline))
    }

    /// Stores a history. If one is stored, it must be the same.
    async fn store_history(&mut self, timeline: Timeline, content: Bytes) -> Result<()> {
        let file = WalFile::history(timeline, content.clone())?;
        if self.repository.archive_file(&file, self.options.codec).await?.is_some() {
            tracing::info!("stored {}", WalName::History(timeline));
        }
        self.histories.insert(timeline, content);
        Ok(())
    }

    /// Compares what is here with what the server has, and returns the session, or another one with the same server. The
    /// beginning of the current segment is compared as it is received again, or, `in_advance`, now: before a history is stored
    /// or the slot is created.
    ///
    /// # Errors
    ///
    /// [`Refusal::AnotherWal`] if the WAL behind `start` isn't the continuation of what is here.
    async fn compare(
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

    /// Creates the slot unless it exists, and returns whether it was created.
    async fn create_slot(&self, session: &mut Session) -> Result<bool> {
        let slot = &self.options.slot;
        // The server would log an error each time if the slot were created without asking.
        if let Ok(Some(_)) = session.read_slot(slot).await {
            return Ok(false);
        }
        let options = SlotOptions { reserve_wal: true, temporary: false };
        match session.create_slot(slot, options).await {
            Err(error) if error.code() == Some(DUPLICATE_OBJECT) => Ok(false),
            Ok(()) => {
                tracing::info!("created the replication slot {slot}");
                Ok(true)
            }
            Err(error) => Err(receiving(error).into()),
        }
    }

    /// Creates the slot again if that is allowed, after the server has invalidated it. PostgreSQL refuses to use such a slot
    /// from version 18 on.
    async fn replace_slot(&self, error: SourceError) -> Result<()> {
        let slot = &self.options.slot;
        if !self.options.create_slot {
            let hint = format!(
                "start receive-wal with --create-slot, which drops the invalidated slot {slot} and creates it again; the \
                 WAL that the server has removed meanwhile is then a gap"
            );
            return Err(error.with_hint(hint).into());
        }
        let mut session = self.connector.replication().await.map_err(receiving)?;
        // Reading it fails for a logical slot, which isn't dropped.
        if let Ok(Some(_)) = session.read_slot(slot).await {
            session.drop_slot(slot).await.map_err(receiving)?;
        } else {
            return Err(error.into());
        }
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the server has invalidated the replication slot {slot}; it was dropped, and is created again"
        );
        self.create_slot(&mut session).await.map(drop)
    }

    /// Returns where to begin: behind what is complete, as far as that is the past of this server; otherwise at the end of
    /// what the repository has of that past; and in a repository without any, where the slot begins.
    async fn start(
        &self,
        server: &WalServer,
        past: &TimelineHistory,
        kept: Option<Lsn>,
        is_new: bool,
    ) -> Result<Lsn> {
        if let Some((timeline, end)) = self.complete {
            if past.contains(timeline, Lsn(end.0.saturating_sub(1))) {
                return Ok(end);
            }
            let left = past.ancestors().iter().find(|ancestor| ancestor.timeline == timeline);
            if let Some(left) = left.filter(|left| left.switchpoint < end) {
                return Ok(segment_start(left.switchpoint, server.segment_size));
            }
        }
        let frontier = self.stored_past(server, past).await?.frontier(self.repository, kept, is_new).await?;
        Ok(frontier.unwrap_or(segment_start(server.flushed, server.segment_size)))
    }

    async fn stored_past(&self, server: &WalServer, past: &TimelineHistory) -> Result<StoredPast> {
        let spooled = self.spool.complete().await?;
        StoredPast::read(self.repository, past.clone(), server.segment_size, &spooled).await
    }

    /// Returns the start of the oldest segment that the slot keeps. None if the server doesn't say: before PostgreSQL 15, or
    /// if the slot keeps none.
    async fn kept(&self, session: &mut Session, server: &WalServer) -> Result<Option<Lsn>> {
        match session.read_slot(&self.options.slot).await {
            Ok(slot) => {
                Ok(slot.and_then(|slot| slot.restart).map(|lsn| segment_start(lsn, server.segment_size)))
            }
            Err(ReplicationError::Version { .. }) => Ok(None),
            Err(error) => Err(receiving(error).into()),
        }
    }

    /// Goes on behind WAL that the server has removed: with what is stored behind it, or with the first segment that the
    /// server has.
    async fn skip(&mut self, refused: Refused<'_>, error: SourceError) -> Result<()> {
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

/// Returns the segment of the older timeline in which the segment at `start` branched off, and how many of its bytes belong to
/// this past. None if the segment begins with its own timeline.
fn parent(past: &TimelineHistory, start: Lsn, size: SegmentSize) -> Option<(SegmentName, u64)> {
    let segment = segment_at(past, start, size);
    let before = past.ancestors().iter().rev().find(|ancestor| ancestor.timeline < segment.timeline())?;
    let bytes = before.switchpoint.0.checked_sub(start.0).filter(|bytes| *bytes > 0)?;
    Some((segment.on_timeline(before.timeline), bytes))
}

/// WAL that a server has removed.
struct Refused<'a> {
    server: &'a WalServer,
    past: &'a TimelineHistory,
    /// Where it begins.
    gap: Lsn,
    /// Where the WAL begins that the slot keeps, if that is known.
    kept: Option<Lsn>,
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

/// Returns the SQLSTATE of the server's error that caused this one.
fn code(error: &SourceError) -> Option<&str> {
    cause(error)?.code()
}

fn cause(error: &SourceError) -> Option<&ReplicationError> {
    std::error::Error::source(error)?.downcast_ref()
}
