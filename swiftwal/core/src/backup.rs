//! backup: PostgreSQL → tar → frames, compressed in parallel → parts, uploaded in parallel → wait
//! until the WAL it needs is in the repository → names of the tar, its index, label and manifest → commit record.

mod claim;
mod framer;
mod inspect;
mod read;
mod room;
mod server_clock;
mod side;
mod side_text;
mod store;
mod upload;
mod wal_wait;

use std::time::Duration;

use futures::FutureExt;
use object_store::{PutMode, PutPayload};
use swiftwal_compression::Codec;
use swiftwal_postgres::{
    BackupLabel, BaseBackupRequest, BaseBackupSource, BaseBackupStream, Checkpoint, ControlFile, Lsn,
    SegmentName, Timeline, segments_between,
};
use tokio::{sync::mpsc, time::Instant};

use self::{
    claim::Claim,
    read::{Received, Source},
    side::Side,
    store::Uploads,
    upload::recorded,
};
use crate::{
    error::{Error, Refusal, Result},
    repository::{
        Put, Repository,
        cluster::ClusterIdentity,
        key::BackupKey,
        layout::{BackupPart, ObjectName},
        record::{BackupKind, BackupRecord, RecordedObject},
    },
};

/// Twice as long (PostgreSQL may wait for its archiver first), the parts of the tar lie there untouched: well below
/// the time after which a prune sweeps them.
const LONGEST_ARCHIVE_TIMEOUT: Duration = Duration::from_secs(6 * 3600);

/// How a backup is to be made.
#[derive(Clone, Debug)]
pub struct BackupOptions {
    /// The label that PostgreSQL puts into the backup.
    pub label: String,
    /// The mode of the checkpoint that the backup begins with.
    pub checkpoint: Checkpoint,
    /// Include the WAL that makes the backup consistent.
    pub include_wal: bool,
    /// How it is compressed.
    pub codec: Codec,
    /// How long to wait for each segment of the WAL it needs to be archived: six hours at most.
    pub archive_timeout: Duration,
    /// Whether the server shall say how large the backup will be. Where the storage knows how much room it has, it is asked
    /// in any case.
    pub estimate_size: bool,
}

