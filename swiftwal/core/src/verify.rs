//! verify: reads what is stored, without restoring it, and says what is damaged and what that means.
//!
//! A backup is read as a restore reads it: each object is compared with the commit record, the tars are parsed, and each
//! file is compared with the index and PostgreSQL's manifest ([`backup`], [`tar`], [`file`]). WAL is decompressed and
//! checked page by page ([`wal`]). [`meaning`] says what can't be restored any more.
//!
//! Damage is a finding; that something couldn't be looked at is an error. The result for a backup is stored beside it as
//! soon as it is known, unless the backup was deleted meanwhile.

mod backup;
mod damage;
mod file;
mod meaning;
mod pace;
mod tar;
mod wal;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
    time::Instant,
};

use jiff::Timestamp;
use serde::Serialize;
use swiftwal_postgres::{SegmentSize, Timeline};

pub use self::damage::Damage;
use self::{
    backup::{CheckedBackup, Run},
    damage::Fault,
    meaning::{Kept, Meaning},
    pace::Pace,
};
use crate::{
    error::{Error, ErrorKind, Result},
    repository::{
        Repository,
        backup::ChosenBackup,
        chain::parents,
        choice::BackupChoice,
        cluster::ClusterInfo,
        completeness::needed_by,
        fetch::Buffers,
        history::Histories,
        inventory::Inventory,
        key::BackupKey,
        layout::ObjectName,
        pin::Pin,
        proof::{Proof, ProofKind, Verdict},
        record::BackupRecord,
        timelines::{Content, ListedBackup, read_all},
    },
};

/// The most damages of a backup that are stored with the result.
const MOST_STORED: usize = 100;

/// Says that an object was read wrongly once.
const READ_ONCE: &str = "once, it was read with other content than it has; verify again, and if that happens again, check the network";

/// The backups to verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyChoice {
    /// None: only WAL.
    None,
    /// One, with those it builds on.
    One(BackupChoice),
    /// All of them.
    All,
}

/// The options of a verify.
#[derive(Clone, Debug)]
pub struct VerifyOptions {
    /// The backups.
    pub choice: VerifyChoice,
    /// Whether all stored WAL is checked, and not only what these backups need.
    pub wal: bool,
    /// Whether backups are left out whose last verify has passed.
    pub new_only: bool,
    /// The most bytes that are read from the storage in a second; none for no limit.
    pub most_bytes_per_second: Option<u64>,
    /// How many WAL files are checked at a time, and the most threads that check the files of a backup.
    pub jobs: usize,
    /// A directory for the text of an index, in a file without a name.
    pub scratch: PathBuf,
}

/// An event of a verify.
#[derive(Debug)]
#[non_exhaustive]
pub enum VerifyEvent<'a> {
    /// This backup will be verified.
    Begins(BackupKey),
    /// Something is damaged.
    Damage(&'a Damage),
    /// A notice for the administrator.
    Notice(&'a str),
    /// This backup has been verified, and its result is stored.
    Verified(&'a VerifiedBackup),
    /// More data has been checked.
    Progress {
        /// The bytes that were checked, before compression.
        bytes: u64,
        /// The total, if known.
        total: Option<u64>,
    },
}

type Observe<'a> = &'a (dyn Fn(VerifyEvent<'_>) + Send + Sync);

/// The result of a verify.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct VerifyReport {
    /// The backups that were verified, each after those it builds on.
    pub backups: Vec<VerifiedBackup>,
    /// The backups that were left out, since their last verify has passed.
    pub skipped: Vec<BackupKey>,
    /// All stored WAL, if it was checked.
    pub wal: Option<VerifiedWal>,
    /// What is damaged beside the backups that were verified.
    pub damage: Vec<Damage>,
    /// Notices for the administrator.
    pub notices: Vec<String>,
}

/// The result for a backup.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct VerifiedBackup {
    /// The backup.
    pub key: BackupKey,
    /// What was found.
    pub verdict: Verdict,
    /// How long it took.
    pub seconds: f64,
    /// What was looked at.
    #[serde(flatten)]
    pub details: VerifiedDetails,
}

/// What was looked at of a backup, and found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct VerifiedDetails {
    /// The size of its objects as stored.
    pub stored_bytes: u64,
    /// The number of files.
    pub files: u64,
    /// The number of pages whose checksums were checked: none if the cluster has no checksums.
    pub pages: u64,
    /// The number of WAL segments that the backup needs.
    pub wal_segments: u64,
    /// What wasn't looked at.
    pub not_checked: Vec<String>,
    /// What is damaged.
    pub damage: Vec<Damage>,
}

/// The result for the WAL.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct VerifiedWal {
    /// The number of files that were checked.
    pub files: u64,
    /// The size of their objects as stored.
    pub stored_bytes: u64,
}

