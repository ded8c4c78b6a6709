//! The identity of the repository's cluster: reads, caches, checks and writes `cluster.json`.

use std::collections::BTreeSet;

use object_store::PutMode;
use swiftwal_compression::Format;

use crate::{
    error::{Error, Result},
    local::state_dir::StateDir,
    repository::{
        Put, Repository,
        cluster::{ClusterIdentity, ClusterInfo},
        layout::ObjectName,
        seen::SeenRepository,
    },
};

/// How often a compression is added to `cluster.json` while others overwrite it.
const FORMAT_TRIES: u32 = 5;

impl Repository {
    /// Whose repository this is; none as long as nothing of a cluster was stored.
    ///
    /// # Errors
    /// [`Error::NewerFormat`], [`Error::NotUnderstood`] and [`Error::Damaged`], apart from the storage's own.
    pub async fn cluster(&self) -> Result<Option<ClusterInfo>> {
        let found = self.read_cluster().await?;
        if let Some(info) = &found {
            self.note_seen(self.seen(), info);
        }
        Ok(found)
    }

    /// As above, without remembering it on this machine.
    async fn read_cluster(&self) -> Result<Option<ClusterInfo>> {
        let name = ObjectName::Cluster;
        let Some(bytes) = self.read(&name).await? else { return Ok(None) };
        let parsed = ClusterInfo::from_bytes(&name, &bytes);
        let _ = self.first_read.set(parsed.as_ref().ok().cloned());
        parsed.map(Some).map_err(|error| match error {
            Error::Damaged { object, reason } => Error::damaged(
                format!("{object} in {}", self.location),
                format!(
                    "{reason}; put a good copy back, or delete it: archive-wal --create and backup --create write it again"
                ),
            ),
            error => error,
        })
    }

    /// As above, without a request if it was read before: the identity never changes.
    pub(crate) async fn cluster_once(&self) -> Result<Option<ClusterInfo>> {
        match self.first_read.get() {
            Some(Some(known)) => Ok(Some(known.clone())),
            Some(None) | None => self.cluster().await,
        }
    }

    /// What this machine read within the last minutes, without a request. Only a storage whose requests take their time
    /// keeps it for that.
    pub(super) fn cluster_seen(&self) -> Option<ClusterInfo> {
        self.storage.identity_cache()?.up_to_date(self.clock.now())
    }

    /// The same as [`cluster`](Self::cluster), without a request where this machine has read one within the last minutes
    /// that `suffices`.
    pub(super) async fn cluster_unless_seen(
        &self,
        suffices: impl Fn(&ClusterInfo) -> bool + Send,
    ) -> Result<Option<ClusterInfo>> {
        match self.cluster_seen().filter(suffices) {
            Some(seen) => Ok(Some(seen)),
            None => self.cluster().await,
        }
    }

    /// Remembers on this machine what is seen now, unless that would hide that another repository was `seen` before.
    /// Returns what is remembered then.
    fn note_seen(&self, seen: Option<SeenRepository>, info: &ClusterInfo) -> Option<SeenRepository> {
        let found = info.identity.system_identifier;
        match seen {
            Some(seen) if seen.system_identifier != found => Some(seen),
            seen => self.remember(seen, info),
        }
    }

    /// Remembers on this machine what is seen now, in place of what was `seen` before.
    fn remember(&self, seen: Option<SeenRepository>, info: &ClusterInfo) -> Option<SeenRepository> {
        Some(self.storage.state_dir()?.remember(self.clock.now(), seen, info))
    }

    /// Remembers on this machine that the repository is there, after something else than `cluster.json` was read from
    /// it. Does nothing where that could cost a request each time.
    pub(crate) async fn note_read(&self) {
        let is_remembered = self.storage.state_dir().is_some() && self.storage.identity_cache().is_none();
        if is_remembered && self.first_read.get().is_none() {
            // A command that writes to it, or deletes from it, says what is wrong with it.
            drop(self.cluster_once().await);
        }
    }

    /// Whose repository this is, for a command that stores: none if it is new.
    ///
    /// # Errors
    /// As [`cluster`](Self::cluster); [`Error::NotAsSeen`] where it isn't new to this machine, and has vanished.
    pub(crate) async fn cluster_or_new(&self) -> Result<Option<ClusterInfo>> {
        let seen = self.seen();
        let found = self.cluster().await?;
        self.refuse_vanished(seen.as_ref(), found.as_ref())?;
        Ok(found)
    }

