//! The identity of the repository's cluster: reads, caches, checks and writes `cluster.json`.

use std::collections::BTreeSet;

use object_store::PutMode;
use swiftwal_compression::Format;

use crate::{
    error::{Error, Result},
    local::state_dir::StateDir,
    repository::{
        PutOutcome, Repository,
        cluster::{ClusterIdentity, ClusterInfo},
        layout::ObjectName,
        seen::SeenRepository,
    },
};

/// The number of tries to add a compression to `cluster.json` while other processes overwrite it.
const FORMAT_TRIES: u32 = 5;

impl Repository {
    /// Returns the identity of the cluster that the repository belongs to. None as long as no process has stored it.
    ///
    /// # Errors
    ///
    /// [`Error::NewerFormat`], [`Error::NotUnderstood`], [`Error::Damaged`], and those of the storage.
    pub async fn cluster(&self) -> Result<Option<ClusterInfo>> {
        let found = self.read_cluster().await?;
        if let Some(info) = &found {
            self.note_seen(self.seen(), info);
        }
        Ok(found)
    }

    /// Reads `cluster.json`, without recording on this machine that it was seen.
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

    /// As [`cluster`](Self::cluster), without a request if this process has read it before: the identity never changes.
    pub(crate) async fn cluster_once(&self) -> Result<Option<ClusterInfo>> {
        match self.first_read.get() {
            Some(Some(known)) => Ok(Some(known.clone())),
            Some(None) | None => self.cluster().await,
        }
    }

    /// Returns what this machine has read within the last ten minutes. Only a storage with slow requests has that
    /// cache.
    pub(super) fn cluster_seen(&self) -> Option<ClusterInfo> {
        self.storage.identity_cache()?.up_to_date(self.clock.now())
    }

    /// As [`cluster`](Self::cluster), without a request if this machine has a cached identity that `suffices`.
    pub(super) async fn cluster_unless_seen(
        &self,
        suffices: impl Fn(&ClusterInfo) -> bool + Send,
    ) -> Result<Option<ClusterInfo>> {
        match self.cluster_seen().filter(suffices) {
            Some(seen) => Ok(Some(seen)),
            None => self.cluster().await,
        }
    }

    /// Records on this machine that the repository was seen, unless that would hide that another one was `seen` before.
    /// Returns what is recorded afterwards.
    fn note_seen(&self, seen: Option<SeenRepository>, info: &ClusterInfo) -> Option<SeenRepository> {
        let found = info.identity.system_identifier;
        match seen {
            Some(seen) if seen.system_identifier != found => Some(seen),
            seen => self.record_seen(seen, info),
        }
    }

    /// Records on this machine that the repository was seen, in place of what was `seen` before.
    fn record_seen(&self, seen: Option<SeenRepository>, info: &ClusterInfo) -> Option<SeenRepository> {
        Some(self.storage.state_dir()?.record(self.clock.now(), seen, info))
    }

    /// Records on this machine that the repository exists, after another object than `cluster.json` was read from it.
    /// Does nothing if that could cost a request each time.
    pub(crate) async fn note_read(&self) {
        let is_remembered = self.storage.state_dir().is_some() && self.storage.identity_cache().is_none();
        if is_remembered && self.first_read.get().is_none() {
            // The error is left to the commands that write to the repository or delete from it.
            drop(self.cluster_once().await);
        }
    }

    /// As [`cluster`](Self::cluster), for a command that stores. None if the repository is new.
    ///
    /// # Errors
    ///
    /// As [`cluster`](Self::cluster), and [`Error::NotAsSeen`] if this machine has seen a repository there that has
    /// vanished.
    pub(crate) async fn cluster_or_new(&self) -> Result<Option<ClusterInfo>> {
        let seen = self.seen();
        let found = self.cluster().await?;
        self.refuse_vanished(seen.as_ref(), found.as_ref())?;
        Ok(found)
    }

    /// Returns what this machine saw last. It must be called before the storage is read: otherwise a process that
    /// stores the first `cluster.json` in between would make a new repository look like one that has vanished.
    fn seen(&self) -> Option<SeenRepository> {
        self.storage.state_dir().and_then(StateDir::seen)
    }

    fn refuse_vanished(&self, seen: Option<&SeenRepository>, found: Option<&ClusterInfo>) -> Result<()> {
        if found.is_none() && !self.anew { self.refuse_other_than_seen(seen, None) } else { Ok(()) }
    }

    /// Checks that this is a repository, and the one that this machine knows, for a command that deletes.
    ///
    /// # Errors
    ///
    /// As [`cluster`](Self::cluster), [`Error::NotAsSeen`], and [`Error::NoRepository`] if one request shows that there
    /// is none.
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

    /// As [`cluster`](Self::cluster), for a command that continues if `cluster.json` can't be read: the inner error is
    /// the reason.
    ///
    /// # Errors
    ///
    /// [`Error::NewerFormat`] and [`Error::NotUnderstood`]: the repository requires a newer version of this program.
    pub async fn cluster_if_readable(&self) -> Result<Result<Option<ClusterInfo>>> {
        refuse_unknown(self.cluster().await)
    }

