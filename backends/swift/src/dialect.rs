//! What a cluster can do. Swift and the servers that speak its API, above all Ceph's radosgw, differ; this module is the
//! one place that knows how, and the operations ask it.
//!
//! | capability | Swift | radosgw 16 | learned from |
//! |---|---|---|---|
//! | fills the pages of a listing | yes | no: only an empty page is the last | the `X-Trans-Id` of the page |
//! | keeps an existing object (`If-None-Match: *`) | yes | no | `X-Trans-Id`; for other servers the probe |
//! | manifests may name manifests | yes | no | `X-Trans-Id` |
//! | shows in a listing which objects are large | yes | no | `X-Trans-Id` |
//! | returns manifests | yes | no: 200 with an empty body | the first answer |
//! | limits of sizes and numbers | | | `/info` |
//!
//! Both write `X-Trans-Id` into every answer, in forms that differ (see [`Server`]). A server that can't be recognised,
//! for example behind a proxy that removes headers, is treated as if it had none of the capabilities: that costs
//! requests, and nothing else depends on it. The probe stores an object twice, under a name of its own among the
//! segments: a server that keeps existing objects refuses the second time with 412. It is made once, after the first
//! create-only write to a server that isn't Swift.
//!
//! The rest needs no knowledge, since one way is right on all servers: no `ETag` is sent with a manifest, and the tag in
//! the answer is compared; a broken-off read is resumed without `If-Match`, and the tag in the answer is compared; and a
//! listed object with the MD5 of nothing may be a large object of any kind, so that the object itself is requested.
//!
//! What is learned is kept for a day in the directory of the token cache, if there is one (see [`Cache`]), and logged
//! with `-vv`. An answer that contradicts it, because the account has moved to another kind of server, or a limit isn't
//! the one that `/info` gave, makes the client forget it and learn it again.

mod cache;
mod info;
mod known;
pub(crate) mod server;

use std::sync::{Mutex, MutexGuard, PoisonError};

use http::HeaderMap;

use self::{cache::Cache, known::Known};
pub(crate) use self::{
    info::{Info, TempUrl},
    server::Server,
};
use crate::{
    clock,
    config::{Config, ConfigError},
};

/// What one cluster can do, as far as that is known.
#[derive(Debug)]
pub(crate) struct Dialect {
    known: Mutex<Known>,
    cache: Option<Cache>,
}

impl Dialect {
    /// Reads what other processes have learned about the same account. No request is sent.
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigError> {
        let cache = match &config.token_cache {
            Some(directory) => Some(Cache::new(directory.clone(), &config.fingerprint()?)),
            None => None,
        };
        let kept = cache.as_ref().and_then(Cache::load).filter(|known| known.is_recent(clock::now()));
        let known = kept.map(|known| Known { is_stale: true, ..known }).unwrap_or_default();
        if known.since.is_some() {
            tracing::debug!("what the cluster can do, as learned before: {known}");
        }
        Ok(Self { known: Mutex::new(known), cache })
    }

    /// Learns from the headers of an answer which kind of server has sent it.
    pub(crate) fn note(&self, headers: &HeaderMap) {
        let Some(server) = Server::of(headers) else { return };
        let mut known = self.known();
        match known.server {
            Some(same) if same == server => return,
            Some(_) => *known = Known::default(),
            None => {}
        }
        known.server = Some(server);
        self.keep(&mut known);
    }

    /// Whether a PUT with `If-None-Match: *` never replaces an object that exists. None if that isn't known.
    pub(crate) fn keeps_existing(&self) -> Option<bool> {
        let known = self.known();
        if known.server == Some(Server::Swift) { Some(true) } else { known.keeps_existing }
    }

    pub(crate) fn learn_keeps_existing(&self, keeps_existing: bool) {
        let mut known = self.known();
        known.keeps_existing = Some(keeps_existing);
        self.keep(&mut known);
    }

    /// Whether the segments of a large object may be large objects themselves. None if that isn't known.
    pub(crate) fn nests_manifests(&self) -> Option<bool> {
        self.known().server.map(|server| server == Server::Swift)
    }

    /// Whether a listing shows which objects are static large ones.
    pub(crate) fn lists_manifests(&self) -> bool {
        self.known().server == Some(Server::Swift)
    }

    /// Whether the server returns the manifest of a static large object. None if that isn't known.
    pub(crate) fn returns_manifests(&self) -> Option<bool> {
        self.known().returns_manifests
    }

