//! prune removes old backups and the WAL that is no longer needed.
//!
//! It takes the inventory, makes a plan without any I/O or clock, and then deletes, commit records first.

mod branches;
mod chains;
mod kept_for;
#[cfg(test)]
mod model;
mod plan;
mod policy;
mod retention;
mod stored_state;
mod wal_window;

use std::collections::BTreeSet;

use jiff::Timestamp;
use swiftwal_postgres::Timeline;

use self::{
    branches::{BranchBackups, KnownBackups, by_branch, counts, leading_notice},
    chains::Chains,
    plan::{AbandonedUpload, Facts, OtherFacts},
    stored_state::{StoredState, read_stored_state},
};
pub use self::{
    kept_for::{KeptFor, Reasons},
    plan::PrunePlan,
    policy::{CalendarRules, PrunePolicy},
};
use crate::{
    error::{Error, Refusal, Result},
    repository::{
        Repository,
        backup::ChosenBackup,
        backup_removal::{delete_backup, delete_backups, mark_removals},
        clocks::Liveness,
        completeness::{missing_object, needed_and_missing},
        inventory::{Inventory, StoredBackup},
        key::BackupKey,
        layout::ObjectName,
        legacy,
        markers::{markers, remove_stale_marks},
        needs::Needs,
        pin::{Pin, Pins},
        record::BackupRecord,
        running::{RunningBackup, in_progress},
        timelines::{ListedBackup, Timelines},
        wal_removal::WalRemoval,
    },
};

/// Plans what prune removes and keeps. It only reads.
///
/// The plan keeps what the policy's rules keep of each branch, every pinned backup, what these build on, every WAL file that
/// recovery from one of them may need, on any timeline, the newest segments, every history, and everything of a backup in
/// progress, including what it builds on.
///
/// If there is no backup at all, the plan keeps all WAL, and [`PrunePlan::refused`] says so.
///
/// # Errors
///
/// [`Error::Refused`] if a backup that would be kept is incomplete, or lacks WAL that it needs to become consistent:
/// then nothing may be removed. [`Error::Damaged`] for a commit record or a history that can't be read.
/// [`Error::NewerFormat`].
pub async fn plan_prune(repository: &Repository, policy: &PrunePolicy) -> Result<PrunePlan> {
    // Objects of a newer version may need others that this program doesn't know.
    repository.check_before_deleting().await?;
    let StoredState { mut inventory, swept, liveness: Liveness { now, before, notice: of_clocks } } =
        read_stored_state(repository).await?;
    let mut timelines = Timelines::survey(repository, &inventory).await?;
    timelines.refuse_not_understood()?;
    timelines.histories.all_readable()?;
    let mut notices = set_aside_no_backups(&mut inventory, &timelines);
    notices.extend(of_clocks);
    notices.extend(timelines.without_history().map(|timeline| {
        format!(
            "{:08X}.history is not stored, so recovery can't reach timeline {timeline} from another one, and the backups \
             before it are counted as a branch of their own; store it with archive-wal from the server's pg_wal",
            timeline.get()
        )
    }));
    if inventory.backups.is_empty() {
        let other = OtherFacts { now, before, swept, notices };
        return Ok(PrunePlan::without_backups(repository.location(), inventory, other));
    }
    let branches = by_branch(&timelines);
    let chains = Chains::of(&timelines);
    let (pins, proofs) = tokio::try_join!(repository.pins(&inventory), repository.proofs(&inventory))?;
    notices.extend(pins.notices().into_iter().chain(proofs.notices.iter().cloned()));
    let running = in_progress(repository, &inventory.markers, before).await?;
    let known =
        KnownBackups { inventory: &inventory, timelines: &timelines, chains: &chains, proofs: &proofs };
    let ByRules { kept: mut kept_for, counted, notices: of_branches } =
        by_rules(policy, &branches, &known, &pins, now);
    notices.extend(of_branches);
    for parent in parents_of(&running, &inventory) {
        kept_for.add(parent, KeptFor::InProgress);
    }
    let mut kept = kept_backups(repository, &inventory, &timelines, kept_for.keys().collect()).await?;
    notices.extend(not_counted(&inventory, &kept));
    notices.extend(kept.iter().filter_map(damaged_notice));
    for branch in newer_without_backups(&branches) {
        let leading = keep_one_that_leads_to(branch, repository, &inventory, &timelines, &mut kept).await?;
        notices.extend(leading.notice);
        leading.kept.into_iter().for_each(|key| kept_for.add(key, KeptFor::LeadsTo(branch)));
    }
    for (child, parent) in
        kept.iter().filter_map(|backup| Some((backup.key, backup.record.as_ref()?.parent?)))
    {
        kept_for.add(parent, KeptFor::ParentOf(child));
    }
    let removed_pins = pins.expired(now).filter(|pin| !kept_for.keeps(pin.key));
    notices.extend(removed_pins.map(expired_notice));
    let only_themselves = policy.keep_wal_within.map(|window| {
        let begins = now.checked_sub(window).unwrap_or(Timestamp::MIN);
        wal_window::only_themselves(begins, &kept, &timelines, &counted)
    });
    let only_themselves = only_themselves.unwrap_or_default();
    let histories = timelines.histories;
    let needs =
        Needs::of(repository, &inventory, histories, kept.iter(), &only_themselves, &running, before).await?;
    let keep_backups = kept.iter().map(|backup| backup.key).collect();
    Ok(PrunePlan::new(
        inventory,
        Facts {
            keep_backups,
            kept_for,
            only_themselves,
            chains,
            needs,
            keep_wals: policy.keep_wals,
            other: OtherFacts { now, before, swept, notices },
        },
    ))
}

