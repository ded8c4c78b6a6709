//! Answers restore-wal: hands out the segments that were fetched.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use swiftwal_postgres::SegmentName;
use tokio::time::{Instant, sleep};

use super::Shared;
use crate::{
    local::content::Fingerprint,
    restore_wal::{
        messages::{Action, Answer, Connection, Request},
        window::Slot,
    },
};

/// How often it answers a process that waits for a segment that this is still arriving.
pub(super) const REASSURANCE: Duration = Duration::from_millis(500);
/// How long nothing of a segment may arrive before a process that waits for it gets the answer to fetch it itself.
pub(super) const STALLED: Duration = Duration::from_secs(5);
/// How long a process may take to send its request.
const REQUEST: Duration = Duration::from_secs(2);
/// How long a process may take to move a segment to its place, or to copy it to another file system.
const TAKING: Duration = Duration::from_secs(120);

/// Answers one process.
pub(super) async fn serve(shared: Arc<Shared>, mut connection: Connection) {
    // A process that has gone away gets no answer.
    let Ok(Request { configuration, action }) = connection.receive(REQUEST).await else { return };
    if configuration != shared.spool.configuration() {
        shared.is_outdated.store(true, Ordering::Relaxed);
        drop(connection.send(&Answer::Absent).await);
        return;
    }
    match action {
        Action::Take(name) => drop(hand_over(&shared, &mut connection, name).await),
        Action::Delivered(name) => {
            shared.window().deliver(name);
            shared.note_delivery();
            drop(connection.send(&Answer::Noted).await);
        }
    }
}

/// Answers a process that wants a segment, and removes that from the spool when the process has taken it.
async fn hand_over(shared: &Shared, connection: &mut Connection, name: SegmentName) -> io::Result<()> {
    shared.window().begin_wait();
    let arrived = arrival(shared, connection, name).await;
    shared.window().end_wait();
    let Some(fingerprint) = arrived? else { return connection.send(&Answer::Absent).await };
    shared.note_delivery();
    let sent = connection.send(&Answer::Ready(fingerprint)).await;
    if sent.is_ok() {
        connection.closed(TAKING).await;
    }
    shared.remove(name);
    shared.window().release(name);
    sent
}

/// Returns the file of a segment when it is complete. None if the segment isn't there and isn't being fetched, or if
/// nothing of it arrives. Fails if the process has gone away.
async fn arrival(
    shared: &Shared,
    connection: &mut Connection,
    name: SegmentName,
) -> io::Result<Option<Fingerprint>> {
    let mut arrived = (0, Instant::now());
    loop {
        let changed = shared.changed.notified();
        let slot = shared.window().take(name);
        match slot {
            Some(Slot::Ready(fingerprint, _)) => {
                shared.stalls.store(0, Ordering::Relaxed);
                return Ok(Some(fingerprint));
            }
            Some(Slot::Fetching(progress)) => {
                let bytes = progress.get();
                if bytes != arrived.0 {
                    arrived = (bytes, Instant::now());
                } else if arrived.1.elapsed() >= STALLED {
                    shared.stalls.fetch_add(1, Ordering::Relaxed);
                    return Ok(None);
                }
                connection.send(&Answer::Wait(bytes)).await?;
                tokio::select! {
                    () = changed => {}
                    () = sleep(REASSURANCE) => {}
                }
            }
            Some(Slot::HandedOut) | None => return Ok(None),
        }
    }
}
