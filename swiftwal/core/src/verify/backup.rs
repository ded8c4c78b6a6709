//! Verifies one backup: each of its objects, its tars and their files, and the WAL that it needs.

use std::sync::{Arc, Mutex, PoisonError, atomic::AtomicU64};

use futures::{FutureExt, TryStreamExt, future::BoxFuture};
use swiftwal_postgres::{BackupLabel, ControlFile, printable, segments_between};
use tokio::sync::mpsc;

use super::{
    Observe, VerifyEvent, VerifyOptions,
    damage::{Fault, Named},
    file::{Findings, Found},
    pace::Pace,
    tar::{self, TarCheck, TarContent},
};
use crate::{
    error::{ErrorKind, Result},
    local::blocking::blocking,
    repository::{
        Repository,
        backup::ChosenBackup,
        chain_start::check_start,
        cluster::ClusterInfo,
        completeness::needed_by,
        fetch::{self, Buffers, Hashed, IndexFault, StoredIndex, StoredTar},
        index::IndexedKind,
        indexed_members::IndexedMembers,
        label::label_of,
        layout::{BackupPart, ObjectName},
        manifest::Manifest,
        object_pieces,
        record::{BackupRecord, RecordedObject},
    },
};

/// How much of a tar a frame has, as swiftwal cuts it.
const FRAME_BYTES: u64 = 4 << 20;

/// A verify in progress.
pub(super) struct Run<'a> {
    pub(super) repository: &'a Repository,
    pub(super) options: &'a VerifyOptions,
    pub(super) observe: Observe<'a>,
    /// The content of `cluster.json`; none if there is none.
    pub(super) cluster: Option<ClusterInfo>,
    pub(super) buffers: Buffers,
    /// How much was checked, before compression.
    pub(super) progress: Arc<AtomicU64>,
    /// How much there is to check, if that is known.
    pub(super) total: Option<u64>,
    pub(super) pace: Arc<Pace>,
}

/// What a fault means for the backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It can't be restored.
    Unrestorable,
    /// What it restores has damaged pages.
    Pages,
    /// It is restored without its index.
    Index,
    /// It is restored without a comparison with PostgreSQL's manifest.
    Manifest,
    /// Its label isn't shown.
    Label,
}

/// What was found out about a backup.
#[derive(Debug, Default)]
pub(super) struct CheckedBackup {
    pub(super) faults: Vec<(Fault, Effect)>,
    /// What couldn't be checked, or wasn't to be.
    pub(super) not_checked: Vec<String>,
    pub(super) files: u64,
    pub(super) pages: u64,
    pub(super) segments: u64,
    pub(super) stored_bytes: u64,
}

impl CheckedBackup {
    fn add(&mut self, fault: Fault, effect: Effect) {
        self.faults.push((fault, effect));
    }

    /// Takes what was looked at. Returns none if it is at fault.
    fn take<T>(&mut self, looked: Result<T>, effect: Effect) -> Result<Option<T>> {
        match looked {
            Ok(found) => Ok(Some(found)),
            Err(error) => {
                self.add(Fault::of(error)?, effect);
                Ok(None)
            }
        }
    }
}

/// Looks at something, and once more if it looks damaged: a bit may have changed on the way.
pub(super) async fn look<'a, T>(look: impl Fn() -> BoxFuture<'a, Result<T>> + Send) -> Result<T> {
    match look().await {
        Err(error) if error.kind() == ErrorKind::Damaged => look().await,
        looked => looked,
    }
}

