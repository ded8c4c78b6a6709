//! Whether a server's WAL is the continuation of what was received before.
//!
//! The system identifier and the timeline don't prove that: a restored copy of the server has the same ones and writes
//! other WAL. So before a stream begins, WAL that is here is received again and compared. It is the beginning of the current
//! segment if there is one (the spool compares it as it is written), and otherwise the segment before it. Where the repository or
//! the server is going to be changed before the stream, both are compared before that.

use std::io;

use swiftwal_postgres::{
    Lsn, SegmentName, SourceError, SourceErrorKind, receiving,
    replication::{ReplicationError, Session, StreamOptions, WalEvent, WalStatus, WalStream},
};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::error::{Error, Refusal, Result};

/// The length of a beginning that isn't the same by chance: a page of WAL.
pub(super) const ENOUGH_BYTES: u64 = 8 << 10;

/// The SQLSTATE of WAL or of a history that the server doesn't have any more.
const UNDEFINED_FILE: &str = "58P01";

/// A segment in the spool or in the repository, or the beginning of one in the spool.
pub(super) struct Ours<'a> {
    pub(super) segment: SegmentName,
    /// Whether it is a beginning: a crash of the machine may have left zeros in it.
    pub(super) is_beginning: bool,
    pub(super) content: Box<dyn AsyncRead + Send + Unpin + 'a>,
    /// The error for one of reading the content.
    pub(super) failed: Box<dyn FnOnce(io::Error) -> Error + Send + Sync + 'a>,
}

/// Receives a segment, from the start of `options` up to `end`, and compares it with the one that is here. Returns the
/// session, ready for another command; none if it is lost, because the server has removed the segment or a later one. If
/// they can't be compared, that is said.
///
/// # Errors
///
/// [`Refusal::AnotherWal`] if they differ.
pub(super) async fn compare(
    session: Session,
    options: &StreamOptions,
    end: Lsn,
    mut ours: Ours<'_>,
) -> Result<Option<Session>> {
    let segment = ours.segment;
    let removed = || {
        tracing::info!(
            "the server has removed {segment}, so it isn't known whether its WAL continues what is stored"
        );
        Ok(None)
    };
    let mut stream = match WalStream::start(session, options).await {
        Err(error) if is_removed(&error) => return removed(),
        started => started.map_err(receiving)?,
    };
    let reporter = stream.reporter();
    let (mut at, mut expected) = (options.start, Vec::new());
    while at < end {
        let wal = match stream.next().await {
            Ok(Some(WalEvent::Wal(wal))) => wal,
            // Without a slot, the server only wants to know that somebody is there.
            Ok(Some(WalEvent::Keepalive { wants_report: true, .. })) => {
                reporter.report(WalStatus::default()).await.map_err(receiving)?;
                continue;
            }
            Ok(Some(WalEvent::Keepalive { .. })) => continue,
            // A standby has begun to follow another timeline meanwhile.
            Ok(_) => return Err(another_server()),
            Err(error) if is_removed(&error) => return removed(),
            Err(error) => return Err(receiving(error).into()),
        };
        let wanted = usize::try_from(end.0 - at.0).unwrap_or(usize::MAX);
        let found = &wal.data[..wal.data.len().min(wanted)];
        expected.resize(found.len(), 0);
        if let Err(error) = ours.content.read_exact(&mut expected).await {
            let error = (ours.failed)(error);
            if !matches!(error, Error::Damaged { .. }) {
                return Err(error);
            }
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "it isn't known whether the server's WAL is the continuation of {segment}"
            );
            return Ok(None);
        }
        let differs =
            |(expected, found): (&u8, &u8)| expected != found && !(ours.is_beginning && *expected == 0);
        if let Some(differs) = expected.iter().zip(found).position(differs) {
            let at = Lsn(at.0 + differs as u64);
            return Err(Refusal::AnotherWal { segment, at }.into());
        }
        at = Lsn(at.0 + found.len() as u64);
    }
    match stream.stop().await {
        // It has gone on to a later segment.
        Err(error) if is_removed(&error) => Ok(None),
        session => Ok(Some(session.map_err(receiving)?)),
    }
}

/// Whether the server has removed what it was asked for.
pub(super) fn is_removed(error: &ReplicationError) -> bool {
    error.code() == Some(UNDEFINED_FILE)
}

/// The error for a server that isn't the one that was there a moment before.
pub(super) fn another_server() -> Error {
    let problem = "another server took the place of this one";
    SourceError::new(SourceErrorKind::Unavailable, problem).into()
}