/// What the rules find.
#[derive(Debug, Default)]
struct ByRules {
    /// The backups that are pinned or that a rule keeps.
    kept: Reasons,
    /// The backups that the rules count.
    counted: BTreeSet<BackupKey>,
    /// Notices about the kept backups on other branches than the first.
    notices: Vec<String>,
}

fn by_rules(
    policy: &PrunePolicy,
    branches: &[BranchBackups],
    known: &KnownBackups<'_>,
    pins: &Pins,
    now: Timestamp,
) -> ByRules {
    let mut found = ByRules::default();
    for (number, branch) in branches.iter().enumerate() {
        let candidates = branch.candidates(known);
        let mut of_branch = pinned(candidates.iter().map(|candidate| candidate.key), pins, now);
        retention::keep(policy, &candidates, now, &mut of_branch);
        if number > 0 && !branch.is_empty() {
            found.notices.push(branch.kept_notice(known.timelines, &of_branch));
        }
        found.kept.extend(of_branch);
        found.counted.extend(retention::counted(policy, &candidates));
    }
    found
}

/// Returns those of the backups that are pinned.
fn pinned(keys: impl Iterator<Item = BackupKey>, pins: &Pins, now: Timestamp) -> Reasons {
    let mut pinned = Reasons::default();
    for key in keys.filter(|key| pins.keep(*key, now)) {
        let pin = pins.get(key);
        let (until, reason) = (pin.and_then(|pin| pin.until), pin.and_then(|pin| pin.reason.clone()));
        pinned.add(key, KeptFor::Pinned { until, reason });
    }
    pinned
}

/// Returns a notice that a backup is removed although it has a pin.
fn expired_notice(pin: &Pin) -> String {
    let until = pin.until.map(|until| format!(" on {until}")).unwrap_or_default();
    format!("the pin of backup {} has expired{until}, so it no longer keeps the backup", pin.key)
}

/// Returns the backups on which those in progress build.
fn parents_of(running: &[RunningBackup], inventory: &Inventory) -> Vec<BackupKey> {
    let is_stored = |key: &BackupKey| inventory.backups.iter().any(|backup| backup.key == *key);
    running.iter().filter_map(|running| running.parent).filter(is_stored).collect()
}

/// Removes from the inventory what is listed but isn't a backup, so that it is left alone. Returns notices about it.
fn set_aside_no_backups(inventory: &mut Inventory, timelines: &Timelines) -> Vec<String> {
    let reason = |key| timelines.backups.iter().find(|backup| backup.key == key)?.no_backup();
    let reasons = inventory.backups.iter().filter_map(|backup| reason(backup.key)).map(str::to_owned);
    let notices = reasons.collect();
    inventory.backups.retain(|backup| reason(backup.key).is_none());
    notices
}

/// Returns the timelines after that of the newest backup that have no backup to themselves.
fn newer_without_backups(branches: &[BranchBackups]) -> impl Iterator<Item = Timeline> {
    let main = branches.first().map(|branch| branch.tip);
    let others = branches.iter().filter(|branch| branch.is_empty()).map(|branch| branch.tip);
    others.filter(move |tip| Some(*tip) > main)
}

/// Returns the backups to keep and those they build on, oldest first, each proven to be complete.
async fn kept_backups(
    repository: &Repository,
    inventory: &Inventory,
    timelines: &Timelines,
    mut wanted: Vec<BackupKey>,
) -> Result<Vec<ChosenBackup>> {
    let mut kept: Vec<ChosenBackup> = Vec::new();
    while let Some(key) = wanted.pop() {
        if kept.iter().any(|backup| backup.key == key) {
            continue;
        }
        let backup = match complete(repository, inventory, timelines, key).await {
            Ok(backup) => backup,
            Err(error) => return Err(unless_deleted(repository, inventory, key, error).await),
        };
        wanted.extend(backup.record.as_ref().and_then(|record| record.parent));
        kept.push(backup);
    }
    kept.sort_by_key(|backup| backup.key);
    Ok(kept)
}

