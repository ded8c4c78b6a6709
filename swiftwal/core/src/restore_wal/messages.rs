//! The messages between restore-wal and a prefetcher: one line of JSON each. A process of another version, which sends
//! something else, counts as one that doesn't answer.

use std::{io, time::Duration};

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
    /// The segment is being fetched, and some of it has arrived lately. Another answer follows.
    Wait,
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

    /// Returns when the other side has closed the connection, but after `limit` at the latest.
    pub(super) async fn closed(&mut self, limit: Duration) {
        // Nothing more is sent, so whatever arrives is the end.
        drop(timeout(limit, self.stream.fill_buf()).await);
    }
}
