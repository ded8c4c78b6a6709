//! Scenarios of incremental backups: their parents, and the chains that prune keeps and removes.

use std::{
    future::pending,
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result};
use swiftwal_core::{
    BackupChoice, BackupEvent, BackupKey, BackupKind, BackupMode, BackupOptions, BackupRecord, Error,
    ErrorKind, backup, plan_restore, prune,
};
use swiftwal_postgres::{Archiving, ServerFacts};

use super::{
    faults::interruptions,
    prune::{plan, prune_to},
    site::{Site, options, refused, restore_options, take},
    snapshot::Snapshot,
};
use crate::{SourceFault, SyntheticCluster, SyntheticSource, faulty::Faults, subject::Subject};

const LATEST: BackupMode = BackupMode::Incremental(BackupChoice::Latest);
const AUTO: BackupMode = BackupMode::Auto { full_every: None };

/// Returns a backup on which an incremental one can build.
fn source(cluster: &SyntheticCluster, number: u64) -> SyntheticSource {
    cluster.backup(number, number).that_sends_a_manifest()
}

fn with(mode: BackupMode) -> BackupOptions {
    BackupOptions { mode, include_wal: true, ..options() }
}

/// Takes a backup. Then an hour passes.
async fn take_as(site: &Site, number: u64, mode: BackupMode) -> Result<BackupRecord, Error> {
    let record = take(&site.repository, &source(&site.cluster, number), &with(mode)).await;
    site.wait_hours(1);
    record
}

/// Takes a full backup in the segment 1, and an incremental one in each of the next.
async fn take_chain(site: &Site, length: u64) -> Result<Vec<BackupKey>> {
    let mut keys = Vec::new();
    for number in 1..=length {
        let mode = if number == 1 { BackupMode::Full } else { LATEST };
        keys.push(take_as(site, number, mode).await?.key);
    }
    Ok(keys)
}

pub(crate) async fn an_incremental_backup_builds_on_the_newest_or_on_the_given_one(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    let error = refused(take_as(&site, 1, LATEST).await);
    assert_eq!(error.kind(), ErrorKind::Absent, "{error}");
    let full = take_as(&site, 1, AUTO).await?;
    assert_eq!((full.kind, full.parent), (BackupKind::Full, None));
    let second = take_as(&site, 2, LATEST).await?;
    assert_eq!((second.kind, second.parent), (BackupKind::Incremental, Some(full.key)));
    let third = take_as(&site, 3, AUTO).await?;
    assert_eq!(third.parent, Some(second.key));
    let given = BackupMode::Incremental(BackupChoice::Key(full.key));
    assert_eq!(take_as(&site, 4, given).await?.parent, Some(full.key));
    Ok(())
}

pub(crate) async fn one_backup_in_as_many_as_requested_is_full(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let mode = BackupMode::Auto { full_every: NonZeroU32::new(3) };
    let mut kinds = Vec::new();
    for number in 1..=7 {
        kinds.push(take_as(&site, number, mode).await?.kind);
    }
    let (full, incremental) = (BackupKind::Full, BackupKind::Incremental);
    assert_eq!(kinds, [full, incremental, incremental, full, incremental, incremental, full]);
    Ok(())
}

/// Expects that an incremental backup is refused for this reason and leaves nothing behind, and that a full one is taken
/// if that is allowed, which says the reason.
async fn expect_full(site: &Site, source: &SyntheticSource, reason: &str) -> Result<()> {
    let before = site.subject.objects().await?;
    let error = refused(take(&site.repository, source, &with(LATEST)).await);
    assert!(super::site::shown(&error).contains(reason), "{error:?} instead of {reason}");
    assert_eq!(site.subject.objects().await?, before, "{reason}");

    let said = Mutex::new(Vec::new());
    let observe = |event: BackupEvent<'_>| {
        if let BackupEvent::Full { reason, is_planned: false } = event {
            said.lock().unwrap_or_else(PoisonError::into_inner).push(reason.to_owned());
        }
    };
    let record = backup(&site.repository, source, &with(AUTO), &observe, pending()).await?;
    assert_eq!((record.kind, record.parent), (BackupKind::Full, None), "{reason}");
    let said = said.into_inner().unwrap_or_else(PoisonError::into_inner).concat();
    assert!(said.contains(reason), "{said} instead of {reason}");
    site.wait_hours(1);
    Ok(())
}

