//! receive-wal: receives a server's WAL over the replication protocol, and stores each segment as it completes.
//!
//! One process receives for one repository, for as long as it isn't stopped. The program's subcommand calls it; it may run
//! beside archive-wal, since both store by the same function, which compares what is stored already.
//!
//! What it promises:
//!
//! - **Two levels of durability.** WAL is reported as written when it is on the local disk, in the spool, and as flushed and
//!   applied only when the repository has it durably. So the server keeps
//!   everything that isn't stored, and a commit that waits for `remote_write` survives the loss of the server, as long as the spool remains.
//! - **No gap.** It begins where the WAL of the server's past ends in the repository or the spool, at the start of a segment,
//!   and every byte follows the one before. WAL that the server has removed is named in a warning.
//! - **One lineage.** A server that has the same system identifier and timeline, but another history or other WAL, is refused.
//! - **Nothing is lost with the process.** A segment gets its name in the spool when all of it is on the disk, and leaves the
//!   spool when it is stored. What an earlier process left there is used.
//! - **Neither a storage nor a server that is away ends it**: WAL goes into the spool until that is full, and it connects
//!   again. Only its start needs the storage, to learn where to begin. The server's shutdown isn't kept waiting: what there is of the current segment is stored and reported.
//!
//! It ends when it is asked to, or by an error that no retry can mend: another cluster, another lineage, or different content
//! under the name of a segment.

mod continuity;
mod frontier;
mod gap;
mod pause;
mod positions;
mod receiver;
mod spool;
mod storing;
mod streaming;

use std::{convert::Infallible, fmt, future, path::PathBuf, time::Duration};

use swiftwal_compression::Codec;
use swiftwal_postgres::Connector;
use tokio::time::{Instant, sleep_until};

pub use self::positions::Activity;
use self::{
    pause::{NEVER, may_pass},
    positions::Positions,
    receiver::Receiver,
    spool::Spool,
    storing::Storing,
};
use crate::{
    error::{Error, Result},
    repository::Repository,
};

/// The options of receiving WAL.
#[derive(Clone, Debug)]
pub struct ReceiveOptions {
    /// The physical replication slot.
    pub slot: String,
    /// Whether the slot is created if it doesn't exist.
    pub create_slot: bool,
    /// The directory of the spool.
    pub spool: PathBuf,
    /// How large the spool may become, in bytes: at least two segments.
    pub spool_bytes: u64,
    /// How often the beginning of the current segment is stored; zero for only at the end, and when the server shuts down.
    pub partial_interval: Duration,
    /// Whether the server may be a standby.
    pub allow_standby: bool,
    /// The compression of the segments.
    pub codec: Codec,
}

impl ReceiveOptions {
    /// Returns the message of a receiver that ends before everything is stored.
    #[must_use]
    pub fn rest_in_spool(&self) -> String {
        format!(
            "stopped before everything was stored; the rest is in {}. Start receive-wal again, or run it with --drain",
            self.spool.display()
        )
    }
}

/// A supervisor of the process, such as systemd.
pub trait Supervisor: fmt::Debug + Sync {
    /// How often [`alive`](Self::alive) is to be called. None for never.
    fn alive_interval(&self) -> Option<Duration>;
    /// The process goes on.
    fn alive(&self);
    /// What the process does now.
    fn activity(&self, activity: &Activity);
}

/// Receives the WAL of the server that `connector` finds, until `stop` resolves; then stores what is in the spool, and
/// returns.
///
/// # Errors
///
/// [`Error::Source`](crate::Error::Source) if the first connection is refused,
/// [`Error::Refused`](crate::Error::Refused) for another cluster or a spool in use, and what can't be stored although the
/// storage answers. What isn't stored remains in the spool.
pub async fn receive_wal(
    repository: &Repository,
    connector: &Connector,
    options: &ReceiveOptions,
    supervisor: &dyn Supervisor,
    stop: impl Future<Output = ()> + Send,
) -> Result<()> {
    let spool = Spool::open(&options.spool)?;
    // The server sends them again, if it still has them.
    spool.put_damaged_aside().await?;
    let positions = Positions::new();
    let mut storing = Storing::new(repository, &spool, &positions, options);
    let mut receiver = Receiver::new(repository, connector, options, &spool, &positions);
    let ended = tokio::select! {
        biased;
        () = stop => Ok(()),
        Err(error) = Box::pin(receiver.run()) => Err(error),
        Err(error) = Box::pin(storing.run()) => return Err(error),
        never = supervise(&positions, &spool, supervisor) => match never {},
    };
    if let Err(error) = &ended {
        tracing::warn!(
            error = error as &dyn std::error::Error,
            "no more WAL is received. What is in the spool is stored first"
        );
    }
    let stored = tokio::select! {
        stored = Box::pin(storing.store_all()) => stored,
        never = supervise(&positions, &spool, supervisor) => match never {},
    };
    match stored {
        Err(error) if may_pass(&error) || ended.is_err() => {
            tracing::warn!(error = &error as &dyn std::error::Error, "{}", options.rest_in_spool())
        }
        stored => stored?,
    }
    ended
}

/// Stores what an earlier [`receive_wal`] left in the spool, without a server. Returns how many WAL files that were.
///
/// # Errors
///
/// [`Error::Refused`](crate::Error::Refused) if a process is using the spool; [`Error::Damaged`](crate::Error::Damaged) if a
/// segment was damaged, after everything else was stored; and those of the storage.
pub async fn drain_spool(repository: &Repository, options: &ReceiveOptions) -> Result<usize> {
    let spool = Spool::open(&options.spool)?;
    let damaged = spool.put_damaged_aside().await?;
    let files = spool.complete().await?.len() + spool.begun().await?.len();
    let positions = Positions::new();
    Box::pin(Storing::new(repository, &spool, &positions, options).store_all()).await?;
    match damaged.first() {
        None => Ok(files),
        Some(first) => {
            let reason = "everything in the spool is stored except the damaged segments; store them with archive-wal if a \
                          server has them";
            Err(Error::damaged(spool.path_of(*first).display(), reason))
        }
    }
}

/// Tells the supervisor what the receiver does, and that it is alive: that the task which receives and stores goes on, and
/// that the disk of the spool answers.
async fn supervise(positions: &Positions, spool: &Spool, supervisor: &dyn Supervisor) -> Infallible {
    let mut activity = positions.activity.subscribe();
    let interval = supervisor.alive_interval().unwrap_or(NEVER);
    let mut next = Instant::now() + interval;
    loop {
        let now = activity.borrow_and_update().clone();
        supervisor.activity(&now);
        loop {
            tokio::select! {
                changed = activity.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => future::pending().await,
                },
                () = sleep_until(next) => {
                    next = Instant::now() + interval;
                    if let Err(error) = spool.wait_for_disk().await {
                        // It has answered. A full disk may have room again.
                        tracing::debug!(error = &error as &dyn std::error::Error, "can't write to the spool");
                    }
                    supervisor.alive();
                }
            }
        }
    }
}
