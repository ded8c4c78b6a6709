//! Connects to the server, and decides where its WAL is received from.
//!
//! At each connect the server may be another one: the cluster must be the same, and the position is looked for anew in the
//! past of its timeline, whose `histories` must be those that are stored. The WAL must be the continuation of what is there,
//! which a `comparison` shows. The `slot` makes the server keep it; `skip` passes over what the server has removed.

mod comparison;
mod histories;
mod skip;
mod slot;

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
};

use bytes::Bytes;
use swiftwal_postgres::{
    Connector, Lsn, SegmentName, SegmentSize, SourceError, SourceErrorKind, Timeline, TimelineHistory,
    WalServer, replication::ReplicationError,
};
use tokio::time::sleep;

use self::skip::Refused;
use super::{
    ReceiveOptions,
    continuity::is_removed,
    frontier::{StoredPast, segment_at, segment_start},
    pause::{Pause, may_pass},
    positions::{Activity, Positions},
    spool::Spool,
    streaming::{Ended, Streaming},
};
use crate::{
    error::{Error, Refusal, Result, causes},
    repository::{Repository, cluster::ClusterIdentity},
};

/// The SQLSTATE of a slot that doesn't exist.
const UNDEFINED_OBJECT: &str = "42704";
/// The SQLSTATE of a slot that can't be used: the server has invalidated it, or it isn't a physical one.
const OBJECT_NOT_IN_PREREQUISITE_STATE: &str = "55000";

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
}

/// Returns the segment of the older timeline in which the segment at `start` branched off, and how many of its bytes belong to
/// this past. None if the segment begins with its own timeline.
fn parent(past: &TimelineHistory, start: Lsn, size: SegmentSize) -> Option<(SegmentName, u64)> {
    let segment = segment_at(past, start, size);
    let before = past.ancestors().iter().rev().find(|ancestor| ancestor.timeline < segment.timeline())?;
    let bytes = before.switchpoint.0.checked_sub(start.0).filter(|bytes| *bytes > 0)?;
    Some((segment.on_timeline(before.timeline), bytes))
}

/// Returns the SQLSTATE of the server's error that caused this one.
fn code(error: &SourceError) -> Option<&str> {
    cause(error)?.code()
}

fn cause(error: &SourceError) -> Option<&ReplicationError> {
    std::error::Error::source(error)?.downcast_ref()
}