pub(crate) async fn a_server_that_takes_no_incremental_backup_is_found_out_before_the_copy(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    take_as(&site, 1, BackupMode::Full).await?;
    let facts = |version: &str, summarizes_wal| {
        let mut facts = ServerFacts::new(site.cluster.system_identifier(), site.cluster.timeline());
        facts.archiving = Some(Archiving::new("on", "swiftwal archive-wal %p", ""));
        facts.postgres_version = Some(version.to_owned());
        facts.summarizes_wal = summarizes_wal;
        facts
    };
    let of = |number| source(&site.cluster, number);
    for (source, reason) in [
        (of(2).with_facts(facts("16", None)), "incremental backups exist from 17 on"),
        (of(3).with_facts(facts("17", Some(false))), "the server's summarize_wal is off"),
        (of(4).with_fault(SourceFault::LacksSummaries), "WAL summaries are required"),
    ] {
        expect_full(&site, &source, reason).await?;
    }
    let able = of(5).with_facts(facts("18", Some(true)));
    assert_eq!(take(&site.repository, &able, &with(LATEST)).await?.kind, BackupKind::Incremental);
    Ok(())
}

pub(crate) async fn a_backup_that_can_not_be_a_parent_is_refused_with_the_reason(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    let without = site.cluster.backup(1, 1);
    let old = "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n";
    let mut keys = Vec::new();
    for source in
        [without.clone(), without.with_manifest(old), source(&site.cluster, 2), source(&site.cluster, 3)]
    {
        keys.push(take(&site.repository, &source, &with(BackupMode::Full)).await?.key);
        site.wait_hours(1);
    }
    site.subject.put(&format!("...deleting/{}", keys[3]), Vec::new()).await?;
    let refuses = async |key: BackupKey, reason: &str| {
        let before = site.subject.objects().await?;
        let mode = BackupMode::Incremental(BackupChoice::Key(key));
        let error = refused(take(&site.repository, &source(&site.cluster, 9), &with(mode)).await);
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        assert!(error.to_string().contains(reason), "{error} instead of {reason}");
        assert_eq!(site.subject.objects().await?, before, "{reason}");
        Ok::<_, anyhow::Error>(())
    };
    refuses(keys[0], "manifest of it isn't stored").await?;
    refuses(keys[1], "its manifest has version 1").await?;
    refuses(keys[3], &format!("the deletion of backup {} has begun", keys[3])).await?;
    let manifest = format!("backup_manifest_{}.zst", keys[2]);
    let stored = site.subject.get(&manifest).await?;
    let mut damaged = stored.to_vec();
    damaged.iter_mut().skip(20).for_each(|byte| *byte ^= 1);
    site.subject.put(&manifest, damaged).await?;
    refuses(keys[2], &format!("{manifest} is damaged")).await?;
    site.subject.delete(&manifest).await?;
    refuses(keys[2], &format!("{manifest} is missing")).await?;
    site.subject.put(&manifest, stored).await?;
    assert_eq!(take_as(&site, 9, LATEST).await?.parent, Some(keys[2]), "the newest that can be one");
    Ok(())
}

pub(crate) async fn a_chain_with_a_missing_member_is_no_parent_and_prune_names_it(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    let keys = take_chain(&site, 3).await?;
    site.subject.delete(&format!("pg_basebackup_{}.json", keys[0])).await?;
    let error = refused(plan(&site, 1, 0).await);
    let shown = super::site::shown(&error);
    for named in [format!("backup {}", keys[0]), format!("pg_basebackup_{}.json", keys[1])] {
        assert!(shown.contains(&named), "{shown}");
    }
    expect_full(&site, &source(&site.cluster, 4), &format!("backup {}", keys[0])).await
}