    /// Fails if the repository requires a newer version of this program. No request is sent if this machine has read
    /// `cluster.json` within the last ten minutes.
    ///
    /// # Errors
    ///
    /// [`Error::NewerFormat`], [`Error::NotUnderstood`].
    pub async fn refuse_unknown_unless_seen(&self) -> Result<()> {
        refuse_unknown(self.cluster_unless_seen(|_| true).await).map(drop)
    }

    /// Checks that the repository belongs to the cluster `identity`, or assigns it to that cluster if it belongs to
    /// none yet, and makes sure that `cluster.json` names `format`. Returns every compression that a WAL file here may
    /// have.
    ///
    /// Files that don't contain the identity of their cluster come without one. They are accepted.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the repository belongs to another cluster; [`Error::NotAsSeen`].
    pub(crate) async fn ensure_cluster(
        &self,
        identity: Option<&ClusterIdentity>,
        format: Option<Format>,
    ) -> Result<BTreeSet<Format>> {
        self.ensure_cluster_unless(|_| false, identity, format).await
    }

    /// As [`ensure_cluster`](Self::ensure_cluster), without a request if the cache shows that there is nothing to do.
    pub(crate) async fn ensure_cluster_unless_cached(
        &self,
        identity: Option<&ClusterIdentity>,
        format: Format,
    ) -> Result<BTreeSet<Format>> {
        let fits = |seen: &ClusterInfo| {
            let is_ours = identity.is_none_or(|identity| seen.check(identity, &self.location).is_ok());
            // With several compressions the caller looks for the file in the others, too. Swift proves that an object
            // is missing without asking its container servers only after another read from the container: that of
            // cluster.json.
            is_ours && seen.wal_formats.iter().eq([&format])
        };
        self.ensure_cluster_unless(fits, identity, Some(format)).await
    }

    /// Reads what this machine has recorded and, unless that `suffices`, `cluster.json`.
    async fn ensure_cluster_unless(
        &self,
        suffices: impl Fn(&ClusterInfo) -> bool + Send,
        identity: Option<&ClusterIdentity>,
        format: Option<Format>,
    ) -> Result<BTreeSet<Format>> {
        let seen = self.seen();
        let up_to_date = seen.as_ref().and_then(|seen| seen.up_to_date(self.clock.now()));
        let cached =
            up_to_date.filter(|_| self.storage.identity_cache().is_some()).filter(|seen| suffices(seen));
        let (found, recorded) = match cached {
            Some(cached) => (Some(cached.clone()), seen.clone()),
            None => {
                let found = self.read_cluster().await?;
                let recorded = match &found {
                    Some(info) => self.note_seen(seen.clone(), info),
                    None => seen.clone(),
                };
                (found, recorded)
            }
        };
        let known = self.check_or_create(seen.as_ref(), found, identity, format).await?;
        let Some(known) = known else { return Ok(Format::ALL.into()) };
        self.record_seen(recorded, &known);
        Ok(known.wal_formats)
    }

    /// Checks the identity that was `found`, or creates it. None if it stays unknown.
    async fn check_or_create(
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
            (None, Some(identity)) => self.create_cluster(identity, format).await?,
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

    /// Adds a compression to `cluster.json`. Another process may overwrite it at the same time, so it is checked and
    /// repeated a few times. If the compression is lost nevertheless, archive-wal doesn't look for the same file in
    /// that compression.
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

    /// Creates `cluster.json`, unless another process was faster.
    async fn create_cluster(
        &self,
        identity: &ClusterIdentity,
        format: Option<Format>,
    ) -> Result<ClusterInfo> {
        // SwiftWAL 0.2.2 didn't write cluster.json, so WAL in other compressions may exist already.
        let stored = self.list().await?.unwrap_or_default().wal;
        let wal_formats = stored.iter().map(|wal| wal.format).chain(format).collect();
        if let Some(marks) = self.ahead_marks() {
            // They are those of a repository that has vanished.
            marks.clear();
        }
        let new = ClusterInfo::new(identity.clone(), wal_formats);
        self.write_cluster(&new, PutMode::Create).await?;
        // Read it back in any case: on some storage, two processes may both be told that theirs was stored.
        let stored = self.cluster().await?;
        stored.ok_or_else(|| Error::damaged(ObjectName::Cluster, "it was written, and can't be read"))
    }

    async fn write_cluster(&self, info: &ClusterInfo, mode: PutMode) -> Result<PutOutcome> {
        let name = ObjectName::Cluster;
        let mut bytes = serde_json::to_vec_pretty(info).map_err(|error| Error::damaged(&name, error))?;
        bytes.push(b'\n');
        self.put(&name, bytes.into(), mode).await
    }

    /// Returns PostgreSQL's system identifier of the cluster that the repository belongs to. None if `cluster.json` is
    /// missing.
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
