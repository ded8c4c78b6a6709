//! Scenarios of the rules of prune beside the number of backups: windows, calendars, pins and proofs.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use jiff::{SignedDuration, Timestamp};
use swiftwal_core::{
    BackupKey, BackupRecord, CalendarRules, Clock, Pin, Proof, ProofKind, PrunePlan, PrunePolicy, Verdict,
    only_themselves, plan_prune, prune,
};

use super::site::{Site, refused, shown};
use crate::subject::Subject;

const HOUR: Duration = Duration::from_secs(3600);

/// Takes backups, one each day, on a server whose clock is right. Each needs two segments of its own, and a third one follows.
async fn daily_backups(site: &Site, count: u64) -> Result<Vec<BackupRecord>> {
    let mut records = Vec::new();
    for number in 0..count {
        let (start, stop) = (2 + 3 * number, 3 + 3 * number);
        site.archive(start..=stop + 1).await?;
        records.push(site.take(&site.cluster.backup(start, stop).at(now(site))).await?);
        site.wait_hours(24);
    }
    Ok(records)
}

fn now(site: &Site) -> Timestamp {
    site.subject.clock().now()
}

async fn pin(site: &Site, key: BackupKey, until: Option<Timestamp>) -> Result<()> {
    let pin = Pin::new(key, now(site), until, Some("before the migration".to_owned()));
    Ok(site.repository.store_pin(&pin).await?)
}

/// Stores a drill of a backup that passed.
pub(super) async fn prove(site: &Site, key: BackupKey) -> Result<()> {
    store_drill(site, key, Verdict::Passed).await
}

async fn store_drill(site: &Site, key: BackupKey, verdict: Verdict) -> Result<()> {
    let mut proof: Proof = serde_json::from_value(serde_json::json!({
        "kind": "drill", "at": now(site), "verdict": "passed", "seconds": 42.5,
    }))?;
    (proof.kind, proof.verdict) = (ProofKind::Drill, verdict);
    Ok(site.repository.store_proof(key, &proof, &BTreeMap::<String, String>::new()).await?)
}

/// Returns what a plan keeps, and what for.
fn kept_for(plan: &PrunePlan) -> Vec<(BackupKey, String)> {
    let reasons =
        |key: BackupKey| plan.kept_for.of(key).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    plan.keep_backups.iter().map(|key| (*key, reasons(*key))).collect()
}

pub(crate) async fn what_any_rule_keeps_stays_with_what_it_is_kept_for(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let records = daily_backups(&site, 5).await?;
    let [pinned, _, before, within, newest] = keys(&records)?;
    let until = now(&site) + SignedDuration::from_hours(48);
    pin(&site, pinned, Some(until)).await?;
    let policy = PrunePolicy { keep_within: Some(60 * HOUR), ..PrunePolicy::default() };
    let plan = plan_prune(&site.repository, &policy).await?;
    let expected = [
        (pinned, format!("pinned until {until} (before the migration)")),
        (before, "newest before the last 60 h".to_owned()),
        (within, "within 60 h".to_owned()),
        (newest, "within 60 h".to_owned()),
    ];
    assert_eq!(kept_for(&plan), expected);
    prune(&site.repository, &plan).await?;
    assert_eq!(site.listed().await?, plan.keep_backups);
    assert_eq!(site.listed_wal().await?.len(), 15, "the pinned backup needs all WAL since then");

    site.wait_hours(48);
    let calendar = CalendarRules { daily: 2, ..CalendarRules::default() };
    let policy = PrunePolicy { calendar, ..PrunePolicy::default() };
    let plan = plan_prune(&site.repository, &policy).await?;
    let daily = |number: usize| format!("daily {}", records[number].finished.strftime("%Y-%m-%d"));
    assert_eq!(kept_for(&plan), [(within, daily(3)), (newest, daily(4))]);
    assert!(plan.notices.iter().any(|notice| notice.contains("has expired")), "{:?}", plan.notices);
    prune(&site.repository, &plan).await?;
    assert_eq!(site.listed_wal().await?.len(), 6);
    let objects = site.subject.objects().await?;
    assert!(!objects.iter().any(|object| object.contains(&pinned.to_string())), "{objects:?}");
    Ok(())
}