    pub(crate) fn learn_returns_manifests(&self, returns_manifests: bool) {
        let mut known = self.known();
        if known.returns_manifests != Some(returns_manifests) {
            known.returns_manifests = Some(returns_manifests);
            self.keep(&mut known);
        }
    }

    /// Returns the limits, if they are known.
    pub(crate) fn info(&self) -> Option<Info> {
        let known = self.known();
        known.info.as_ref().or(known.assumed.as_ref()).cloned()
    }

    pub(crate) fn learn_info(&self, info: Info) {
        let mut known = self.known();
        known.info = Some(info);
        known.warned_of_limits = false;
        known.is_stale = false;
        self.keep(&mut known);
    }

    /// Uses these limits until the end of the process, or until an answer contradicts them: the cluster gives none.
    pub(crate) fn assume_info(&self, info: Info) {
        self.known().assumed = Some(info);
    }

    /// Returns whether to warn that the cluster gives no limits, and notes it: other processes don't repeat the warning
    /// for a day at most.
    pub(crate) fn warns_of_limits(&self) -> bool {
        let mut known = self.known();
        let is_due = !std::mem::replace(&mut known.warned_of_limits, true);
        if is_due {
            self.keep(&mut known);
        }
        is_due
    }

    /// Forgets limits that an answer has contradicted, unless the cluster has given them to this process.
    pub(crate) fn doubt_info(&self) {
        let mut known = self.known();
        known.assumed = None;
        if std::mem::take(&mut known.is_stale) {
            known.info = None;
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // A panic elsewhere leaves it valid.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, known: &mut Known) {
        known.since.get_or_insert_with(clock::now);
        let Known { server, keeps_existing, returns_manifests, .. } = known;
        let limits = known.info.is_some();
        tracing::debug!(
            ?server,
            ?keeps_existing,
            ?returns_manifests,
            limits,
            "learned what the cluster can do"
        );
        if let Some(cache) = &self.cache {
            cache.store(known);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn dialect(cache: Option<Cache>) -> Dialect {
        let known = cache.as_ref().and_then(Cache::load).map(|known| Known { is_stale: true, ..known });
        Dialect { known: Mutex::new(known.unwrap_or_default()), cache }
    }

    fn headers(trans_id: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(server::TRANS_ID, HeaderValue::from_static(trans_id))])
    }

    #[test]
    fn what_one_process_has_learned_the_next_one_knows() {
        let root = tempfile::tempdir().unwrap();
        let cache = || Some(Cache::new(root.path().join("tokens"), "a"));
        let first = dialect(cache());
        first.note(&headers(server::RADOSGW));
        first.learn_keeps_existing(false);
        first.learn_info(Info { max_file_size: 7, ..Info::default() });
        let next = dialect(cache());
        assert_eq!((next.keeps_existing(), next.nests_manifests()), (Some(false), Some(false)));
        assert_eq!(next.info().unwrap().max_file_size, 7);
    }

    #[test]
    fn an_answer_of_another_kind_of_server_makes_it_forget_everything() {
        let dialect = dialect(None);
        dialect.note(&headers(server::RADOSGW));
        dialect.learn_returns_manifests(false);
        dialect.note(&headers(server::SWIFT));
        assert_eq!((dialect.keeps_existing(), dialect.returns_manifests()), (Some(true), None));
        dialect.note(&HeaderMap::new());
        assert_eq!(dialect.keeps_existing(), Some(true));
    }

    #[test]
    fn nothing_is_assumed_of_a_server_that_is_not_recognised() {
        let dialect = dialect(None);
        dialect.note(&headers("7"));
        assert_eq!((dialect.keeps_existing(), dialect.nests_manifests()), (None, None));
        assert!(!dialect.lists_manifests());
    }

    #[test]
    fn limits_of_another_process_are_doubted_and_own_ones_are_not() {
        let dialect = dialect(None);
        dialect.assume_info(Info::default());
        dialect.doubt_info();
        assert_eq!(dialect.info(), None);
        dialect.learn_info(Info::default());
        dialect.doubt_info();
        assert!(dialect.info().is_some());
    }

    #[test]
    fn a_warning_of_missing_limits_is_due_once_for_all_processes_until_they_are_given() {
        let root = tempfile::tempdir().unwrap();
        let cache = || Some(Cache::new(root.path().join("tokens"), "a"));
        assert!(dialect(cache()).warns_of_limits());
        let next = dialect(cache());
        assert!(!next.warns_of_limits());
        next.learn_info(Info::default());
        assert!(dialect(cache()).warns_of_limits());
        assert!(
            dialect(None).warns_of_limits() && dialect(None).warns_of_limits(),
            "nothing can be remembered"
        );
    }
}