impl VerifyReport {
    /// Whether anything is damaged.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        !self.damage.is_empty() || self.backups.iter().any(|backup| backup.verdict == Verdict::Failed)
    }
}

/// Verifies backups and WAL, and stores the result for each backup. Restores nothing, and changes nothing else.
///
/// Memory: 32 MiB for pieces of tars, 24 bytes for each frame of the backup that is verified (4 MiB of tar), 256 KiB and the
/// decoder's window for each WAL file that is checked at a time, and what a listing of the repository needs.
///
/// # Errors
///
/// [`Error::UnknownBackup`], [`Error::NoBackup`]; and whatever kept it from looking, such as a failure of the storage. Damage
/// isn't an error: it is in the report.
pub async fn verify(
    repository: &Repository,
    options: &VerifyOptions,
    observe: Observe<'_>,
) -> Result<VerifyReport> {
    let mut report = VerifyReport::default();
    let mut cluster = repository.cluster_if_readable().await?;
    if cluster.is_err() {
        cluster = repository.cluster_if_readable().await?;
    }
    let cluster = match cluster {
        Ok(cluster) => cluster,
        Err(error) => {
            let means = "archive-wal, restore-wal, backup and restore fail until it is repaired; nothing else was looked at";
            report.add(observe, Fault::of(error)?.means(means, Vec::new()));
            return Ok(report);
        }
    };
    let inventory = repository.inventory_with_every_record().await?;
    let listed = read_all(repository, &inventory).await?;
    let kept = Kept::of(&listed);
    look_around(repository, cluster.as_ref(), &inventory, &listed, &mut report, observe).await?;
    let chosen = choose(repository, options.choice, &listed).await?;
    let proofs = repository.proofs(&inventory).await?;
    let has_passed = |key| options.new_only && proofs.last_verify(key) == Some(Verdict::Passed);
    let (skipped, chosen): (Vec<_>, Vec<_>) = chosen.into_iter().partition(|backup| has_passed(backup.key));
    report.skipped = skipped.iter().map(|backup| backup.key).collect();
    let size = cluster.as_ref().map_or_else(SegmentSize::default, |info| info.identity.wal_segment_bytes);
    let run = Run {
        repository,
        options,
        observe,
        cluster,
        buffers: Buffers::new(),
        progress: Arc::new(AtomicU64::new(0)),
        total: total(&chosen, options.wal.then_some((&inventory, size))),
        pace: Arc::new(Pace::new(options.most_bytes_per_second, Instant::now())),
    };
    let mut verdicts: BTreeMap<_, _> = report.skipped.iter().map(|key| (*key, Verdict::Passed)).collect();
    for backup in &chosen {
        observe(VerifyEvent::Begins(backup.key));
        let Some(verified) = Box::pin(verify_backup(&run, backup, &kept, &verdicts)).await? else {
            report.notice(observe, format!("backup {} was deleted while it was verified", backup.key));
            continue;
        };
        verdicts.insert(backup.key, verified.verdict);
        observe(VerifyEvent::Verified(&verified));
        report.backups.push(verified);
    }
    if options.wal {
        let histories = Histories::listed(repository, &inventory).await?;
        Box::pin(verify_wal(
            &run,
            &inventory,
            &Meaning { kept: &kept, histories: &histories, size },
            &mut report,
        ))
        .await?;
    }
    Ok(report)
}

