//! backup: PostgreSQL → tar → frames, compressed in parallel → parts, uploaded in parallel → wait until the WAL that it
//! needs is in the repository → names for the tar, its index, label and manifest → commit record.
//!
//! Two halves run at the same time: `read` receives the events of the source, `store` uploads. Before anything is
//! stored, `begun` checks that the server belongs to the repository, as soon as the start of the backup shows that.

mod backup_event;
mod backup_options;
mod base;
mod begun;
mod buffers;
mod claim;
mod commit;
mod draft;
mod framer;
mod inspect;
mod item;
mod read;
mod room;
mod second_connection;
mod server_clock;
mod side_text;
mod silence;
mod start;
mod store;
mod upload;
mod wal_wait;

use std::future::ready;

use futures::{
    FutureExt,
    future::{Either, select},
};
use swiftwal_postgres::{BaseBackupRequest, BaseBackupSource, ControlFile};
use tokio::sync::mpsc;

pub(crate) use self::backup_event::Observe;
pub use self::{backup_event::BackupEvent, backup_options::BackupOptions, base::BackupMode};
use self::{
    base::Base,
    buffers::frames_waiting,
    claim::Claim,
    commit::{commit, publish},
    draft::{Draft, draft},
    read::Source,
    second_connection::SecondConnection,
    start::Requested,
    store::Uploads,
};
use crate::{
    error::{Error, Result},
    repository::{Repository, cluster::ClusterIdentity, key::BackupKey, record::BackupRecord},
};

/// Takes a base backup from `source` into the repository, unless `stop` is ready before it is complete.
///
/// When it returns, the backup is listed and can be restored: the WAL that it needs to become consistent is in the
/// backup, or was found in the repository. If it fails or is stopped, nothing of it is listed, and its objects are
/// removed as far as the storage allows. A later prune removes the rest, and everything that a dropped future leaves.
///
/// # Errors
///
/// [`Error::Source`] if PostgreSQL failed, [`Error::TimedOut`] if WAL wasn't archived or the server sent nothing for
/// too long, [`Error::Refused`] for a repository of another cluster, [`Error::Usage`], [`Error::Stopped`].
pub async fn backup(
    repository: &Repository,
    source: &dyn BaseBackupSource,
    options: &BackupOptions,
    observe: Observe<'_>,
    stop: impl Future<Output = ()> + Send,
) -> Result<BackupRecord> {
    options.check()?;
    let stop = stop.shared();
    // Check this first: it would otherwise fail after hours of copying. The large futures are boxed, since each of them
    // would be on the stack several times.
    let prepared = Box::pin(async {
        let cluster = repository.cluster_or_new().await?;
        let connection = second_connection::prepare(repository, cluster.as_ref(), source, options).await?;
        let base = Base::choose(repository, connection.facts.as_ref(), options.mode, observe).await?;
        Ok((connection, base))
    });
    let (mut connection, mut base) = unless(stop.clone(), prepared).await?;
    let taking = Taking { repository, source, options, observe };
    // The server performs the checkpoint while the key is claimed, and longer.
    let request = taking.request(&base);
    let starting = Box::pin(start::request(source, &request, stop.clone()));
    let identity = connection.identity();
    let claiming = Box::pin(take_claim(repository, identity.as_ref(), base.parent(), observe, stop.clone()));
    let (claim, starting) = match select(claiming, starting).await {
        Either::Left((claim, starting)) => (claim?, starting.left_future()),
        Either::Right((started, claiming)) => (claiming.await?, ready(started).right_future()),
    };
    let making = Box::pin(taking.make(starting, &mut connection, &mut base, &claim, stop.clone()));
    let made = tokio::select! {
        made = making => made,
        never = claim.keep_alive() => match never {},
    };
    match made {
        Ok(record) => {
            claim.release(stop).await;
            Ok(record)
        }
        Err(error) => {
            claim.abandon().await;
            Err(error)
        }
    }
}

/// Runs `work` until `stop` is ready.
async fn unless<T>(
    stop: impl Future<Output = ()> + Send,
    work: impl Future<Output = Result<T>> + Send,
) -> Result<T> {
    tokio::select! {
        biased;
        () = stop => Err(Error::Stopped),
        done = work => done,
    }
}