/// Returns the backup `key`, proven to be complete, if what it builds on is there.
async fn complete(
    repository: &Repository,
    inventory: &Inventory,
    timelines: &Timelines,
    key: BackupKey,
) -> Result<ChosenBackup> {
    let backup = chosen(repository, inventory, timelines, key).await.map_err(|error| match error {
        Error::Damaged { object, reason } => {
            let hint = "if it is lost, delete that object: a later prune removes the rest of the backup";
            Error::damaged(object, format!("{reason}; {hint}"))
        }
        error => error,
    })?;
    refuse_incomplete(repository, &backup).await?;
    if let Some(parent) = backup.record.as_ref().and_then(|record| record.parent) {
        refuse_without_parent(repository, inventory, key, parent).await?;
    }
    Ok(backup)
}

/// Returns the `error` of a backup that isn't complete, or another one if it was deleted since it was listed.
async fn unless_deleted(
    repository: &Repository,
    inventory: &Inventory,
    key: BackupKey,
    error: Error,
) -> Error {
    let is_listed = inventory.backups.iter().any(|backup| backup.key == key && !backup.legacy);
    if !is_listed || !matches!(repository.size(&BackupRecord::object_name(key)).await, Ok(None)) {
        return error;
    }
    let what = format!(
        "backup {key} in {} was deleted by another command while this one made its plan. Nothing was pruned",
        repository.location()
    );
    Refusal::overtaken(what, "prune again").into()
}

/// Returns the backup `key`. It is read again only if it couldn't be read before.
async fn chosen(
    repository: &Repository,
    inventory: &Inventory,
    timelines: &Timelines,
    key: BackupKey,
) -> Result<ChosenBackup> {
    let listed = timelines.backups.iter().find(|backup| backup.key == key);
    match listed.and_then(ListedBackup::backup) {
        Some(backup) => Ok(backup.clone()),
        None => ChosenBackup::listed(repository, inventory, key).await,
    }
}

/// Returns notices of the backups that are kept in addition to the requested number.
fn not_counted(inventory: &Inventory, kept: &[ChosenBackup]) -> Vec<String> {
    let is_kept = |backup: &&StoredBackup| kept.iter().any(|kept| kept.key == backup.key);
    let uncounted = inventory.backups.iter().filter(is_kept).filter(|backup| !counts(backup));
    let notice = |backup: &StoredBackup| {
        let key = backup.key;
        format!(
            "backup {key} of SwiftWAL 0.2.2 is kept, but not counted: without backup_label_{key}.txt it may be incomplete; \
             see docs/migrating.md"
        )
    };
    uncounted.map(notice).collect()
}

/// Returns a notice if a kept backup contains damaged pages.
fn damaged_notice(backup: &ChosenBackup) -> Option<String> {
    let notice = backup.record.as_ref()?.damage_notice()?;
    Some(format!("{notice}; it is kept, and counted only if there is no undamaged backup"))
}

/// The backup that is kept because it leads to a timeline, and a notice about it.
#[derive(Debug, Default)]
struct Leading {
    kept: Option<BackupKey>,
    notice: Option<String>,
}

/// Makes sure that a kept backup leads to `tip`, on which the production server may be. After a recovery to a point
/// before every newer backup, only an old one may lead there.
async fn keep_one_that_leads_to(
    tip: Timeline,
    repository: &Repository,
    inventory: &Inventory,
    timelines: &Timelines,
    kept: &mut Vec<ChosenBackup>,
) -> Result<Leading> {
    // A backup of unknown position is kept, but doesn't prove that the tip can be reached.
    let leads_to = |key| timelines.position_of(key).is_some_and(|position| timelines.leads_to(position, tip));
    if kept.iter().any(|backup| leads_to(backup.key)) {
        return Ok(Leading::default());
    }
    let newest =
        timelines.backups.iter().rev().find(|backup| backup.no_backup().is_none() && leads_to(backup.key));
    let Some(key) = newest.map(|backup| backup.key) else {
        let notice = format!(
            "no backup leads to {}; if your server is on timeline {tip}, take a backup there",
            timelines.branch(tip)
        );
        return Ok(Leading { kept: None, notice: Some(notice) });
    };
    kept.extend(kept_backups(repository, inventory, timelines, vec![key]).await?);
    kept.sort_by_key(|backup| backup.key);
    kept.dedup_by_key(|backup| backup.key);
    Ok(Leading { kept: Some(key), notice: Some(leading_notice(timelines, key, tip)) })
}