/// What happens during a backup.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum BackupEvent<'a> {
    /// A key is about to be claimed: from now on there may be something in the repository.
    Claiming,
    /// The backup has its key.
    Claimed(BackupKey),
    /// PostgreSQL sent the label.
    Label(&'a BackupLabel),
    /// PostgreSQL sent how much it expects to send, the WAL not counted. It may correct itself.
    Estimate {
        /// That many bytes.
        tar_bytes: u64,
    },
    /// More of it is stored.
    Progress {
        /// What came from PostgreSQL so far.
        tar_bytes: u64,
        /// What that came to, compressed.
        stored_bytes: u64,
    },
    /// It is complete, but this segment has yet to be archived.
    WaitingForWal(SegmentName),
    /// Something is worth a warning, though the backup goes on.
    Warning(&'a str),
    /// The commit record is about to be written: from now on the backup may exist.
    Committing,
}

/// The receiver of a backup's events.
pub(crate) type Observe<'a> = &'a (dyn Fn(BackupEvent<'_>) + Send + Sync);

impl BackupOptions {
    /// Finds what can't be meant. A backup does so too, but only when its repository is open.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub fn check(&self) -> Result<()> {
        if self.label.contains(char::is_control) {
            return Err(Error::Usage(
                "the backup's label has a control character in it; give a plain line".to_owned(),
            ));
        }
        if self.archive_timeout > LONGEST_ARCHIVE_TIMEOUT {
            let hours = LONGEST_ARCHIVE_TIMEOUT.as_secs() / 3600;
            return Err(Error::Usage(format!(
                "--archive-timeout may be {hours} hours at most: a backup without progress for a day counts as \
                 crashed, and prune removes its parts"
            )));
        }
        Ok(())
    }
}

/// Takes a base backup from `source` into the repository, unless `stop` is ready before all of it has come.
///
/// When it returns, the backup is listed and can be restored: the WAL that makes it consistent is inside, or was
/// seen in the repository. When it fails, or is stopped, nothing of it is listed, and what was stored of it is removed
/// as far as the storage allows; the rest, and all that a dropped future leaves, is swept by a later prune.
///
/// # Errors
/// [`Error::Source`] where PostgreSQL failed, [`Error::TimedOut`] where WAL didn't arrive or the server fell silent,
/// [`Error::Refused`] for a repository of another cluster, [`Error::Usage`], [`Error::Stopped`].
pub async fn backup(
    repository: &Repository,
    source: &dyn BaseBackupSource,
    options: &BackupOptions,
    observe: Observe<'_>,
    stop: impl Future<Output = ()> + Send,
) -> Result<BackupRecord> {
    options.check()?;
    let request = BaseBackupRequest {
        label: options.label.clone(),
        checkpoint: options.checkpoint,
        include_wal: options.include_wal,
        estimate_size: options.estimate_size || repository.storage().space().is_some(),
    };
    let stop = stop.shared();
    // Check this first: it would otherwise fail after hours of copying.
    let prepared = async {
        let cluster = repository.cluster_or_new().await?;
        side::prepare(repository, cluster.as_ref(), source, options).await
    };
    let mut side = unless(stop.clone(), prepared).await?;
    let taking = Taking { repository, source, request: &request, options, observe };
    let asked = Instant::now();
    // The checkpoint with which the server begins goes on meanwhile.
    let (claim, stream) = tokio::join!(
        take_claim(repository, side.identity.as_ref(), observe, stop.clone()),
        unless(stop.clone(), async { Ok(source.start(&request).await?) }),
    );
    let claim = claim?;
    let made = tokio::select! {
        made = taking.make(stream, asked, &mut side, &claim, stop.clone()) => made,
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

/// Does the work until `stop` is ready.
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

/// Claims a key, and the repository for the server where that has told whose it is: the WAL of a first backup may have to be
/// archived while the copy is made, and without `--create` archive-wal starts no repository anew.
async fn take_claim<'a>(
    repository: &'a Repository,
    identity: Option<&ClusterIdentity>,
    observe: Observe<'_>,
    stop: impl Future<Output = ()> + Send + Clone,
) -> Result<Claim<'a>> {
    observe(BackupEvent::Claiming);
    if identity.is_some() {
        unless(stop.clone(), repository.claim(identity, None)).await?;
    }
    let (now, notice) = unless(stop, repository.storage_now_compared()).await?;
    if let Some(notice) = notice {
        observe(BackupEvent::Warning(&notice));
    }
    let claim = Claim::take(repository, now).await?;
    observe(BackupEvent::Claimed(claim.key));
    Ok(claim)
}

/// A backup that is being taken.
#[derive(Clone, Copy)]
struct Taking<'a> {
    repository: &'a Repository,
    source: &'a dyn BaseBackupSource,
    request: &'a BaseBackupRequest,
    options: &'a BackupOptions,
    observe: Observe<'a>,
}

impl Taking<'_> {
    /// Makes it of `stream`, which was asked for at that time; once more, where the server had no room for that beside the
    /// other connection.
    async fn make(
        self,
        stream: Result<Box<dyn BaseBackupStream>>,
        asked: Instant,
        side: &mut Side,
        claim: &Claim<'_>,
        stop: impl Future<Output = ()> + Send + Clone,
    ) -> Result<BackupRecord> {
        let refusal = match self.make_once(stream, asked, side, claim, stop.clone()).await {
            Err(error) if side.give_way(&error).await => error,
            made => return made,
        };
        tracing::debug!("requesting the base backup again: {refusal}");
        let asked = Instant::now();
        let stream = unless(stop.clone(), async { Ok(self.source.start(self.request).await?) }).await;
        self.make_once(stream, asked, side, claim, stop).await
    }

    async fn make_once(
        self,
        stream: Result<Box<dyn BaseBackupStream>>,
        asked: Instant,
        side: &mut Side,
        claim: &Claim<'_>,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<BackupRecord> {
        let Self { repository, options, observe, .. } = self;
        let mut uploads = Uploads::new(repository, claim.key, options.codec.format());
        let source = Source { repository, claim, stream: stream?, asked };
        let gathered = unless(stop, gather(source, side, options, observe, &mut uploads)).await;
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

/// Brings the tars into the repository and waits for the WAL. When it returns, all that may take long is done, the key
/// is still ours alone, and the data directory's tar is stored, but has no name yet.
async fn gather(
    source: Source<'_>,
    side: &mut Side,
    options: &BackupOptions,
    observe: Observe<'_>,
    uploads: &mut Uploads<'_>,
) -> Result<Draft> {
    let (repository, claim) = (source.repository, source.claim);
    let (sender, receiver) = mpsc::channel(frames_in_flight());
    let doubts = side.doubts.clone();
    let reading = async {
        let received = tokio::select! {
            received = read::read(source, doubts, options, observe, sender) => received,
            never = side::keep(side, observe) => match never {},
        }?;
        // With the session goes the slot.
        side.end().await;
        Ok(received)
    };
    let (received, ()) = tokio::try_join!(reading, uploads.store(receiver, claim, observe))?;
    let control =
        ControlFile::parse(&received.control).map_err(|e| Error::damaged("global/pg_control", e))?;
    let draft = draft(options, claim, received, &control)?;
    let identity = identity(&draft.record);
    tokio::try_join!(
        repository.claim(Some(&identity), None),
        wal_wait::until_archived(repository, &draft.record, options.archive_timeout, observe),
        uploads.send_rest(),
    )?;
    // In this order: who had the key too may have removed what was stored under it, and gone.
    claim.ensure_alone().await?;
    uploads.prove_named().await?;
    Ok(draft)
}

/// Gives every object but the commit record its name, and returns the record to write.
async fn publish(repository: &Repository, draft: Draft, uploads: Uploads<'_>) -> Result<BackupRecord> {
    // All to their ends, whichever fails: a put that is still running would outlast the cleanup.
    let (uploaded, label) = tokio::join!(uploads.finish(), store_label(repository, &draft));
    let objects = uploaded?.into_iter().chain([label?]).collect();
    Ok(BackupRecord { objects, ..draft.record })
}

/// As many frames as keep every core busy, in bounded memory on a machine with many.
fn frames_in_flight() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZeroUsize::get).clamp(2, 12)
}