/// Claims a key and, if the server's identity is known, assigns a new repository to its cluster: the WAL of a first
/// backup may have to be archived during the copy, and archive-wal creates no repository in place of a vanished one
/// without `--create`.
async fn take_claim<'a>(
    repository: &'a Repository,
    identity: Option<&ClusterIdentity>,
    parent: Option<BackupKey>,
    observe: Observe<'_>,
    stop: impl Future<Output = ()> + Send + Clone,
) -> Result<Claim<'a>> {
    observe(BackupEvent::Claiming);
    if identity.is_some() {
        unless(stop.clone(), repository.ensure_cluster(identity, None)).await?;
    }
    let (now, notice) = unless(stop, repository.storage_now_compared()).await?;
    if let Some(notice) = notice {
        observe(BackupEvent::Warning(&notice));
    }
    let claim = Claim::take(repository, now).await?;
    observe(BackupEvent::Claimed(claim.key));
    let Some(parent) = parent else { return Ok(claim) };
    match claim.build_on(parent).await {
        Ok(()) => {
            observe(BackupEvent::Incremental { parent });
            Ok(claim)
        }
        Err(error) => {
            claim.abandon().await;
            Err(error)
        }
    }
}

/// A backup in progress.
#[derive(Clone, Copy)]
struct Taking<'a> {
    repository: &'a Repository,
    source: &'a dyn BaseBackupSource,
    options: &'a BackupOptions,
    observe: Observe<'a>,
}

impl Taking<'_> {
    /// Returns the request for a backup with this base.
    fn request(self, base: &Base) -> BaseBackupRequest {
        let mut request = self.options.request();
        request.parent_manifest = base.manifest();
        // The server's estimate is that of a full backup.
        let is_full = request.parent_manifest.is_none();
        request.estimate_size |= self.repository.storage().space().is_some();
        request.estimate_size &= is_full;
        request
    }

    /// Takes the backup that was requested. Requests it once more if the server has no room for the copy's connection
    /// beside the second one, which is closed then, and if the server can't take it as an incremental one and it may be
    /// full.
    async fn make(
        self,
        starting: impl Future<Output = Result<Requested>> + Send,
        connection: &mut SecondConnection,
        base: &mut Base,
        claim: &Claim<'_>,
        stop: impl Future<Output = ()> + Send + Clone,
    ) -> Result<BackupRecord> {
        let mut made = self.make_once(starting, connection, base, claim, stop.clone()).await;
        while let Err(error) = &made
            && (connection.give_way(error).await || base.give_up(error, self.observe))
        {
            tracing::debug!(error = error as &dyn std::error::Error, "requesting the base backup again");
            let request = self.request(base);
            let starting = start::request(self.source, &request, stop.clone());
            made = self.make_once(starting, connection, base, claim, stop.clone()).await;
        }
        made
    }

    async fn make_once(
        self,
        starting: impl Future<Output = Result<Requested>> + Send,
        connection: &mut SecondConnection,
        base: &Base,
        claim: &Claim<'_>,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<BackupRecord> {
        let Self { repository, options, observe, .. } = self;
        let requested = starting.await?;
        let mut uploads = Uploads::new(repository, claim.key, options.codec.format());
        let source = Source { repository, claim, requested };
        let gathering = Box::pin(gather(source, connection, base, options, observe, &mut uploads));
        let gathered = unless(stop, gathering).await;
        let draft = match gathered {
            Ok(draft) => draft,
            Err(error) => {
                uploads.abort().await;
                return Err(error);
            }
        };
        let record = publish(repository, draft, uploads).await?;
        observe(BackupEvent::Committing);
        commit(repository, &record, claim).await?;
        Ok(record)
    }
}

/// Stores the tars and waits for the WAL. When it returns, everything that may take long is done, the key still belongs
/// to this process alone, and the data directory's tar is stored, but has no name yet.
async fn gather(
    source: Source<'_>,
    connection: &mut SecondConnection,
    base: &Base,
    options: &BackupOptions,
    observe: Observe<'_>,
    uploads: &mut Uploads<'_>,
) -> Result<Draft> {
    let (repository, claim) = (source.repository, source.claim);
    let (sender, receiver) = mpsc::channel(frames_waiting());
    let (warnings, is_standby) = (connection.warnings.clone(), connection.is_standby());
    let reading = async {
        let received = tokio::select! {
            received = read::read(source, warnings, options, observe, sender) => received,
            promoted = second_connection::keep(connection, observe) => Err(promoted.into()),
        }?;
        // The slot is removed at the end of the session.
        connection.end().await;
        Ok(received)
    };
    let (received, ()) = tokio::try_join!(reading, uploads.store(receiver, claim, observe))?;
    let control =
        ControlFile::parse(&received.control).map_err(|e| Error::damaged("global/pg_control", e))?;
    let databases = connection.facts.as_ref().and_then(|facts| facts.databases.clone());
    let draft = draft(options, base, databases, claim, received, &control)?;
    let identity = ClusterIdentity::of_record(&draft.record);
    tokio::try_join!(
        repository.ensure_cluster(Some(&identity), None),
        wal_wait::until_archived(repository, &draft.record, is_standby, options.archive_timeout, observe),
        uploads.send_rest(),
    )?;
    // The order matters: another process that had the key may have removed objects under it before it gave up.
    claim.ensure_alone().await?;
    uploads.prove_named().await?;
    Ok(draft)
}
