//! Finds the object of a WAL file, in any compression.
//!
//! restore-wal, the readers of timeline histories, archive-wal when it replaces a file, and the check whether a
//! backup's WAL is archived call it. A wrong "absent" makes PostgreSQL promote, and a wrong failure stops a recovery
//! although its WAL is stored. So the file is requested under each name that it can have, whatever the other answers
//! were. A file counts as absent only if it has none of the names in use and no listing shows it under another one.

mod hole;
mod listed;
mod object;
mod search;

use std::time::Duration;

use futures::future::join_all;
use object_store::GetOptions;
use swiftwal_compression::Format;
use swiftwal_postgres::{SegmentSize, WalName};
use tokio::time::timeout;

pub(crate) use self::object::WalObject;
use self::{listed::ListedWal, search::Search};
use crate::{
    error::{Error, Result},
    repository::{Repository, cluster::ClusterInfo, layout::ObjectName},
};

/// How long to wait for one request before the next one is sent as well. While a storage can't prove that an object is
/// absent, requesting a missing one can take minutes.
const PATIENCE: Duration = Duration::from_secs(5);

/// Receives the size of an object before it is read.
pub(crate) type ObserveSize<'a> = &'a (dyn Fn(u64) + Send + Sync);

/// The content of `cluster.json`; none if it wasn't received in time.
type Cluster = Option<Result<Option<ClusterInfo>>>;

impl Repository {
    /// Opens the object of the WAL file `name`. `observe_size` receives its size as stored.
    ///
    /// A stored file takes one request. A missing one takes two if its repository uses one compression: one for the
    /// file, and one listing. If it uses several, the file is requested in the others at once, between these two.
    /// `cluster.json`, which contains the compressions, is read together with the first request, unless this machine has
    /// just read it.
    ///
    /// # Errors
    ///
    /// [`Error::WalAbsent`] only if the storage has proven that the file is missing, and the stored WAL ends there;
    /// [`Error::WalHole`] if it is missing and later WAL is stored; [`Error::NoRepository`] if there is no repository at
    /// all; [`Error::Damaged`] if a file is listed but can't be read; [`Error::NewerFormat`] and
    /// [`Error::NotUnderstood`] if the repository requires more than this program knows.
    pub(crate) async fn wal(&self, name: WalName, observe_size: ObserveSize<'_>) -> Result<WalObject> {
        let mut search = Search::new(self, name, self.storage.unproven_read(), observe_size);
        let likeliest = self.cluster_seen().map_or_else(|| Format::ALL[..1].to_vec(), |info| formats(&info));
        let cluster = timeout(PATIENCE, self.cluster_unless_seen(|_| true));
        // A stored file is fetched even if cluster.json can't be read, so that is waited for only a moment.
        let (cluster, found) = tokio::join!(cluster, search.ask(likeliest));
        let cluster: Cluster = cluster.ok();
        if let Some(Err(error @ (Error::NewerFormat { .. } | Error::NotUnderstood { .. }))) = cluster {
            return Err(error);
        }
        if let Some(found) = found {
            return Ok(found);
        }
        let in_use = match &cluster {
            Some(Ok(Some(info))) => formats(info),
            _ => Format::ALL.to_vec(),
        };
        if let Some(found) = search.ask(in_use).await {
            return Ok(found);
        }
        self.unless_listed(search, cluster).await
    }

    /// As [`wal`](Self::wal), for a file that has none of the names in use: looks for it in a listing and, if that
    /// fails, under every possible name.
    async fn unless_listed(&self, mut search: Search<'_>, cluster: Cluster) -> Result<WalObject> {
        let (name, observe_size) = (search.name, search.observe_size);
        let segment_size = match &cluster {
            Some(Ok(Some(info))) => info.identity.wal_segment_bytes,
            _ => SegmentSize::default(),
        };
        let listed = if search.is_answered() {
            timeout(PATIENCE, self.listed_wal(name, segment_size)).await.ok().and_then(Result::ok)
        } else {
            None
        };
        let listed = match listed {
            Some(listed) => listed,
            None => match search.ask_and_finish(Format::ALL).await? {
                Some(found) => return Ok(found),
                None => self.listed_wal(name, segment_size).await?,
            },
        };
        match listed.formats.first() {
            Some(_) => self.listed_but_absent(name, &listed.formats, observe_size).await,
            None => Err(self.absent(name, &listed, cluster).await?),
        }
    }

