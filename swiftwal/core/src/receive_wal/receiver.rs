//! Connects to the server, and decides where its WAL is received from.
//!
//! At each connect the server may be another one: the cluster must be the same, and the position is looked for anew in the
//! past of its timeline. Every history of that past goes into the spool before the WAL that follows it.

use std::{collections::BTreeSet, convert::Infallible};

use swiftwal_postgres::{
    Connector, Lsn, SourceError, SourceErrorKind, Timeline, TimelineHistory, WalName, WalServer, receiving,
    replication::{ReplicationError, Session, SlotOptions, StreamOptions, WalStream},
};
use tokio::time::sleep;

use super::{
    ReceiveOptions,
    frontier::{StoredPast, segment_at, segment_start},
    gap::Search,
    pause::{Pause, may_pass},
    positions::Positions,
    spool::Spool,
    streaming::{Ended, Streaming},
};
use crate::{
    error::{Error, Refusal, Result},
    local::clock::{Clock, SystemClock},
    repository::{Repository, cluster::ClusterIdentity, gap::WalGap, history::check_history},
};

/// The SQLSTATE of WAL or of a history that the server doesn't have any more.
const UNDEFINED_FILE: &str = "58P01";
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
    /// The timelines whose histories were put into the spool.
    histories: BTreeSet<Timeline>,
}

impl<'a> Receiver<'a> {
    pub(super) fn new(
        repository: &'a Repository,
        connector: &'a Connector,
        options: &'a ReceiveOptions,
        spool: &'a Spool,
        positions: &'a Positions,
    ) -> Self {
        let (system_identifier, complete, histories) = (None, None, BTreeSet::new());
        Self { repository, connector, options, spool, positions, system_identifier, complete, histories }
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
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "not receiving WAL; connecting again in {seconds} s"
            );
            sleep(pause.next()).await;
        }
    }

    /// Connects and receives until the timeline ends, or WAL turns out to be missing.
    async fn receive_once(&mut self) -> Result<()> {
        let (mut session, server) = WalServer::connect(self.connector).await?;
        self.check(&server).await?;
        let past = self.past(&mut session, &server).await?;
        let is_new = self.options.create_slot && self.create_slot(&mut session).await?;
        let kept = self.kept(&mut session, &server).await?;
        let start = self.start(&server, &past, kept, is_new).await?;
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
                if streaming.complete == start && code(&error) == Some(UNDEFINED_FILE) =>
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

    /// Returns the past of the server's timeline, and puts every history of it into the spool.
    async fn past(&mut self, session: &mut Session, server: &WalServer) -> Result<TimelineHistory> {
        let mut past = TimelineHistory::without_ancestors(server.timeline);
        if server.timeline != Timeline::FIRST {
            past = self.history(session, server.timeline).await?;
        }
        let ancestors: Vec<_> = past.ancestors().iter().map(|ancestor| ancestor.timeline).collect();
        for timeline in ancestors.into_iter().filter(|timeline| *timeline != Timeline::FIRST) {
            match self.history(session, timeline).await {
                Err(Error::Source(error)) if code(&error) == Some(UNDEFINED_FILE) => {
                    if self.histories.insert(timeline) {
                        tracing::warn!(
                            "the server has no history of timeline {timeline}; if it isn't stored, recovery can't pass \
                             that timeline"
                        );
                    }
                }
                history => drop(history?),
            }
        }
        Ok(past)
    }

    async fn history(&mut self, session: &mut Session, timeline: Timeline) -> Result<TimelineHistory> {
        let content = session.timeline_history(timeline).await.map_err(receiving)?;
        let history = check_history(timeline, &content, WalName::History(timeline))?;
        if !self.histories.contains(&timeline) {
            self.spool.put_history(timeline, &content)?;
            self.histories.insert(timeline);
            self.positions.completed.notify_one();
        }
        Ok(history)
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
        // The server may have more than a new slot keeps.
        let surely_kept = kept.filter(|_| !is_new);
        let frontier = self.stored_past(server, past).await?.frontier(self.repository, surely_kept).await?;
        Ok(frontier.or(kept).unwrap_or(segment_start(server.flushed, server.segment_size)))
    }

    async fn stored_past(&self, server: &WalServer, past: &TimelineHistory) -> Result<StoredPast> {
        let spooled = self.spool.complete()?;
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
                "the server has removed WAL that isn't stored: {missing}. No backup from before can be recovered beyond \
                 {gap}. {advice}"
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
                let problem = "another server took the place of the one that has removed WAL";
                return Err(SourceError::new(SourceErrorKind::Unavailable, problem).into());
            }
            let start = start(segment);
            let timeline = segment_at(past, start, server.segment_size).timeline();
            let options = StreamOptions::new(start, timeline, || SystemClock.now());
            search.note(segment, has_wal(session, &options).await?);
        }
        Ok(start(search.found()))
    }
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
        Err(error) if error.code() == Some(UNDEFINED_FILE) => Ok(false),
        Err(error) => Err(receiving(error).into()),
    }
}

/// Returns the SQLSTATE of the server's error that caused this one.
fn code(error: &SourceError) -> Option<&str> {
    std::error::Error::source(error)?.downcast_ref::<ReplicationError>()?.code()
}
