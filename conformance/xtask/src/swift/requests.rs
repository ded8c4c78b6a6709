//! The requests that Swift and Keystone have answered, according to their logs.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, ensure};

use super::{Service, Swift};
use crate::{http, until};

/// A client's request in the proxy's log. The proxy's own requests, for the segments of a large object or for a bulk
/// deletion, aren't included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedRequest {
    /// `GET`, `PUT`, ….
    pub method: String,
    /// As the client saw it; 499 if the client disconnected first.
    pub status: u16,
    /// Path and query as in the log: `/v1/AUTH_test/container/object`, percent-encoded.
    pub path: String,
}

impl Swift {
    /// Returns every request that the proxy has answered so far, in the order in which the answers ended.
    ///
    /// A request whose complete answer was read before this call is included. The proxy must be running.
    pub fn requests(&self) -> Result<Vec<LoggedRequest>> {
        let mark = self.mark()?;
        let mut log = String::new();
        until("the proxy's log is written", || {
            log = self.log(Service::Proxy)?;
            Ok(log.contains(&mark))
        })?;
        let before = log.lines().take_while(|line| !line.contains(&mark));
        Ok(before.filter_map(parse).filter(|request| !request.path.contains(MARK)).collect())
    }

    /// Returns how many tokens Keystone has issued so far, to clients and to the proxy. Keystone must be running.
    pub fn tokens_given(&self) -> Result<usize> {
        let log = self.log(Service::Keystone)?;
        let given = |line: &&str| line.contains("POST /v3/auth/tokens ") && line.contains(" 201 ");
        Ok(log.lines().filter(given).count())
    }

    /// Sends a request that isn't in the log yet, and returns the text by which to find it there.
    fn mark(&self) -> Result<String> {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let mark = format!("{MARK}-{}-", LAST.fetch_add(1, Ordering::Relaxed));
        let status = http::get(self.port(Service::Proxy), &format!("/info?{mark}"))?;
        ensure!(status == 200, "the proxy answered /info with {status}");
        Ok(mark)
    }
}

const MARK: &str = "xtask-mark";

/// Parses `… REQUEST SOURCE METHOD STATUS PATH`; the source `-` means a client.
fn parse(line: &str) -> Option<LoggedRequest> {
    let (_, request) = line.split_once("REQUEST - ")?;
    let mut words = request.split(' ');
    let method = words.next()?.to_owned();
    let status = words.next()?.parse().ok()?;
    Some(LoggedRequest { method, status, path: words.next()?.to_owned() })
}
