//! backup: PostgreSQL → tar → frames, compressed in parallel → parts, uploaded in parallel → label, manifest →
//! wait until the WAL it needs is in the repository → commit record.

mod claim;
mod framer;
mod inspect;
mod read;
mod store;
mod upload;
mod wal_wait;

use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use object_store::{PutMode, PutPayload};
use swiftwal_compression::Codec;
use swiftwal_postgres::{
    BackupLabel, BaseBackupRequest, BaseBackupSource, BaseBackupStream, Checkpoint, ControlFile, Lsn,
    SegmentName, SourceError, Timeline, segments_between,
};
use tokio::sync::mpsc;

pub use self::claim::abandon;
use self::{claim::Claim, read::Received, store::Uploads, upload::recorded};
pub(crate) use self::{
    claim::{MarkerContent, markers},
    wal_wait::{needed_and_missing, needed_and_unlisted},
};
use crate::{
    BackupKey, BackupKind, BackupPart, BackupRecord, ClusterIdentity, Error, ObjectName, RecordedObject,
    Repository, Result, repository::Put,
};

/// How many objects are looked at at a time.
const LOOKS: usize = 16;

/// How a backup is to be made.
#[derive(Clone, Debug)]
pub struct BackupOptions {
    /// The label PostgreSQL shall put into the backup.
    pub label: String,
    /// How fast the server shall make the checkpoint that the backup begins with.
    pub checkpoint: Checkpoint,
    /// Whether the backup shall hold the WAL that makes it consistent.
    pub include_wal: bool,
    /// How it is compressed.
    pub codec: Codec,
    /// How long to wait for the WAL it needs to be archived.
    pub archive_timeout: Duration,
}

/// What happens during a backup.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum BackupEvent<'a> {
    /// A key is about to be claimed: from now on there may be something in the repository to [`abandon`].
    Claiming,
    /// The backup has its key.
    Claimed(BackupKey),
    /// PostgreSQL sent the label.
    Label(&'a BackupLabel),
    /// More of it is stored.
    Progress {
        /// What came from PostgreSQL so far.
        tar_bytes: u64,
        /// What that came to, compressed.
        stored_bytes: u64,
    },
    /// It is complete, but this segment has yet to be archived.
    WaitingForWal(SegmentName),
}

/// Who wants to know what happens.
pub(crate) type Observe<'a> = &'a (dyn Fn(BackupEvent<'_>) + Send + Sync);

/// Takes a base backup from `source` into the repository.
///
/// When it returns, the backup is listed and can be restored: the WAL that makes it consistent is inside, or was
/// seen in the repository. When it fails, nothing of it is listed, and what was stored of it is removed as far as
/// the storage allows; the rest is swept by a later prune. A dropped future leaves that to [`abandon`].
///
/// # Errors
/// [`Error::Source`] where PostgreSQL failed, [`Error::TimedOut`] where WAL didn't arrive or the server fell silent,
/// [`Error::Refused`] for a repository of another cluster.
pub async fn backup(
    repository: &Repository,
    source: &dyn BaseBackupSource,
    options: &BackupOptions,
    observe: Observe<'_>,
) -> Result<BackupRecord> {
    if options.label.contains(char::is_control) {
        return Err(Error::Refused(
            "the backup's label has a control character in it; give a plain line".to_owned(),
        ));
    }
    // Rather now than after hours of copying.
    repository.cluster().await?;
    let request = BaseBackupRequest {
        label: options.label.clone(),
        checkpoint: options.checkpoint,
        include_wal: options.include_wal,
    };
    // The checkpoint with which the server begins goes on meanwhile.
    let (claim, stream) = tokio::join!(take_claim(repository, observe), source.start(&request));
    let claim = claim?;
    let made = tokio::select! {
        made = make(repository, stream, options, observe, &claim) => made,
        never = claim.keep_alive() => match never {},
    };
    match made {
        Ok(record) => {
            claim.release().await;
            Ok(record)
        }
        Err(error) => {
            claim.abandon().await;
            Err(error)
        }
    }
}

async fn take_claim<'a>(repository: &'a Repository, observe: Observe<'_>) -> Result<Claim<'a>> {
    observe(BackupEvent::Claiming);
    let claim = Claim::take(repository).await?;
    observe(BackupEvent::Claimed(claim.key));
    Ok(claim)
}

async fn make(
    repository: &Repository,
    stream: Result<Box<dyn BaseBackupStream>, SourceError>,
    options: &BackupOptions,
    observe: Observe<'_>,
    claim: &Claim<'_>,
) -> Result<BackupRecord> {
    let (received, uploads) = transfer(repository, stream?, options, observe, claim).await?;
    let control =
        ControlFile::parse(&received.control).map_err(|e| Error::damaged("global/pg_control", e))?;
    let draft = draft(repository, options, claim, received, &control)?;
    repository.claim(Some(&identity(&draft.record)), None).await?;
    let archived = wal_wait::until_archived(repository, &draft.record, options.archive_timeout, observe);
    // All to their ends, whichever fails: a put still at work would come after whoever cleans up.
    let (archived, index, small) =
        tokio::join!(archived, uploads.finish(), store_small_objects(repository, &draft));
    archived?;
    let mut objects = index?;
    objects.extend(small?);
    let record = BackupRecord { objects, ..draft.record };
    commit(repository, &record, claim).await?;
    Ok(record)
}

/// Brings the tars into the repository; their index is to be stored yet. Nothing but an upload that was completed has
/// a name there.
async fn transfer<'a>(
    repository: &'a Repository,
    stream: Box<dyn BaseBackupStream>,
    options: &BackupOptions,
    observe: Observe<'_>,
    claim: &Claim<'_>,
) -> Result<(Received, Uploads<'a>)> {
    let key = claim.key;
    let (sender, receiver) = mpsc::channel(frames_in_flight());
    let mut uploads = Uploads::new(repository, key, options.codec.format())?;
    let reading = read::read(repository, stream, options, observe, sender);
    let storing = uploads.store(receiver, claim, observe);
    match tokio::try_join!(reading, storing) {
        Ok((received, ())) => Ok((received, uploads)),
        Err(error) => {
            uploads.abort().await;
            Err(error)
        }
    }
}

/// As many frames as keep every core busy, in bounded memory on a machine with many.
fn frames_in_flight() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZeroUsize::get).clamp(2, 12)
}

