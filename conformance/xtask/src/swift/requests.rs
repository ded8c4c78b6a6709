use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, ensure};

use super::{Service, Swift};
use crate::{http, until};

/// A request of a client, as the proxy logged it. What the proxy asks itself, for the segments of a large object
/// or the deletions of a bulk delete, is not among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedRequest {
    /// `GET`, `PUT`, ….
    pub method: String,
    /// As the client saw it; 499 if the client left first.
    pub status: u16,
    /// Path and query as they are logged: `/v1/AUTH_test/container/object`, percent-encoded.
    pub path: String,
}

impl Swift {
    /// Every request that the proxy has answered so far, in the order in which the answers ended.
    ///
    /// A request whose whole answer was read before the call is among them. The proxy must be up.
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

    /// How many tokens Keystone has given so far, to clients and to the proxy. Keystone must be there.
    pub fn tokens_given(&self) -> Result<usize> {
        let log = self.log(Service::Keystone)?;
        let given = |line: &&str| line.contains("POST /v3/auth/tokens ") && line.contains(" 201 ");
        Ok(log.lines().filter(given).count())
    }

    /// Makes a request that the log can't hold yet; what to look for.
    fn mark(&self) -> Result<String> {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let mark = format!("{MARK}-{}-", LAST.fetch_add(1, Ordering::Relaxed));
        let status = http::get(self.port(Service::Proxy), &format!("/info?{mark}"))?;
        ensure!(status == 200, "the proxy answered /info with {status}");
        Ok(mark)
    }
}

const MARK: &str = "xtask-mark";

/// Reads `… REQUEST SOURCE METHOD STATUS PATH`, with the source `-` for a client.
fn parse(line: &str) -> Option<LoggedRequest> {
    let (_, request) = line.split_once("REQUEST - ")?;
    let mut words = request.split(' ');
    let method = words.next()?.to_owned();
    let status = words.next()?.parse().ok()?;
    Some(LoggedRequest { method, status, path: words.next()?.to_owned() })
}