impl VerifyReport {
    fn add(&mut self, observe: Observe<'_>, damage: Damage) {
        observe(VerifyEvent::Damage(&damage));
        self.damage.push(damage);
    }

    fn notice(&mut self, observe: Observe<'_>, notice: String) {
        observe(VerifyEvent::Notice(&notice));
        self.notices.push(notice);
    }
}

/// Returns the chosen backups, each after those it builds on.
async fn choose(
    repository: &Repository,
    choice: VerifyChoice,
    listed: &[ListedBackup],
) -> Result<Vec<ChosenBackup>> {
    let readable = || listed.iter().filter_map(ListedBackup::backup);
    match choice {
        VerifyChoice::None => Ok(Vec::new()),
        VerifyChoice::All => Ok(readable().cloned().collect()),
        VerifyChoice::One(choice) => {
            let chosen = match choice {
                BackupChoice::Latest => readable().next_back().cloned(),
                BackupChoice::Key(key) => readable().find(|backup| backup.key == key).cloned(),
            };
            let chosen = match chosen {
                Some(chosen) => chosen,
                None => choice.find(repository).await?,
            };
            let builds_on = parents(repository, &chosen).await?.unwrap_or_default();
            let builds_on = builds_on.into_iter().rev();
            let builds_on = builds_on.map(|record| ChosenBackup { key: record.key, record: Some(record) });
            Ok(builds_on.chain([chosen]).collect())
        }
    }
}

/// Returns how much there is to check, before compression; none if that isn't known.
fn total(chosen: &[ChosenBackup], wal: Option<(&Inventory, SegmentSize)>) -> Option<u64> {
    let mut total = 0;
    for backup in chosen {
        let record = backup.record.as_ref()?;
        total += record.objects.iter().filter_map(|object| object.tar_bytes).sum::<u64>();
        total += needed_by(record).count() as u64 * record.wal_segment_bytes.bytes();
    }
    let files = |(inventory, size): (&Inventory, SegmentSize)| {
        let segments = inventory.wal.iter().filter(|wal| wal.name.segment().is_some());
        segments.count() as u64 * size.bytes()
    };
    Some(total + wal.map_or(0, files))
}

/// Looks at what no single backup shows: commit records, pins, and what interrupted commands have left.
async fn look_around(
    repository: &Repository,
    cluster: Option<&ClusterInfo>,
    inventory: &Inventory,
    listed: &[ListedBackup],
    report: &mut VerifyReport,
    observe: Observe<'_>,
) -> Result<()> {
    if cluster.is_none() && listed.iter().any(|backup| backup.position.is_some() && !is_legacy(backup)) {
        let fault = Fault::new(ObjectName::Cluster, "it is missing");
        let means = "the next archive-wal or backup writes it again, for whatever cluster it belongs to; until then, nothing \
                     checks that WAL is this cluster's";
        report.add(observe, fault.means(means, Vec::new()));
    }
    for backup in listed {
        match &backup.content {
            Content::Backup(_) => {}
            Content::NoBackup(reason) if is_lost(repository, inventory, backup.key).await? => {
                let fault = Fault::new(BackupRecord::object_name(backup.key), reason);
                let means = format!("backup {} can't be restored", backup.key);
                report.add(observe, fault.means(means, vec![backup.key]));
            }
            Content::NoBackup(reason) => report.notice(observe, reason.clone()),
            Content::Unreadable(error) if error.kind() == ErrorKind::Damaged => {
                // Not if a bit has changed on the way.
                if repository.record(backup.key).await.is_ok() {
                    return Err(Error::damaged(BackupRecord::object_name(backup.key), READ_ONCE));
                }
                let fault = Fault::new(BackupRecord::object_name(backup.key), error.in_full());
                let means = format!("backup {} can't be restored", backup.key);
                report.add(observe, fault.means(means, vec![backup.key]));
            }
            Content::Unreadable(error) => report.notice(observe, error.in_full()),
        }
    }
    for (key, reason) in repository.pins(inventory).await?.unreadable() {
        let fault = Fault::new(Pin::object_name(key), reason);
        let means = format!("backup {key} is kept until it is pinned again, or unkeep removes the pin");
        report.add(observe, fault.means(means, vec![key]));
    }
    look_for_leftovers(repository, inventory, report, observe).await
}

