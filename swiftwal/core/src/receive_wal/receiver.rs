//! Connects to the server, and decides where its WAL is received from.
//!
//! At each connect the server may be another one: the cluster must be the same, and the position is looked for anew in the
//! past of its timeline. Every history of that past goes into the spool before the WAL that follows it.

use std::{collections::BTreeSet, convert::Infallible};

use swiftwal_postgres::{
    Connector, Lsn, SourceError, SourceErrorKind, Timeline, TimelineHistory, WalName, WalServer, receiving,
    replication::{ReplicationError, Session, SlotOptions},
};
use tokio::time::sleep;

use super::{
    ReceiveOptions,
    frontier::{StoredPast, segment_at, segment_start},
    pause::{Pause, may_pass},
    positions::Positions,
    spool::Spool,
    streaming::{Ended, Streaming},
};
use crate::{
    error::{Error, Refusal, Result},
    repository::{Repository, cluster::ClusterIdentity, history::check_history},
};

/// The SQLSTATE of WAL or of a history that the server doesn't have any more.
const UNDEFINED_FILE: &str = "58P01";
/// The SQLSTATE of a slot that doesn't exist.
const UNDEFINED_OBJECT: &str = "42704";
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
        if self.options.create_slot {
            self.create_slot(&mut session).await?;
        }
        let start = self.start(&mut session, &server, &past).await?;
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
                self.skip(start, &server, &past, error).await
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

    async fn create_slot(&self, session: &mut Session) -> Result<()> {
        let slot = &self.options.slot;
        // The server would log an error each time if the slot were created without asking.
        if let Ok(Some(_)) = session.read_slot(slot).await {
            return Ok(());
        }
        let options = SlotOptions { reserve_wal: true, temporary: false };
        match session.create_slot(slot, options).await {
            Err(error) if error.code() == Some(DUPLICATE_OBJECT) => Ok(()),
            Ok(()) => {
                tracing::info!("created the replication slot {slot}");
                Ok(())
            }
            Err(error) => Err(receiving(error).into()),
        }
    }

    /// Returns where to begin: behind what is complete, as far as that is the past of this server; otherwise at the end of
    /// what the repository has of that past; and in a repository without any, where the slot begins.
    async fn start(&self, session: &mut Session, server: &WalServer, past: &TimelineHistory) -> Result<Lsn> {
        if let Some((timeline, end)) = self.complete {
            if past.contains(timeline, Lsn(end.0.saturating_sub(1))) {
                return Ok(end);
            }
            let left = past.ancestors().iter().find(|ancestor| ancestor.timeline == timeline);
            if let Some(left) = left.filter(|left| left.switchpoint < end) {
                return Ok(segment_start(left.switchpoint, server.segment_size));
            }
        }
        match self.stored_past(server, past).await?.frontier() {
            Some(frontier) => Ok(frontier),
            None => self.begin_of_slot(session, server).await,
        }
    }

    async fn stored_past(&self, server: &WalServer, past: &TimelineHistory) -> Result<StoredPast> {
        let spooled = self.spool.complete()?;
        StoredPast::read(self.repository, past.clone(), server.segment_size, &spooled).await
    }

    /// Returns the start of the oldest segment that the slot keeps, or else of the one that the server is writing.
    async fn begin_of_slot(&self, session: &mut Session, server: &WalServer) -> Result<Lsn> {
        let slot = match session.read_slot(&self.options.slot).await {
            Ok(slot) => slot.and_then(|slot| slot.restart),
            Err(ReplicationError::Version { .. }) => None,
            Err(error) => return Err(receiving(error).into()),
        };
        Ok(segment_start(slot.unwrap_or(server.flushed), server.segment_size))
    }

    /// Goes on behind WAL that the server has removed: behind what another process has stored of it, or else with the
    /// oldest that the slot keeps.
    async fn skip(
        &mut self,
        gap: Lsn,
        server: &WalServer,
        past: &TimelineHistory,
        error: SourceError,
    ) -> Result<()> {
        let (end, next) = match self.stored_past(server, past).await?.behind(gap) {
            Some(stored) => stored,
            None => {
                let (mut session, server) = WalServer::connect(self.connector).await?;
                let next = self.begin_of_slot(&mut session, &server).await?;
                (next, next)
            }
        };
        if end <= gap {
            return Err(error.into());
        }
        tracing::warn!(
            "the server has removed WAL that isn't stored: from {gap} to {end}, beginning with segment {}. No backup from \
             before can be recovered to a point behind that. Take a new backup now, or store these segments with \
             archive-wal if another server has them",
            segment_at(past, gap, server.segment_size)
        );
        self.complete = Some((past.timeline_at(Lsn(next.0.saturating_sub(1))), next));
        Ok(())
    }
}

/// Returns the SQLSTATE of the server's error that caused this one.
fn code(error: &SourceError) -> Option<&str> {
    std::error::Error::source(error)?.downcast_ref::<ReplicationError>()?.code()
}
