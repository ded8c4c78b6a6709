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
//! - **Nothing is lost with the process.** A segment gets its name in the spool when all of it is on the disk, and leaves the
//!   spool when it is stored. What an earlier process left there is used.
//! - **Neither a storage nor a server that is away ends it**: WAL goes into the spool until that is full, and it connects
//!   again. Only its start needs the storage, to learn where to begin. The server's shutdown isn't kept waiting: what there is of the current segment is stored and reported.
//!
//! It ends when it is asked to, or by an error that no retry can mend: another cluster, or different content under the name
//! of a segment.

mod frontier;
mod gap;
mod pause;
mod positions;
mod receiver;
mod spool;
mod storing;
mod streaming;

use std::{path::PathBuf, time::Duration};

use swiftwal_compression::Codec;
use swiftwal_postgres::Connector;

use self::{pause::may_pass, positions::Positions, receiver::Receiver, spool::Spool, storing::Storing};
use crate::{error::Result, repository::Repository};

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
    stop: impl Future<Output = ()> + Send,
) -> Result<()> {
    let spool = Spool::open(&options.spool)?;
    let positions = Positions::new();
    let mut storing = Storing::new(repository, &spool, &positions, options);
    let mut receiver = Receiver::new(repository, connector, options, &spool, &positions);
    let ended = tokio::select! {
        biased;
        () = stop => Ok(()),
        Err(error) = Box::pin(receiver.run()) => Err(error),
        Err(error) = Box::pin(storing.run()) => return Err(error),
    };
    match Box::pin(storing.store_all()).await {
        Err(error) if may_pass(&error) => tracing::warn!(
            error = &error as &dyn std::error::Error,
            "stopped before everything was stored; the rest is in {}. Start receive-wal again, or run it with --drain",
            options.spool.display()
        ),
        stored => stored?,
    }
    ended
}

/// Stores what an earlier [`receive_wal`] left in the spool, without a server.
///
/// # Errors
///
/// [`Error::Refused`](crate::Error::Refused) if a process is using the spool, and those of the storage.
pub async fn drain_spool(repository: &Repository, options: &ReceiveOptions) -> Result<()> {
    let spool = Spool::open(&options.spool)?;
    let positions = Positions::new();
    Box::pin(Storing::new(repository, &spool, &positions, options).store_all()).await
}