/// A backup that lacks but its objects.
struct Draft {
    record: BackupRecord,
    label: BackupLabel,
}

fn draft(
    options: &BackupOptions,
    claim: &Claim<'_>,
    received: Received,
    control: &ControlFile,
) -> Result<Draft> {
    let Received { label, version, start, stop, started, finished, .. } = received;
    let (timeline, stop_lsn) = stop;
    if timeline != start.0 {
        return Err(Refusal::Promoted { from: start.0, to: timeline }.into());
    }
    let size = control.segment_size;
    let record = BackupRecord {
        key: claim.key,
        kind: BackupKind::Full,
        parent: None,
        label: options.label.clone(),
        started,
        finished,
        system_identifier: control.system_identifier,
        postgres_version: version,
        wal_segment_bytes: size,
        timeline,
        start_lsn: label.start_lsn(),
        stop_lsn,
        first_wal: label.start_segment(),
        last_wal: last_wal(timeline, label.start_lsn(), stop_lsn, size),
        includes_wal: options.include_wal,
        objects: Vec::new(),
        written_by: concat!("swiftwal ", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    Ok(Draft { record, label })
}

fn last_wal(timeline: Timeline, start: Lsn, stop: Lsn, size: swiftwal_postgres::SegmentSize) -> SegmentName {
    let first = SegmentName::containing(timeline, start, size);
    segments_between(timeline, start, stop, size).last().unwrap_or(first)
}

fn identity(record: &BackupRecord) -> ClusterIdentity {
    ClusterIdentity {
        system_identifier: record.system_identifier,
        postgres_version: Some(record.postgres_version.clone()),
        wal_segment_bytes: record.wal_segment_bytes,
    }
}

/// Stores the label and returns its entry for the record.
async fn store_label(repository: &Repository, draft: &Draft) -> Result<RecordedObject> {
    let name = ObjectName::Backup { key: draft.record.key, part: BackupPart::Label };
    let label = draft.label.as_bytes();
    let recorded = recorded(&name, label.len() as u64, blake3::Hasher::new().update(label));
    repository.put_new(&name, PutPayload::from(label.to_vec())).await?;
    Ok(recorded)
}

/// Makes the backup exist, right after all of it was stored or proven to be there.
async fn commit(repository: &Repository, record: &BackupRecord, claim: &Claim<'_>) -> Result<()> {
    let name = BackupRecord::object_name(record.key);
    let bytes = record.to_bytes().map_err(|error| Error::damaged(&name, error))?;
    claim.ensure_held().await?;
    claim.note_record_sent();
    let written = match repository.put(&name, bytes.into(), PutMode::Create).await {
        Ok(Put::Stored) => return Ok(()),
        Ok(Put::NameTaken) => Error::Refused(Refusal::Overtaken {
            what: format!("{name} was written by another process and is kept; this backup was abandoned"),
            hint: None,
        }),
        Err(error) => error,
    };
    // The record may have been stored although the answer was lost.
    match repository.record(record.key).await {
        Ok(stands) if stands == *record => Ok(()),
        _ => Err(written),
    }
}
