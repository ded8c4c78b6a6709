//! Scenarios that interrupt a writing command at every kind of call, with every fault.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use jiff::SignedDuration;
use swiftwal_core::{BackupRecord, Clock, archive_cleanup, plan_archive_cleanup, prune};

use super::{
    prune::{objects_of, plan, prune_to},
    site::{Site, options, take},
    snapshot::Snapshot,
};
use crate::{
    SyntheticCluster, SyntheticSource,
    faulty::{Call, Faults, WriteFault},
    subject::Subject,
};

/// More than the number of calls of any kind.
const ALL: u32 = 1000;
/// The number of a writing call that is never made.
const NEVER: usize = usize::MAX;

/// The matrix of kind of writing call × fault: the backup is listed only if it is complete, and its leftovers are
/// removed.
pub(crate) async fn an_interrupted_backup_is_whole_or_not_listed_and_leaves_nothing_for_long(
    subject: Subject,
) -> Result<()> {
    // More than one frame, so that its tar has several parts.
    let site = Site::of(subject, SyntheticCluster::new(1).with_table_bytes(5 << 20))?;
    site.archive(3..=6).await?;
    site.take(&site.cluster.backup(3, 4)).await?;
    let source = site.cluster.backup(5, 6);
    let calls = interrupt_backup(&site, &source, NEVER, WriteFault::Dies).await?;
    assert!(calls.iter().filter(|call| call.action == "put_part").count() > 1, "{calls:?}");
    for (fault, n) in site.subject.harness().cases(interruptions(&calls)) {
        interrupt_backup(&site, &source, n, fault)
            .await
            .with_context(|| format!("{fault:?} at writing call {n}"))?;
    }
    Ok(())
}

/// Returns each fault at each of the writing calls to interrupt: the first and the last of each kind.
pub(super) fn interruptions(calls: &[Call]) -> Vec<(WriteFault, usize)> {
    let moments = moments(calls);
    WriteFault::ALL.into_iter().flat_map(|fault| moments.iter().map(move |n| (fault, *n))).collect()
}

fn moments(calls: &[Call]) -> BTreeSet<usize> {
    let mut of_kinds: BTreeMap<_, (usize, usize)> = BTreeMap::new();
    for (n, call) in (1..).zip(calls) {
        of_kinds.entry(call.kind()).or_insert((n, n)).1 = n;
    }
    of_kinds.into_values().flat_map(|(first, last)| [first, last]).collect()
}

/// Interrupts a backup, and returns the writing calls; afterwards everything is as before.
async fn interrupt_backup(
    site: &Site,
    source: &SyntheticSource,
    n: usize,
    fault: WriteFault,
) -> Result<Vec<Call>> {
    site.subject.clock().rewind();
    site.wait_hours(1);
    let before = site.subject.objects().await?;
    let faults = Faults::at_write(n, fault);
    let outcome = take(&site.subject.repository_with(&faults)?, source, &options()).await;
    let struck = faults.writes().len() >= n;
    assert!(struck || outcome.is_ok(), "{outcome:?}");

    let committed = newest_other_than(site, &before).await?;
    assert!(committed.is_some() || outcome.is_err(), "it was acknowledged, and isn't listed");
    let mut expected = before.clone();
    if let Some(record) = &committed {
        site.assert_restorable(record, source).await?;
        expected.extend(objects_of(record));
    } else if fault != WriteFault::Dies && !faults.writes().iter().any(is_commit) {
        assert_eq!(site.subject.objects().await?, before, "it could have tidied up");
    }

    let early = plan(site, ALL, ALL).await?;
    assert!(early.leftovers.is_empty(), "it might still be alive: {:?}", early.leftovers);
    site.wait_hours(25);
    prune_to(site, ALL, ALL).await?;
    assert_eq!(site.subject.objects().await?, expected);
    assert_nothing_to_sweep(site).await?;
    for object in committed.iter().flat_map(objects_of) {
        site.subject.delete(&object).await?;
    }
    Ok(faults.writes())
}

/// Whether a commit record was to be written: from then on only the storage knows whether it exists, or will exist.
fn is_commit(call: &Call) -> bool {
    call.action == "put" && call.object.ends_with(".json") && call.object.starts_with("pg_basebackup_")
}

/// Returns the record of the backup that was committed since `before`, if there is one.
async fn newest_other_than(site: &Site, before: &BTreeSet<String>) -> Result<Option<BackupRecord>> {
    let listed = site.listed().await?;
    let is_new = |key: &&swiftwal_core::BackupKey| !before.contains(&format!("pg_basebackup_{key}.json"));
    match listed.iter().find(is_new) {
        Some(key) => Ok(Some(site.repository.record(*key).await?)),
        None => Ok(None),
    }
}

async fn assert_nothing_to_sweep(site: &Site) -> Result<()> {
    if let Some(sweeper) = site.repository.storage().sweeper() {
        let tomorrow = site.subject.clock().now() + SignedDuration::from_hours(24);
        assert!(sweeper.leftovers(tomorrow, Vec::new()).await?.is_empty());
    }
    Ok(())
}

/// The matrix of kind of writing call × fault: each backup is complete or not listed, what was to be kept remains, and
/// the next prune finishes the deletion.
pub(crate) async fn an_interrupted_prune_harms_no_backup_and_the_next_one_finishes(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    let [doomed, kept] = [site.back_up(2, 3).await?, site.back_up(5, 6).await?];
    let full = Snapshot::of(&site.subject).await?;
    let calls = Faults::none();
    prune(&site.subject.repository_with(&calls)?, &plan(&site, 1, 0).await?).await?;
    let pruned = site.subject.objects().await?;
    for (fault, n) in site.subject.harness().cases(interruptions(&calls.writes())) {
        full.put_back(&site.subject).await?;
        let faults = Faults::at_write(n, fault);
        let outcome = prune(&site.subject.repository_with(&faults)?, &plan(&site, 1, 0).await?).await;
        assert!(outcome.is_err(), "{fault:?} at {n}");

        let listed = site.listed().await?;
        assert_eq!(listed.last(), Some(&kept.key), "{fault:?} at {n}");
        if listed.contains(&doomed.key) {
            let whole = site.assert_restorable(&doomed, &site.cluster.backup(2, 3)).await;
            whole.with_context(|| format!("{fault:?} at {n}"))?;
        }
        prune_to(&site, 1, 0).await?;
        assert_eq!(site.subject.objects().await?, pruned, "{fault:?} at {n}");
        site.assert_restorable(&kept, &site.cluster.backup(5, 6)).await?;
    }
    Ok(())
}

pub(crate) async fn an_interrupted_archive_cleanup_is_finished_by_the_next_one(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(1..=6).await?;
    let full = Snapshot::of(&site.subject).await?;
    for fault in WriteFault::ALL {
        for n in 1..=3 {
            full.put_back(&site.subject).await?;
            let faults = Faults::at_write(n, fault);
            let plan = plan_archive_cleanup(&site.repository, site.cluster.wal_name(4), false).await?;
            let outcome = archive_cleanup(&site.subject.repository_with(&faults)?, &plan).await;
            assert!(outcome.is_err(), "{fault:?} at {n}");
            let plan = plan_archive_cleanup(&site.repository, site.cluster.wal_name(4), false).await?;
            archive_cleanup(&site.repository, &plan).await?;
            assert_eq!(
                site.listed_wal().await?,
                super::prune::names(&site.cluster, 4..=6),
                "{fault:?} at {n}"
            );
        }
    }
    Ok(())
}