    /// Opens a listed file that was missing when it was requested: it was stored meanwhile, or in a compression that
    /// `cluster.json` doesn't name, or the storage has lost it, or it was pruned and the listing lags. Swift sets a
    /// damaged object aside, and from then on reports it as missing.
    async fn listed_but_absent(
        &self,
        name: WalName,
        formats: &[Format],
        observe_size: ObserveSize<'_>,
    ) -> Result<WalObject> {
        for format in formats {
            if let Some(found) = self.open_wal(name, *format, GetOptions::default(), observe_size).await? {
                return Ok(found);
            }
        }
        let format = formats.first().copied().unwrap_or(Format::None);
        Err(unreadable_although_listed(ObjectName::Wal { name, format }))
    }

    /// Returns the error for a missing file, if this is a repository.
    async fn absent(&self, name: WalName, listed: &ListedWal, cluster: Cluster) -> Result<Error> {
        let location = self.location().to_owned();
        let cluster = match cluster {
            Some(cluster) => cluster?,
            None => self.cluster().await?,
        };
        // SwiftWAL 0.2.2 stored no cluster.json; but an empty place isn't an archive.
        if cluster.is_none() && !listed.shows_ours && self.is_empty().await? {
            return Ok(Error::NoRepository { location });
        }
        let segment_size = cluster.map_or_else(SegmentSize::default, |info| info.identity.wal_segment_bytes);
        Ok(self.hole(name, listed, segment_size).await?.unwrap_or(Error::WalAbsent { name, location }))
    }

    /// Opens the object of the WAL file `name`, stored in one of `formats`, the most likely one first; none if the
    /// storage has proven that it has none of these names. No listing is read.
    pub(crate) async fn wal_in(
        &self,
        name: WalName,
        formats: impl IntoIterator<Item = Format> + Send,
    ) -> Result<Option<WalObject>> {
        Search::new(self, name, GetOptions::default(), &|_| {}).ask_and_finish(formats).await
    }

    /// Opens the object of the WAL file `name` in one of the compressions in use; none if it has none of these names. No
    /// listing is read, so this isn't the proof of absence that [`wal`](Self::wal) gives.
    pub(crate) async fn wal_if_stored(&self, name: WalName) -> Result<Option<WalObject>> {
        let cluster = self.cluster_once().await?;
        self.wal_in(name, cluster.map_or_else(|| Format::ALL.to_vec(), |info| formats(&info))).await
    }

    /// Whether a WAL file is stored, in any compression.
    ///
    /// # Errors
    ///
    /// Those of the storage.
    pub async fn has_wal(&self, name: WalName) -> Result<bool> {
        Ok(self.wal_format(name).await?.is_some())
    }

    /// Returns the compression in which [`wal`](Self::wal) finds this WAL file; none if it is proven to be missing.
    pub(crate) async fn wal_format(&self, name: WalName) -> Result<Option<Format>> {
        let size = async |format| self.size(&ObjectName::Wal { name, format }).await;
        let [first, others @ ..] = Format::ALL;
        if size(first).await?.is_some() {
            return Ok(Some(first));
        }
        for (format, size) in others.into_iter().zip(join_all(others.map(size)).await) {
            if size?.is_some() {
                return Ok(Some(format));
            }
        }
        Ok(None)
    }
}

/// Returns the error for a WAL file that a listing shows, but that can't be read.
fn unreadable_although_listed(object: ObjectName) -> Error {
    let hint = "if it wasn't pruned just now and a server's pg_wal still has the file, store it again with archive-wal";
    Error::damaged(object, format!("it is listed but can't be read; {hint}"))
}

/// Returns the compressions that a WAL file may have, the most likely one first: those in use, or all of them if none was
/// used when the cached `cluster.json` was read.
fn formats(cluster: &ClusterInfo) -> Vec<Format> {
    let is_in_use = |format: &Format| cluster.wal_formats.is_empty() || cluster.wal_formats.contains(format);
    Format::ALL.into_iter().filter(is_in_use).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::cluster::ClusterIdentity;

    #[test]
    fn a_repository_without_any_wal_so_far_may_get_it_in_every_compression() {
        let in_use = |used: &[Format]| {
            let wal_segment_bytes = SegmentSize::new(1 << 20).unwrap();
            let identity =
                ClusterIdentity { system_identifier: 1, postgres_version: None, wal_segment_bytes };
            formats(&ClusterInfo::new(identity, used.iter().copied().collect()))
        };
        assert_eq!(in_use(&[Format::None, Format::Gzip]), [Format::Gzip, Format::None]);
        assert_eq!(in_use(&[]), Format::ALL);
    }
}
