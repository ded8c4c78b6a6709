//! The requests that Swift and Keystone have answered, according to their logs.

use anyhow::Result;

use super::{Service, Swift};
use crate::LoggedRequest;
use crate::requests::{Mark, logged_before};

impl Swift {
    /// Returns every request that the proxy has answered so far, in the order in which the answers ended.
    ///
    /// A request whose complete answer was read before this call is included. The proxy must be running.
    pub fn requests(&self) -> Result<Vec<LoggedRequest>> {
        let mark = Mark::leave(self.port(Service::Proxy), "/info")?;
        logged_before(&mark, || self.log(Service::Proxy), parse)
    }

    /// Returns how many tokens Keystone has issued so far, to clients and to the proxy. Keystone must be running.
    pub fn tokens_given(&self) -> Result<usize> {
        let log = self.log(Service::Keystone)?;
        let given = |line: &&str| line.contains("POST /v3/auth/tokens ") && line.contains(" 201 ");
        Ok(log.lines().filter(given).count())
    }
}

/// Parses `… REQUEST SOURCE METHOD STATUS PATH`; the source `-` means a client.
fn parse(line: &str) -> Option<LoggedRequest> {
    let (_, request) = line.split_once("REQUEST - ")?;
    let mut words = request.split(' ');
    let method = words.next()?.to_owned();
    let status = words.next()?.parse().ok()?;
    Some(LoggedRequest { method, status, path: words.next()?.to_owned() })
}
