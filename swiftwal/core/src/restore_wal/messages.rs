//! The messages between restore-wal and a prefetcher: one line of JSON each. A process of another version, which sends
//! something else, counts as one that doesn't answer.

use std::{io, time::Duration};

use rustix::{
    io::Errno,
    net::{RecvFlags, recv},
    process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use swiftwal_postgres::SegmentName;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    time::timeout,
};

use crate::local::content::Fingerprint;

/// More than a message has.
const MOST_BYTES: u64 = 4096;

/// What restore-wal sends, once on each connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// The configuration of its storage. A prefetcher with another one may have other segments of these names.
    pub(super) configuration: String,
    pub(super) action: Action,
}

/// What restore-wal does.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Action {
    /// It wants this segment.
    Take(SegmentName),
    /// It has fetched this segment itself.
    Delivered(SegmentName),
}

/// What a prefetcher answers.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// The segment is in the spool, and is this file there. It is removed when the connection is closed.
    Ready(Fingerprint),
    /// The segment is being fetched, and some of it has arrived lately: that many bytes so far. Another answer follows.
    Wait(u64),
    /// It isn't there, and isn't being fetched.
    Absent,
    /// It goes on after the segment of [`Action::Delivered`].
    Noted,
}

/// A connection between the two.
#[derive(Debug)]
pub(super) struct Connection {
    stream: BufReader<UnixStream>,
}

impl Connection {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    pub(super) async fn send(&mut self, message: &(impl Serialize + Sync)) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line).await
    }

    /// Returns the next message; fails if there is none within `limit`.
    pub(super) async fn receive<M: DeserializeOwned>(&mut self, limit: Duration) -> io::Result<M> {
        let mut line = String::new();
        let mut limited = (&mut self.stream).take(MOST_BYTES);
        timeout(limit, limited.read_line(&mut line)).await??;
        Ok(serde_json::from_str(&line)?)
    }

    /// Kills the process that listens at the other end, if it is alive and has nothing more to say. Does nothing if that is
    /// this process.
    ///
    /// # Errors
    ///
    /// Those of the system, which may be too old for it.
    pub(super) fn kill_listener(&self) -> io::Result<()> {
        let stream = self.stream.get_ref();
        // Unknown if it runs in another container.
        let pid = stream.peer_cred()?.pid().and_then(Pid::from_raw);
        let Some(pid) = pid.filter(|pid| *pid != getpid()) else { return Ok(()) };
        let process = pidfd_open(pid, PidfdFlags::empty())?;
        // The kernel closes the connection of a dead process. So it was alive when `process` was opened, and the number was
        // its own.
        if recv(stream, &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT) == Err(Errno::AGAIN) {
            pidfd_send_signal(process, Signal::KILL)?;
        }
        Ok(())
    }

    /// Returns when the other side has closed the connection, but after `limit` at the latest.
    pub(super) async fn closed(&mut self, limit: Duration) {
        // Nothing more is sent, so whatever arrives is the end.
        drop(timeout(limit, self.stream.fill_buf()).await);
    }
}