/// Fails if the parent of a backup to keep is gone.
async fn refuse_without_parent(
    repository: &Repository,
    inventory: &Inventory,
    key: BackupKey,
    parent: BackupKey,
) -> Result<()> {
    let is_listed = inventory.backups.iter().any(|backup| backup.key == parent);
    if is_listed || repository.size(&BackupRecord::object_name(parent)).await?.is_some() {
        return Ok(());
    }
    Err(Error::Refused(Refusal::Unrestorable {
        key: key.to_string(),
        what: format!("can't be restored: backup {parent}, on which it builds, is missing"),
        hint: format!(
            "take a full backup, then delete {}: a later prune removes the rest of it",
            BackupRecord::object_name(key)
        ),
    }))
}

/// Fails if a backup to keep lacks an object, or WAL that it needs to become consistent: then nothing may be removed.
async fn refuse_incomplete(repository: &Repository, backup: &ChosenBackup) -> Result<()> {
    let Some(record) = &backup.record else { return Ok(()) };
    if let Some(object) = missing_object(repository, record, |_| true).await? {
        return Err(Error::Refused(Refusal::Unrestorable {
            key: record.key.to_string(),
            what: format!(
                "is incomplete: {} is missing, or doesn't have its {} bytes",
                object.name, object.bytes
            ),
            hint: "take a new backup, and find out what happened to this one".to_owned(),
        }));
    }
    let Some(segment) = needed_and_missing(repository, record).await? else { return Ok(()) };
    Err(Error::Refused(Refusal::Unrestorable {
        key: record.key.to_string(),
        what: format!("can't be restored: WAL segment {segment} is not in {}", repository.location()),
        hint: format!(
            "if you have that file elsewhere, store it with archive-wal; if it is lost, take a new backup, then delete {}: \
             a later prune removes the rest of it",
            BackupRecord::object_name(record.key),
        ),
    }))
}

/// Carries out the plan. An interrupted prune leaves each backup either complete or unlisted, and none without the one that
/// it builds on; the next one continues.
///
/// # Errors
///
/// [`Error::Refused`] if a backup was begun meanwhile that builds on one to be removed, or may need WAL to be removed, or if
/// one to be removed was pinned meanwhile; those of the storage.
pub async fn prune(repository: &Repository, plan: &PrunePlan) -> Result<()> {
    // Backups of SwiftWAL 0.2.2 are deleted last, since that needs deletion marks: on a full storage, the deletion of
    // the others makes room for these.
    let considered = &plan.considered;
    let (old, new): (Vec<_>, Vec<_>) = plan.to_delete.iter().partition(|backup| backup.legacy);
    let wal = WalRemoval::of(&plan.remove_wal, Some(considered));
    let is_marked = mark_removals(repository, considered, &new, &wal).await?;
    delete_backups(repository, considered, &new, &wal, is_marked).await?;
    for backup in old {
        delete_backup(repository, backup, considered, false).await?;
    }
    for (key, mark) in &plan.legacy_deletions {
        legacy::finish_deletion(repository, *key, mark).await?;
    }
    for upload in &plan.abandoned_uploads {
        delete_upload(repository, upload, considered.before).await?;
    }
    for upload in &plan.legacy_uploads {
        upload.remove(repository, considered.before).await?;
    }
    if let Some(sweeper) = repository.storage().sweeper() {
        sweeper.remove(&plan.swept).await.map_err(repository.failed("remove", "leftovers"))?;
    }
    wal.carry_out(repository).await?;
    remove_stale_marks(repository, &plan.stale_marks).await
}

/// Deletes the leftovers of a crashed upload or an interrupted deletion, unless another process has touched them since
/// the plan was made.
async fn delete_upload(repository: &Repository, upload: &AbandonedUpload, before: Timestamp) -> Result<()> {
    let markers = markers(repository, upload.key).await?;
    let is_running = markers.iter().any(|(_, touched)| *touched > before);
    if is_running || (!upload.deleting && is_complete_legacy(repository, upload.key).await?) {
        return Ok(());
    }
    // If there is a record, the process crashed after the commit: the backup is kept, and so is the mark of its deletion,
    // on which another prune may rely.
    let mut mark = None;
    if repository.size(&BackupRecord::object_name(upload.key)).await?.is_none() {
        repository.delete_all(upload.objects.clone().into_iter()).await?;
        mark = upload.mark();
    }
    // The markers are deleted last: as long as one exists, a later prune finishes this.
    repository.delete_all(upload.markers.clone().into_iter().chain(mark)).await
}

/// Whether this is a complete backup of SwiftWAL 0.2.2, according to a request: a listing can't prove that its segments
/// are missing.
async fn is_complete_legacy(repository: &Repository, key: BackupKey) -> Result<bool> {
    Ok(repository.size(&ObjectName::legacy_backup(key)).await?.is_some_and(|bytes| bytes > 0))
}