impl Run<'_> {
    /// Shows how much was checked.
    pub(super) fn show_progress(&self) {
        (self.observe)(VerifyEvent::Progress { bytes: tar::read(&self.progress), total: self.total });
    }

    /// Verifies a backup. `parent` is the backup that it builds on.
    ///
    /// # Errors
    ///
    /// If it couldn't be looked at. Damage isn't an error.
    pub(super) async fn backup(
        &self,
        chosen: &ChosenBackup,
        parent: Option<&BackupRecord>,
    ) -> Result<CheckedBackup> {
        let mut checked = CheckedBackup::default();
        let Some(record) = &chosen.record else {
            self.legacy(chosen, &mut checked).await?;
            return Ok(checked);
        };
        checked.stored_bytes = record.objects.iter().map(|object| object.bytes).sum();
        self.small_objects(chosen, record, &mut checked).await?;
        let index = self.index(chosen, record, &mut checked).await?;
        let has_manifest = has_part(record, BackupPart::Manifest);
        let manifest =
            look(|| Manifest::read(self.repository, &record.objects, None, &|_| true).boxed()).await;
        let manifest = checked.take(manifest, Effect::Manifest)?.flatten();
        let faults = checked.faults.len();
        let content = Box::pin(self.tars(chosen, record, index, manifest.as_ref(), &mut checked)).await?;
        if let Some(content) = &content {
            check_content(record, parent, content, &mut checked)?;
        }
        match (manifest, content) {
            (Some(manifest), Some(content)) if checked.faults.len() == faults => {
                checked.take(manifest.check(content.sum), Effect::Unrestorable)?;
            }
            (None, _) if !has_manifest => {}
            _ => checked.not_checked.push("whether the files are those of PostgreSQL's manifest".to_owned()),
        }
        let segments: Vec<_> = needed_by(record).collect();
        checked.segments += segments.len() as u64;
        for fault in self.segments(&segments).await? {
            checked.add(fault, Effect::Unrestorable);
        }
        Ok(checked)
    }

    /// Checks the label, and objects that this program doesn't know.
    async fn small_objects(
        &self,
        chosen: &ChosenBackup,
        record: &BackupRecord,
        checked: &mut CheckedBackup,
    ) -> Result<()> {
        for object in &record.objects {
            match object.part() {
                Some(BackupPart::Tar { .. } | BackupPart::Index | BackupPart::Manifest) => continue,
                Some(BackupPart::Label) => {}
                _ => {
                    checked.take(look(|| self.intact(object).boxed()).await, Effect::Unrestorable)?;
                    continue;
                }
            }
            if checked.take(look(|| self.intact(object).boxed()).await, Effect::Label)?.is_some()
                && let Some(label) =
                    checked.take(look(|| label_of(self.repository, chosen).boxed()).await, Effect::Label)?
                && (label.start_lsn(), label.start_segment()) != (record.start_lsn, record.first_wal)
            {
                let reason = format!(
                    "it says that the backup starts at {}, and the commit record says {}",
                    label.start_lsn(),
                    record.start_lsn
                );
                checked.add(Fault::new(&object.name, reason), Effect::Label);
            }
        }
        Ok(())
    }

    /// Compares an object with its size and hash in the commit record.
    async fn intact(&self, recorded: &RecordedObject) -> Result<()> {
        let name = ObjectName::parse(&recorded.name);
        let Some(object) = self.repository.open(&name).await? else {
            return Err(self.repository.missing(name));
        };
        let mut hashed = Hashed::default();
        let mut pieces = hashed.pass(object_pieces(object));
        while pieces.try_next().await.map_err(|error| self.repository.unreadable(&name, error))?.is_some() {}
        drop(pieces);
        hashed.check(recorded)
    }

    async fn index(
        &self,
        chosen: &ChosenBackup,
        record: &BackupRecord,
        checked: &mut CheckedBackup,
    ) -> Result<Option<StoredIndex>> {
        if !has_part(record, BackupPart::Index) {
            return Ok(None);
        }
        let index = look(|| fetch::index(self.repository, chosen, &self.options.scratch).boxed()).await;
        checked.take(index, Effect::Index)
    }

    /// Checks all tars. Returns what they contain, if all of them could be read to their ends.
    async fn tars(
        &self,
        chosen: &ChosenBackup,
        record: &BackupRecord,
        index: Option<StoredIndex>,
        manifest: Option<&Manifest>,
        checked: &mut CheckedBackup,
    ) -> Result<Option<TarContent>> {
        // A tar whose frames are small isn't described by the index, and that isn't damage.
        let tars = fetch::tars(chosen, index, &|_| {});
        let (mut all, mut is_complete) = (TarContent::default(), true);
        let mut pages = Vec::new();
        for tar in tars {
            let object = tar.name();
            let findings = Findings::default();
            let content = Box::pin(self.tar(tar, Some(record), manifest, &findings, checked)).await?;
            let found = findings.take();
            checked.pages += found.pages;
            note_files(record, &object, found, &mut pages, checked);
            match content {
                Some(content) => all.add(content),
                None => is_complete = false,
            }
        }
        note_pages(record, pages, &all, checked);
        Ok(is_complete.then_some(all))
    }

    /// Checks a tar. Returns what it contains, if it could be read to its end.
    async fn tar(
        &self,
        mut tar: StoredTar,
        record: Option<&BackupRecord>,
        manifest: Option<&Manifest>,
        findings: &Findings,
        checked: &mut CheckedBackup,
    ) -> Result<Option<TarContent>> {
        let objects = tar.objects();
        let members = tar.members.as_ref().map(IndexedMembers::again);
        let shared = (Arc::clone(&self.progress), Arc::clone(&self.pace));
        let algorithm = manifest.map(|manifest| manifest.algorithm);
        let check = TarCheck::new(&mut tar, record, algorithm, findings, self.options.jobs, shared)?;
        let (sender, receiver) = mpsc::channel(fetch::PIECES_WAITING);
        let checking = blocking(move || check.run(receiver));
        // Where an object stopped to consist of the index's frames.
        let wrong: Mutex<Option<(String, String, u64)>> = Mutex::default();
        let note = |fault: IndexFault<'_>| {
            if let IndexFault::Wrong { object, error, tar_bytes } = fault {
                let mut wrong = wrong.lock().unwrap_or_else(PoisonError::into_inner);
                *wrong = Some((object.to_string(), error.in_full(), tar_bytes));
            }
        };
        let progress = || self.show_progress();
        let fetching = fetch::fetch(self.repository, tar, sender, &self.buffers, &progress, &note);
        let (fetched, parsed) = tokio::join!(fetching, checking);
        let wrong = wrong.into_inner().unwrap_or_else(PoisonError::into_inner);
        let is_fetched = fetched.is_ok();
        match fetched.and(parsed) {
            Ok(content) => {
                let index = record.and_then(|record| part(record, BackupPart::Index));
                let index = index.map_or_else(String::new, |index| index.name.clone());
                if let Some((object, reason, _)) = wrong {
                    // Both are as they were stored, so a bit may have changed on the way.
                    let what =
                        format!("{index}: once, {object} couldn't be read with it ({reason}); verify again");
                    checked.not_checked.push(what);
                } else if content.differs_from_index {
                    let reason = "it lists other files than the backup's data has";
                    checked.add(Fault::new(index, reason), Effect::Index);
                }
                Ok(Some(content))
            }
            Err(error) => {
                let mut fault = Fault::of(error)?;
                if let Some((object, _, tar_bytes)) = wrong
                    && object == fault.object
                {
                    let before = objects.iter().take_while(|(name, _)| *name != object);
                    let start = before.filter_map(|(_, bytes)| *bytes).sum::<u64>() + tar_bytes;
                    fault.files = members.map_or_else(Vec::new, |members| files_at(record, members, start));
                }
                let damaged = fault.object.clone();
                let recorded = record.into_iter().flat_map(|record| &record.objects);
                let recorded = recorded.filter(|object| objects.iter().any(|(name, _)| *name == object.name));
                for object in recorded {
                    let intact = self.intact(object).await;
                    if object.name != damaged {
                        checked.take(intact, Effect::Unrestorable)?;
                    } else if intact.is_ok() && !is_fetched {
                        let what = format!(
                            "{damaged}: once, it was read with other content than it has ({}); verify again, and if that \
                             happens again, check the network and the memory of this machine",
                            fault.reason
                        );
                        checked.not_checked.push(what);
                        return Ok(None);
                    }
                }
                checked.add(fault, Effect::Unrestorable);
                Ok(None)
            }
        }
    }

    /// Checks a backup of SwiftWAL 0.2.2, of which nothing is known but what it contains.
    async fn legacy(&self, chosen: &ChosenBackup, checked: &mut CheckedBackup) -> Result<()> {
        let name = chosen.legacy_object();
        checked.stored_bytes = self.repository.size(&name).await?.unwrap_or_default();
        checked.take(look(|| label_of(self.repository, chosen).boxed()).await, Effect::Unrestorable)?;
        for tar in fetch::tars(chosen, None, &|_| {}) {
            let findings = Findings::default();
            let content = Box::pin(self.tar(tar, None, None, &findings, checked)).await?;
            checked.files += content.map_or(0, |content| content.files);
        }
        let reason =
            "whether it is what was backed up: SwiftWAL 0.2.2 stored no checksums, nor how much WAL it needs";
        checked.not_checked.push(reason.to_owned());
        Ok(())
    }
}