pub(crate) async fn a_backup_on_another_branch_is_no_parent(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(1..=6).await?;
    take_as(&site, 2, BackupMode::Full).await?;
    let promoted = site.cluster.promoted();
    let (history, text) = promoted.history(&[(site.cluster.timeline(), 4)]);
    site.archive_as(history, text.as_bytes()).await?;
    let of = |number| {
        let mut facts = ServerFacts::new(promoted.system_identifier(), promoted.timeline());
        facts.archiving = Some(Archiving::new("on", "swiftwal archive-wal %p", ""));
        source(&promoted, number).with_facts(facts)
    };
    // From an ancestor, before the branch.
    let record = take(&site.repository, &of(5), &with(LATEST)).await?;
    assert_eq!(record.kind, BackupKind::Incremental);
    site.wait_hours(1);
    let late = take_as(&site, 6, BackupMode::Full).await?;
    let given = with(BackupMode::Incremental(BackupChoice::Key(late.key)));
    let error = refused(take(&site.repository, &of(7), &given).await).to_string();
    assert!(error.contains("branched off"), "{error}");
    // The newest that leads to the server.
    assert_eq!(take(&site.repository, &of(7), &with(LATEST)).await?.parent, Some(record.key));
    Ok(())
}

pub(crate) async fn an_undamaged_parent_is_preferred(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let damaged = source(&site.cluster, 1).with_damaged_pages(1);
    let damaged = take(&site.repository, &damaged, &with(BackupMode::Full)).await?.key;
    site.wait_hours(1);
    let child = take_as(&site, 2, LATEST).await?;
    assert_eq!(child.parent, Some(damaged), "there is no other");
    let plan = plan_restore(
        &site.repository,
        BackupChoice::Key(child.key),
        &site.subject.path("pgdata"),
        &restore_options(),
        &|_| {},
    )
    .await?;
    assert!(plan.damage.is_some_and(|damage| damage.contains(&damaged.to_string())));
    let clean = take_as(&site, 3, BackupMode::Full).await?.key;
    let damaged = source(&site.cluster, 4).with_damaged_pages(1);
    take(&site.repository, &damaged, &with(BackupMode::Full)).await?;
    site.wait_hours(1);
    assert_eq!(take_as(&site, 5, LATEST).await?.parent, Some(clean));
    Ok(())
}

pub(crate) async fn the_parent_of_a_running_backup_is_not_pruned(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let parent = take_as(&site, 1, BackupMode::Full).await?.key;
    let newer = take_as(&site, 2, BackupMode::Full).await?.key;
    let stalls = source(&site.cluster, 3).with_fault(SourceFault::StallsAfter(1));
    let mode = BackupMode::Incremental(BackupChoice::Key(parent));
    let before = plan(&site, 1, 0).await?;
    assert_eq!(before.remove_backups, [parent]);
    let options = with(mode);
    // That is reported when the marker says so.
    let has_begun = |event: &BackupEvent<'_>| matches!(event, BackupEvent::Incremental { .. });
    let checked = site.during_backup_with(&options, &stalls, has_begun, async {
        assert_eq!(plan(&site, 1, 0).await?.keep_backups, [parent, newer]);
        // A plan that was made before the backup began.
        let error = refused(prune(&site.repository, &before).await);
        assert!(error.to_string().contains(&format!("builds on backup {parent}")), "{error}");
        Ok::<_, anyhow::Error>(())
    });
    checked.await?;
    assert_eq!(site.listed().await?, [parent, newer]);
    assert!(!site.subject.objects().await?.iter().any(|name| name.starts_with("...deleting/")));
    Ok(())
}