/// Whether the commit record of a backup is lost or was replaced, though its data is there. That of another cluster, which
/// was copied here, isn't.
async fn is_lost(repository: &Repository, inventory: &Inventory, key: BackupKey) -> Result<bool> {
    let stored = inventory.backups.iter().find(|backup| backup.key == key);
    let has_data = stored.is_some_and(|backup| backup.main_object().is_some());
    if !has_data || repository.size(&ObjectName::Deleting(key)).await?.is_some() {
        return Ok(false);
    }
    match repository.record_of_any_cluster(key).await {
        Ok(record) => Ok(record.is_none()),
        Err(Error::Foreign { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

fn is_legacy(backup: &ListedBackup) -> bool {
    backup.backup().is_some_and(|backup| backup.record.is_none())
}

/// Names the objects of backups that have no commit record.
async fn look_for_leftovers(
    repository: &Repository,
    inventory: &Inventory,
    report: &mut VerifyReport,
    observe: Observe<'_>,
) -> Result<()> {
    let live = repository.liveness(inventory).await.before;
    let is_running = |key: BackupKey, touched: Timestamp| {
        touched > live || inventory.markers.iter().any(|marker| marker.key == key && marker.touched > live)
    };
    for (key, found) in &inventory.uncommitted {
        let has_marker = inventory.markers.iter().any(|marker| marker.key == *key);
        let was_deleted = inventory.deleting.contains_key(key);
        let bytes: u64 = found.objects.iter().map(|object| object.bytes).sum();
        let names = found.objects.iter().map(|object| object.name.to_string()).collect::<Vec<_>>().join(", ");
        let is_backup = inventory.without_record().contains(key);
        if is_backup && !has_marker && !was_deleted {
            // A backup's objects get their names while its marker is there.
            let fault = Fault::new(
                BackupRecord::object_name(*key),
                format!(
                    "it is missing, but other objects of the backup are there, with {bytes} bytes: {names}"
                ),
            );
            let means = format!(
                "backup {key} can't be restored by swiftwal, and prune removes the rest of it after 24 hours; by hand, it can \
                 be restored as docs/operations.md says"
            );
            report.add(observe, fault.means(means, vec![*key]));
        } else if !is_running(*key, found.touched) || was_deleted {
            report.notice(
                observe,
                format!("no backup, but left by an interrupted command until the next prune: {names}, with {bytes} bytes"),
            );
        }
    }
    Ok(())
}

/// Verifies a backup, and stores the result. None if the backup was deleted meanwhile.
async fn verify_backup(
    run: &Run<'_>,
    backup: &ChosenBackup,
    kept: &Kept,
    verdicts: &BTreeMap<BackupKey, Verdict>,
) -> Result<Option<VerifiedBackup>> {
    let began = Instant::now();
    let (key, parent) = (backup.key, kept.parent_of(backup));
    let mut checked = Box::pin(run.backup(backup, parent)).await?;
    let name =
        backup.record.as_ref().map_or_else(|| backup.legacy_object(), |_| BackupRecord::object_name(key));
    if run.repository.size(&name).await?.is_none() {
        return Ok(None);
    }
    if let Some(on) = backup.record.as_ref().and_then(|record| record.parent) {
        match verdicts.get(&on) {
            Some(Verdict::Passed) => {}
            Some(Verdict::Failed) => {
                let fault = Fault::new(format!("backup {on}"), "it is damaged, and this backup builds on it");
                checked.faults.push((fault, backup::Effect::Unrestorable));
            }
            Some(Verdict::NotProven) => {
                checked.not_checked.push(format!("all of backup {on}, on which it builds"))
            }
            None if parent.is_none() => {
                let fault = Fault::new(format!("backup {on}"), "it is missing, and this backup builds on it");
                checked.faults.push((fault, backup::Effect::Unrestorable));
            }
            None => checked.not_checked.push(format!("backup {on}, on which it builds")),
        }
    }
    let verified = concluded(backup, checked, kept, began.elapsed().as_secs_f64());
    for damage in &verified.details.damage {
        (run.observe)(VerifyEvent::Damage(damage));
    }
    let at = run.repository.storage_now().await?;
    let proof = Proof { kind: ProofKind::Verify, at, verdict: verified.verdict, seconds: verified.seconds };
    let mut details = verified.details.clone();
    details.damage.truncate(MOST_STORED);
    run.repository.store_proof(key, &proof, &details).await?;
    Ok(Some(verified))
}

/// Returns the result for a backup of which this was found.
fn concluded(backup: &ChosenBackup, checked: CheckedBackup, kept: &Kept, seconds: f64) -> VerifiedBackup {
    let CheckedBackup { faults, not_checked, files, pages, segments, stored_bytes } = checked;
    let damage: Vec<_> = faults
        .into_iter()
        .map(|(fault, effect)| {
            let (means, backups) = kept.meaning(backup.key, effect);
            fault.means(means, backups)
        })
        .collect();
    let verdict = match (damage.is_empty(), not_checked.is_empty()) {
        (false, _) => Verdict::Failed,
        (true, false) => Verdict::NotProven,
        (true, true) => Verdict::Passed,
    };
    let details = VerifiedDetails { stored_bytes, files, pages, wal_segments: segments, not_checked, damage };
    VerifiedBackup { key: backup.key, verdict, seconds, details }
}

/// Checks all stored WAL.
async fn verify_wal(
    run: &Run<'_>,
    inventory: &Inventory,
    meaning: &Meaning<'_>,
    report: &mut VerifyReport,
) -> Result<()> {
    let observe = run.observe;
    for (wal, fault) in run.stored_wal(&inventory.wal).await? {
        let (means, backups) = meaning.of_wal(wal.name, inventory);
        report.add(observe, fault.means(means, backups));
    }
    let mut holes: BTreeSet<_> = wal::holes(inventory, meaning.histories, meaning.size).into_iter().collect();
    holes.extend(meaning.kept.holes_behind(inventory, meaning.size));
    for hole in holes {
        let object = match hole.first == hole.last {
            true => format!("WAL segment {}", hole.first),
            false => format!("WAL segments {} to {}", hole.first, hole.last),
        };
        let (means, backups) = meaning.of_hole(hole, inventory);
        let fault = Fault::new(object, "missing, though later WAL is stored");
        if backups.is_empty() {
            report.notice(observe, fault.means(means, backups).to_string());
        } else {
            report.add(observe, fault.means(means, backups));
        }
    }
    let used: BTreeSet<Timeline> = inventory.wal.iter().map(|wal| wal.name.timeline()).collect();
    for fault in wal::history_faults(meaning.histories, used.into_iter()) {
        let means = "recovery along that timeline fails, or ends before it";
        report.add(observe, fault.means(means, Vec::new()));
    }
    let stored_bytes = inventory.wal.iter().map(|wal| wal.bytes).sum();
    report.wal = Some(VerifiedWal { files: inventory.wal.len() as u64, stored_bytes });
    Ok(())
}