/// Checks what the tars contain: the label, the control file, and the WAL.
fn check_content(
    record: &BackupRecord,
    parent: Option<&BackupRecord>,
    content: &TarContent,
    checked: &mut CheckedBackup,
) -> Result<()> {
    checked.files += content.files;
    let backup = || format!("backup {}", record.key);
    if let Some(label) =
        checked.take(check_start(record.key, content.label.as_deref(), parent), Effect::Unrestorable)?
    {
        check_label(record, &label, checked);
    }
    match content.control.as_deref().map(ControlFile::parse) {
        None => checked.add(Fault::new(backup(), "it has no global/pg_control"), Effect::Unrestorable),
        Some(Err(error)) => checked.add(Fault::new(backup(), error), Effect::Unrestorable),
        Some(Ok(control)) if control.system_identifier != record.system_identifier => {
            let reason = format!(
                "its global/pg_control is that of the cluster with system identifier {}",
                control.system_identifier
            );
            checked.add(Fault::new(backup(), reason), Effect::Unrestorable);
        }
        Some(Ok(_)) => {}
    }
    Ok(())
}

fn check_label(record: &BackupRecord, label: &BackupLabel, checked: &mut CheckedBackup) {
    if label.start_lsn() != record.start_lsn {
        let reason = format!(
            "its backup_label says that it starts at {}, and the commit record says {}",
            label.start_lsn(),
            record.start_lsn
        );
        checked.add(Fault::new(format!("backup {}", record.key), reason), Effect::Unrestorable);
    }
}

