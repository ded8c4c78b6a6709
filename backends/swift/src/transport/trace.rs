//! Logs requests for `-vv`, one line each.

use http::{HeaderMap, Method, StatusCode};
use tokio::time::Instant;
use url::Url;

use super::Broken;

/// The headers with the id of a request in the logs of Swift, Ceph and Keystone.
const IDS: [&str; 3] = ["x-trans-id", "x-openstack-request-id", "x-amz-request-id"];

/// One request, logged when its response begins. Headers are left out since they contain the token.
pub(super) struct Trace {
    method: Method,
    url: Url,
    sent: Instant,
}

impl Trace {
    pub(super) fn new(method: &Method, url: &Url) -> Self {
        Self { method: method.clone(), url: url.clone(), sent: Instant::now() }
    }

    pub(super) fn answered(&self, status: StatusCode, headers: &HeaderMap) {
        let id = IDS.iter().find_map(|name| headers.get(*name)?.to_str().ok());
        let id = id.map(|id| format!(", {id}")).unwrap_or_default();
        tracing::debug!("{}: {}{id}, {} ms", self.request(), status.as_u16(), self.elapsed());
    }

    pub(super) fn failed(&self, broken: &Broken) {
        tracing::debug!("{}: {broken}, {} ms", self.request(), self.elapsed());
    }

    fn request(&self) -> String {
        let query = self.url.query().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{} {}{query}", self.method, self.url.path())
    }

    fn elapsed(&self) -> u128 {
        self.sent.elapsed().as_millis()
    }
}