/// A backup that lacks but its objects.
struct Draft {
    record: BackupRecord,
    label: BackupLabel,
    manifest: Option<Vec<Bytes>>,
}

fn draft(
    repository: &Repository,
    options: &BackupOptions,
    claim: &Claim<'_>,
    received: Received,
    control: &ControlFile,
) -> Result<Draft> {
    let Received { label, version, start, stop, manifest, .. } = received;
    let (timeline, stop_lsn) = stop;
    if timeline != start.0 {
        return Err(Error::Refused(format!(
            "the server went from timeline {} to {timeline} during the backup; take another one",
            start.0
        )));
    }
    let size = control.segment_size;
    let record = BackupRecord {
        key: claim.key,
        kind: BackupKind::Full,
        parent: None,
        label: options.label.clone(),
        started: claim.started,
        finished: repository.clock().now(),
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
    Ok(Draft { record, label, manifest })
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

async fn store_small_objects(repository: &Repository, draft: &Draft) -> Result<Vec<RecordedObject>> {
    let label = vec![Bytes::copy_from_slice(draft.label.as_str().as_bytes())];
    let key = draft.record.key;
    let manifest = async {
        match draft.manifest.clone() {
            Some(manifest) => store_part(repository, key, BackupPart::Manifest, manifest).await.map(Some),
            None => Ok(None),
        }
    };
    let (label, manifest) = tokio::join!(store_part(repository, key, BackupPart::Label, label), manifest);
    Ok(std::iter::once(label?).chain(manifest?).collect())
}

/// Stores a small object of the backup and says what the record shall say of it.
async fn store_part(
    repository: &Repository,
    key: BackupKey,
    part: BackupPart,
    content: Vec<Bytes>,
) -> Result<RecordedObject> {
    let name = ObjectName::Backup { key, part };
    let mut hasher = blake3::Hasher::new();
    for piece in &content {
        hasher.update(piece);
    }
    let payload = PutPayload::from_iter(content);
    let recorded = recorded(&name, payload.content_length() as u64, &hasher);
    repository.put_new(&name, payload).await?;
    Ok(recorded)
}

/// Nothing, if the object is there as it was stored.
async fn prove(repository: &Repository, object: &RecordedObject) -> Result<()> {
    let name = ObjectName::parse(&object.name);
    let stored = repository.size(&name).await?;
    if stored == Some(object.bytes) {
        return Ok(());
    }
    let found = stored.map_or("is gone".to_owned(), |bytes| format!("has {bytes} bytes"));
    let reason = format!("{} bytes were stored, and now it {found}: somebody else writes here", object.bytes);
    Err(Error::damaged(name, reason))
}

/// Makes the backup exist, once every one of its objects is proven to be there.
async fn commit(repository: &Repository, record: &BackupRecord, claim: &Claim<'_>) -> Result<()> {
    let looks: Vec<_> = record.objects.iter().map(|object| prove(repository, object).boxed()).collect();
    let proofs = stream::iter(looks).buffer_unordered(LOOKS).try_collect::<()>();
    tokio::try_join!(proofs, claim.ensure_alone())?;
    let name = BackupRecord::object_name(record.key);
    let bytes = record.to_bytes().map_err(|error| Error::damaged(&name, error))?;
    claim.begin_commit().await?;
    let written = match repository.put(&name, bytes.into(), PutMode::Create).await {
        Ok(Put::Stored) => return Ok(()),
        Ok(Put::NameTaken) => Error::Refused(format!("{name} was written by somebody else; theirs stands")),
        Err(error) => error,
    };
    // It may have been stored all the same, and only the answer been lost.
    match repository.record(record.key).await {
        Ok(stands) if stands == *record => Ok(()),
        _ => Err(written),
    }
}
