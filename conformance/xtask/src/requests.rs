//! Reads the requests that a server has answered from its log.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, ensure};

use crate::{http, until};

/// A client's request in the log of Swift's proxy or of Ceph's gateway. The proxy's own requests, for the segments of a
/// large object or for a bulk deletion, aren't included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedRequest {
    /// `GET`, `PUT`, ….
    pub method: String,
    /// As the client saw it; Swift logs 499 if the client disconnected first.
    pub status: u16,
    /// Path and query as in the log: `/v1/AUTH_test/container/object`, percent-encoded.
    pub path: String,
}

const MARK: &str = "xtask-mark";

/// A request that was sent to find the end of the earlier ones in the log.
pub(crate) struct Mark(String);

impl Mark {
    /// Sends it: a request for the server's `/info`, which is at this path.
    pub(crate) fn leave(port: u16, info: &str) -> Result<Self> {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let mark = format!("{MARK}-{}-", LAST.fetch_add(1, Ordering::Relaxed));
        let status = http::get(port, &format!("{info}?{mark}"))?;
        ensure!(status == 200, "port {port} answered {info} with {status}");
        Ok(Self(mark))
    }
}

/// Returns the requests in the log before the mark, without other marks, as soon as the mark is in the log.
pub(crate) fn logged_before(
    Mark(mark): &Mark,
    log: impl Fn() -> Result<String>,
    parse: fn(&str) -> Option<LoggedRequest>,
) -> Result<Vec<LoggedRequest>> {
    let mut text = String::new();
    until("the log is written", || {
        text = log()?;
        Ok(text.contains(mark))
    })?;
    let before = text.lines().take_while(|line| !line.contains(mark));
    Ok(before.filter_map(parse).filter(|request| !request.path.contains(MARK)).collect())
}