/// As prune does if it planned before the incremental backup began, and removes after it was committed.
pub(crate) async fn a_parent_is_not_pruned_by_an_older_plan(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let parent = take_as(&site, 1, BackupMode::Full).await?.key;
    let newer = take_as(&site, 2, BackupMode::Full).await?.key;
    let before = plan(&site, 1, 0).await?;
    let child = take_as(&site, 3, BackupMode::Incremental(BackupChoice::Key(parent))).await?.key;
    let error = refused(prune(&site.repository, &before).await);
    assert!(error.to_string().contains(&format!("builds on backup {parent}")), "{error}");
    assert_eq!(site.listed().await?, [parent, newer, child]);
    Ok(())
}

pub(crate) async fn a_backup_whose_parent_was_deleted_is_not_committed(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let parent = take_as(&site, 1, BackupMode::Full).await?.key;
    let newer = take_as(&site, 2, BackupMode::Full).await?.key;
    for object in [format!("...deleting/{parent}"), format!("pg_basebackup_{parent}.json")] {
        let all = Snapshot::of(&site.subject).await?;
        let mode = BackupMode::Incremental(BackupChoice::Key(parent));
        let options = with(mode);
        let (sender, mut reached) = tokio::sync::mpsc::unbounded_channel();
        let observe = |event: BackupEvent<'_>| {
            if matches!(event, BackupEvent::Incremental { .. }) {
                let _ = sender.send(());
            }
        };
        let source = source(&site.cluster, 3);
        let delete = async {
            reached.recv().await;
            match object.starts_with("...") {
                true => site.subject.put(&object, Vec::new()).await,
                false => site.subject.delete(&object).await,
            }
        };
        let (taken, deleted) =
            tokio::join!(backup(&site.repository, &source, &options, &observe, pending()), delete);
        deleted?;
        let error = refused(taken).to_string();
        assert!(error.contains(&format!("backup {parent}")) && error.contains("was deleted"), "{error}");
        assert_eq!(site.listed().await?.last(), Some(&newer));
        all.put_back(&site.subject).await?;
    }
    Ok(())
}

pub(crate) async fn a_chain_is_kept_and_removed_as_a_whole(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let chain = take_chain(&site, 3).await?;
    let full = take_as(&site, 4, BackupMode::Full).await?.key;
    assert_eq!(plan(&site, 2, 0).await?.remove_backups, []);
    // One more member makes it the newer chain.
    let back = take_as(&site, 5, BackupMode::Incremental(BackupChoice::Key(chain[1]))).await?.key;
    let kept = plan(&site, 1, 0).await?;
    assert_eq!((kept.keep_backups, kept.remove_backups), ([&chain[..], &[back]].concat(), vec![full]));
    let newest = take_as(&site, 6, BackupMode::Full).await?.key;
    assert_eq!(prune_to(&site, 1, 0).await?.keep_backups, [newest]);
    Ok(())
}

/// The matrix of kind of writing call × fault: no backup is listed without the one that it builds on.
pub(crate) async fn an_interrupted_prune_leaves_no_backup_without_its_parent(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let chain = take_chain(&site, 3).await?;
    let newest = take_as(&site, 4, BackupMode::Full).await?.key;
    let full = Snapshot::of(&site.subject).await?;
    let calls = Faults::none();
    prune(&site.subject.repository_with(&calls)?, &plan(&site, 1, 0).await?).await?;
    for (fault, n) in site.subject.harness().cases(interruptions(&calls.writes())) {
        full.put_back(&site.subject).await?;
        let faults = Faults::at_write(n, fault);
        refused(prune(&site.subject.repository_with(&faults)?, &plan(&site, 1, 0).await?).await);
        let listed = site.listed().await?;
        let (last, rest) = listed.split_last().context("none is listed")?;
        assert_eq!((*last, rest), (newest, &chain[..rest.len()]), "{fault:?} at {n}");
        prune_to(&site, 1, 0).await?;
        assert_eq!(site.listed().await?, [newest], "{fault:?} at {n}");
    }
    Ok(())
}