pub(crate) async fn the_only_proven_backup_stays(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let records = daily_backups(&site, 4).await?;
    let [first, second, third, newest] = keys(&records)?;
    let policy = PrunePolicy::newest(NonZeroU32::MIN);
    prove(&site, first).await?;
    let plan = plan_prune(&site.repository, &policy).await?;
    let expected = [(first, "the only proven backup".to_owned()), (newest, "newest 1".to_owned())];
    assert_eq!(kept_for(&plan), expected);

    // A drill that couldn't look proves nothing.
    store_drill(&site, second, Verdict::NotProven).await?;
    assert_eq!(plan_prune(&site.repository, &policy).await?.keep_backups, [first, newest]);
    prove(&site, second).await?;
    let verified = PrunePolicy { only_verified: true, ..policy.clone() };
    let plan = plan_prune(&site.repository, &verified).await?;
    let newer = || "newer than each that counts".to_owned();
    assert_eq!(kept_for(&plan), [(second, "newest 1".to_owned()), (third, newer()), (newest, newer())]);

    // A later drill may find that it can't be restored.
    site.wait_hours(1);
    store_drill(&site, second, Verdict::Failed).await?;
    assert_eq!(plan_prune(&site.repository, &policy).await?.keep_backups, [first, newest]);
    prove(&site, newest).await?;
    prune(&site.repository, &plan_prune(&site.repository, &policy).await?).await?;
    assert_eq!(site.listed().await?, [newest]);
    Ok(())
}

pub(crate) async fn a_backup_that_is_pinned_after_the_plan_was_made_stays(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let records = daily_backups(&site, 3).await?;
    let [first, second, newest] = keys(&records)?;
    let plan = plan_prune(&site.repository, &PrunePolicy::newest(NonZeroU32::MIN)).await?;
    let wal = site.listed_wal().await?;
    pin(&site, second, None).await?;
    let error = refused(prune(&site.repository, &plan).await);
    assert!(shown(&error).contains(&format!("backup {second}")), "{error}");
    assert!(shown(&error).contains("was pinned after the plan was made"), "{error}");
    assert_eq!(site.listed().await?, [second, newest], "the first one was deleted before");
    assert_eq!(site.listed_wal().await?, wal);
    site.assert_restorable(&records[1], &site.cluster.backup(5, 6).at(records[1].started)).await?;
    assert!(plan.remove_backups.contains(&first));
    Ok(())
}

pub(crate) async fn backups_from_before_the_window_keep_just_the_wal_that_makes_them_consistent(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    let records = daily_backups(&site, 4).await?;
    let [first, second, _, _] = keys(&records)?;
    let policy = PrunePolicy {
        keep_wal_within: Some(36 * HOUR),
        ..PrunePolicy::newest(NonZeroU32::new(4).context("4")?)
    };
    let alone = BTreeSet::from([first, second]);
    let left = [2, 3, 5, 6, 8, 9, 10, 11, 12, 13].map(|number| site.cluster.segment_name(number).to_string());
    // The second time, nothing remains to be removed.
    for removed in [2, 0] {
        let plan = plan_prune(&site.repository, &policy).await?;
        assert_eq!((&plan.only_themselves, plan.remove_wal.len()), (&alone, removed));
        prune(&site.repository, &plan).await?;
        assert_eq!(site.listed().await?.len(), 4);
        assert_eq!(site.listed_wal().await?, left);
    }
    let inventory = site.repository.inventory().await?;
    assert_eq!(only_themselves(&site.repository, &inventory, records.iter()).await?, alone);
    let source = site.cluster.backup(2, 3).at(records[0].started);
    site.assert_restorable(&records[0], &source).await?;
    // Without the option, what was removed is missing, and no more is.
    let plan = plan_prune(&site.repository, &PrunePolicy { keep_wal_within: None, ..policy }).await?;
    assert!(plan.only_themselves.is_empty() && plan.remove_wal.is_empty());
    Ok(())
}

/// Returns the keys of so many backups.
fn keys<const N: usize>(records: &[BackupRecord]) -> Result<[BackupKey; N]> {
    let keys: Vec<_> = records.iter().map(|record| record.key).collect();
    keys.try_into().map_err(|keys| anyhow!("there are {keys:?}"))
}