    /// What this machine saw of it last. It must be read before the storage is: a process that stores the first
    /// `cluster.json` in between would look like one that saw a repository which has vanished.
    fn seen(&self) -> Option<SeenRepository> {
        self.storage.state_dir().and_then(StateDir::seen)
    }

    fn refuse_vanished(&self, seen: Option<&SeenRepository>, found: Option<&ClusterInfo>) -> Result<()> {
        if found.is_none() && !self.anew { self.refuse_other_than_seen(seen, None) } else { Ok(()) }
    }

    /// Checks that this is a repository, and the one that this machine knows, for a command that deletes.
    ///
    /// # Errors
    /// As [`cluster`](Self::cluster); [`Error::NotAsSeen`]; [`Error::NoRepository`] where that can be told at once.
    pub(crate) async fn check_before_deleting(&self) -> Result<()> {
        let seen = self.seen();
        let found = self.cluster().await?;
        self.refuse_other_than_seen(seen.as_ref(), found.as_ref())?;
        if found.is_none() && !self.shows_ours_at_its_top().await? {
            return Err(Error::NoRepository { location: self.location.to_string() });
        }
        Ok(())
    }

    fn refuse_other_than_seen(
        &self,
        seen: Option<&SeenRepository>,
        found: Option<&ClusterInfo>,
    ) -> Result<()> {
        let found = found.map(|info| info.identity.system_identifier);
        match self.storage.state_dir().zip(seen) {
            Some((state_dir, seen)) if found != Some(seen.system_identifier) => Err(Error::NotAsSeen {
                location: self.location.to_string(),
                date: seen.date(),
                expected: seen.system_identifier,
                found,
                state: state_dir.path().to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// As [`cluster`](Self::cluster), for a command that goes on where `cluster.json` can't be read: the inner error is the
    /// reason.
    ///
    /// # Errors
    /// [`Error::NewerFormat`] and [`Error::NotUnderstood`]: the repository demands more than this program knows.
    pub async fn cluster_if_readable(&self) -> Result<Result<Option<ClusterInfo>>> {
        refuse_unknown(self.cluster().await)
    }

    /// As above, without a request where this machine read `cluster.json` within the last minutes, for a command that
    /// doesn't need what it says.
    ///
    /// # Errors
    /// [`Error::NewerFormat`], [`Error::NotUnderstood`].
    pub async fn refuse_unknown_unless_seen(&self) -> Result<()> {
        refuse_unknown(self.cluster_unless_seen(|_| true).await).map(drop)
    }

    /// Checks that the repository belongs to the cluster `identity`, or claims it if it belongs to none yet, and
    /// sees to it that `cluster.json` names `format`. Returns every compression that a WAL file here may have.
    ///
    /// A file that doesn't tell whose it is comes without identity: it is taken on trust.
    ///
    /// # Errors
    /// [`Error::Refused`] where the repository belongs to another cluster; [`Error::NotAsSeen`].
    pub(crate) async fn claim(
        &self,
        identity: Option<&ClusterIdentity>,
        format: Option<Format>,
    ) -> Result<BTreeSet<Format>> {
        self.claim_unless(|_| false, identity, format).await
    }

    /// As above, without a request if this machine saw a moment ago that nothing is to be done.
    pub(crate) async fn claim_unless_seen(
        &self,
        identity: Option<&ClusterIdentity>,
        format: Format,
    ) -> Result<BTreeSet<Format>> {
        let fits = |seen: &ClusterInfo| {
            let is_ours = identity.is_none_or(|identity| seen.check(identity, &self.location).is_ok());
            // In several compressions, the file is looked for in the others, and Swift only proves an absence without its
            // container servers right after it has given something of the container: so cluster.json is read.
            is_ours && seen.wal_formats.iter().eq([&format])
        };
        self.claim_unless(fits, identity, Some(format)).await
    }

    /// Reads what this machine remembers once, and `cluster.json` unless that `suffices`.
    async fn claim_unless(
        &self,
        suffices: impl Fn(&ClusterInfo) -> bool + Send,
        identity: Option<&ClusterIdentity>,
        format: Option<Format>,
    ) -> Result<BTreeSet<Format>> {
        let seen = self.seen();
        let up_to_date = seen.as_ref().and_then(|seen| seen.up_to_date(self.clock.now()));
        let cached =
            up_to_date.filter(|_| self.storage.identity_cache().is_some()).filter(|seen| suffices(seen));
        let (found, remembered) = match cached {
            Some(cached) => (Some(cached.clone()), seen.clone()),
            None => {
                let found = self.read_cluster().await?;
                let remembered = match &found {
                    Some(info) => self.note_seen(seen.clone(), info),
                    None => seen.clone(),
                };
                (found, remembered)
            }
        };
        let known = self.claim_found(seen.as_ref(), found, identity, format).await?;
        let Some(known) = known else { return Ok(Format::ALL.into()) };
        self.remember(remembered, &known);
        Ok(known.wal_formats)
    }

    /// Checks or claims what was `found`. None if it stays unknown whose repository this is.
    async fn claim_found(
        &self,
        seen: Option<&SeenRepository>,
        found: Option<ClusterInfo>,
        identity: Option<&ClusterIdentity>,
        format: Option<Format>,
    ) -> Result<Option<ClusterInfo>> {
        self.refuse_vanished(seen, found.as_ref())?;
        let known = match (found, identity) {
            (Some(known), _) => known,
            (None, None) => return Ok(None),
            (None, Some(identity)) => self.found(identity, format).await?,
        };
        match identity {
            Some(identity) => known.check(identity, &self.location)?,
            None if self.anew => {}
            None => self.refuse_other_than_seen(seen, Some(&known))?,
        }
        match format {
            Some(format) if !known.wal_formats.contains(&format) => {
                self.add_format(known, format).await.map(Some)
            }
            _ => Ok(Some(known)),
        }
    }

    /// Adds a compression to `cluster.json`. Another process may overwrite it at the same time, so it checks again, a few
    /// times. A format that is lost all the same costs an archive-wal its look for the same file in that format.
    async fn add_format(&self, mut known: ClusterInfo, format: Format) -> Result<ClusterInfo> {
        for _ in 0..FORMAT_TRIES {
            if !known.wal_formats.insert(format) {
                break;
            }
            self.write_cluster(&known, PutMode::Overwrite).await?;
            known = self.cluster().await?.unwrap_or(known);
        }
        Ok(known)
    }

    /// Writes the first `cluster.json`, unless another process was faster.
    async fn found(&self, identity: &ClusterIdentity, format: Option<Format>) -> Result<ClusterInfo> {
        // SwiftWAL 0.2.2 left no cluster.json, so there may be WAL of other compressions already.
        let stored = self.list().await?.unwrap_or_default().wal;
        let wal_formats = stored.iter().map(|wal| wal.format).chain(format).collect();
        let new = ClusterInfo::new(identity.clone(), wal_formats);
        self.write_cluster(&new, PutMode::Create).await?;
        // Read back, whatever the answer: on some storage two may be told that theirs was stored.
        let stands = self.cluster().await?;
        stands.ok_or_else(|| Error::damaged(ObjectName::Cluster, "it was written, and can't be read"))
    }

    async fn write_cluster(&self, info: &ClusterInfo, mode: PutMode) -> Result<Put> {
        let name = ObjectName::Cluster;
        let mut bytes = serde_json::to_vec_pretty(info).map_err(|error| Error::damaged(&name, error))?;
        bytes.push(b'\n');
        self.put(&name, bytes.into(), mode).await
    }

    /// PostgreSQL's system identifier of the cluster it belongs to; none where `cluster.json` is missing.
    pub(crate) async fn system_identifier(&self) -> Result<Option<u64>> {
        Ok(self.cluster_once().await?.map(|info| info.identity.system_identifier))
    }
}

/// Fails if a repository demands more than this program knows; any other error is left to the caller.
fn refuse_unknown<T>(read: Result<T>) -> Result<Result<T>> {
    match read {
        Err(error @ (Error::NewerFormat { .. } | Error::NotUnderstood { .. })) => Err(error),
        read => Ok(read),
    }
}