/// Notes what is wrong with the files of a tar. Damaged pages are noted later: it isn't known yet whether the cluster has
/// checksums.
fn note_files(
    record: &BackupRecord,
    object: &str,
    found: Found,
    pages: &mut Vec<(String, Named)>,
    checked: &mut CheckedBackup,
) {
    let Found { differing, invalid, damaged_pages, segments, .. } = found;
    let mut note = |named: Named, reason: &str| {
        if named.count > 0 {
            let files = named.names().iter().map(|name| with_database(record, name)).collect();
            checked.faults.push((Fault { files, ..Fault::new(object, reason) }, Effect::Unrestorable));
        }
    };
    note(differing, "the content of files isn't what was backed up");
    note(invalid, "incremental files aren't as PostgreSQL writes them");
    if damaged_pages.count > 0 {
        pages.push((object.to_owned(), damaged_pages));
    }
    if !record.includes_wal || !is_data(object) {
        return;
    }
    let size = record.wal_segment_bytes;
    for segment in segments_between(record.timeline, record.start_lsn, record.stop_lsn, size) {
        checked.segments += 1;
        let reason = match segments.get(&segment) {
            Some(None) => continue,
            Some(Some(reason)) => reason.clone(),
            None => "it isn't in the backup, which needs it".to_owned(),
        };
        let fault = Fault::new(format!("WAL segment {segment} in {object}"), reason);
        checked.faults.push((fault, Effect::Unrestorable));
    }
}

/// Notes damaged pages, if the cluster has checksums.
fn note_pages(
    record: &BackupRecord,
    damaged: Vec<(String, Named)>,
    content: &TarContent,
    checked: &mut CheckedBackup,
) {
    let has_checksums = content.control.as_deref().and_then(ControlFile::has_checksums);
    if has_checksums != Some(true) {
        checked.pages = 0;
    }
    if has_checksums.is_none() {
        checked
            .not_checked
            .push("the pages' checksums: it isn't known whether the cluster has any".to_owned());
    }
    for (object, named) in damaged.into_iter().filter(|_| has_checksums == Some(true)) {
        let count = named.count;
        let pages = if count == 1 { "a page has".to_owned() } else { format!("{count} pages have") };
        let known = if record.damaged_pages > 0 {
            ", as was reported when the backup was taken"
        } else {
            ", and so they were when they were backed up"
        };
        let files = named.names().iter().map(|name| with_database(record, name)).collect();
        let reason = format!("{pages} a wrong checksum{known}");
        checked.add(Fault { files, ..Fault::new(object, reason) }, Effect::Pages);
    }
}

fn is_data(object: &str) -> bool {
    let is_data = |part| matches!(part, BackupPart::Tar { tablespace: None, .. });
    matches!(ObjectName::parse(object), ObjectName::Backup { part, .. } if is_data(part))
}

fn part(record: &BackupRecord, part: BackupPart) -> Option<&RecordedObject> {
    record.objects.iter().find(|object| object.part() == Some(part))
}

fn has_part(record: &BackupRecord, wanted: BackupPart) -> bool {
    part(record, wanted).is_some()
}

/// Returns the files with content in the frame of the tar that begins at `start`.
fn files_at(record: Option<&BackupRecord>, mut members: IndexedMembers, start: u64) -> Vec<String> {
    let mut named = Named::default();
    while let Ok(Some(member)) = members.next() {
        if let IndexedKind::File { offset, bytes, .. } = member.kind
            && offset < start + FRAME_BYTES
            && offset + bytes > start
        {
            let name = || printable(&member.name.0).to_string();
            named.add(|| record.map_or_else(name, |record| with_database(record, &name())));
        }
    }
    named.names()
}

/// Returns the name of a file, with that of its database if it is known.
fn with_database(record: &BackupRecord, file: &str) -> String {
    let oid = file.split("base/").nth(1).and_then(|rest| rest.split('/').next());
    let oid: Option<u32> = oid.and_then(|oid| oid.parse().ok());
    let mut databases = record.databases.iter().flatten();
    match databases.find(|database| Some(database.oid) == oid) {
        Some(database) => format!("{file} of database {}", printable(&database.name)),
        None => file.to_owned(),
    }
}
