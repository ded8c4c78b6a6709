//! The requests that the gateway has answered, according to its log.

use anyhow::Result;

use super::{Ceph, CephServer};
use crate::LoggedRequest;
use crate::requests::{Mark, logged_before};

impl Ceph {
    /// Returns every request that the gateway has answered so far, in the order in which the answers ended, including
    /// those for tokens.
    ///
    /// A request whose complete answer was read before this call is included. The gateway must be running.
    pub fn requests(&self) -> Result<Vec<LoggedRequest>> {
        let mark = Mark::leave(self.ports.gateway, "/swift/info")?;
        logged_before(&mark, || self.log(CephServer::Gateway), parse)
    }
}

/// Parses `… beast: … "METHOD PATH HTTP/1.1" STATUS …`.
fn parse(line: &str) -> Option<LoggedRequest> {
    let (_, request) = line.split_once(" beast: ")?;
    let (_, request) = request.split_once(" \"")?;
    let (request, rest) = request.split_once("\" ")?;
    let mut words = request.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    Some(LoggedRequest { method, status: rest.split(' ').next()?.parse().ok()?, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_from_the_line_that_ends_it() {
        let line = r#"2026-11-29T07:08:22.970+0000 7f85dcfb16c0  1 beast: 0x7f86601386e0: 127.0.0.1 - backups
            [29/Nov/2026:07:08:22.970 +0000] "PUT /swift/v1/box/a%20b?x=y HTTP/1.1" 201 434 - "curl/7.88.1" -"#;
        let expected = LoggedRequest {
            method: "PUT".to_owned(),
            status: 201,
            path: "/swift/v1/box/a%20b?x=y".to_owned(),
        };
        assert_eq!(parse(&line.replace("\n           ", "")), Some(expected));
        assert_eq!(parse("2026-11-29T07:08:22.970+0000 7f85dcfb16c0  1 ====== starting new request"), None);
    }
}
