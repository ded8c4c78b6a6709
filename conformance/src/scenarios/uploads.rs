//! Scenarios of prune during a backup, or after a crashed one.

use std::future::pending;

use anyhow::Result;
use swiftwal_core::{BackupEvent, PrunePlan, backup};
use tokio::sync::mpsc;

use super::{
    prune::{names, plan, prune_to},
    site::{Site, options, refused, take},
};
use crate::{
    SourceFault, SyntheticCluster,
    faulty::{Faults, WriteFault},
    subject::Subject,
};

pub(crate) async fn what_a_died_backup_left_is_swept_after_a_day_and_not_before(
    subject: Subject,
) -> Result<()> {
    let site = Site::of(subject, SyntheticCluster::new(1).with_table_bytes(5 << 20))?;
    site.back_up(3, 4).await?;
    let before = site.subject.objects().await?;
    let died = Faults::at_write(5, WriteFault::Dies);
    refused(take(&site.subject.repository_with(&died)?, &site.cluster.backup(3, 4), &options()).await);
    let left = site.subject.objects().await?;
    assert!(left.len() > before.len());

    site.wait_hours(23);
    let early = prune_to(&site, 1, 0).await?;
    assert!(early.leftovers.is_empty(), "{:?}", early.leftovers);
    assert_eq!(site.subject.objects().await?, left);

    site.wait_hours(2);
    let swept = prune_to(&site, 1, 0).await?;
    assert!(swept.leftovers.iter().any(|name| name.starts_with("...uploading/")), "{:?}", swept.leftovers);
    assert_eq!(site.subject.objects().await?, before);
    Ok(())
}

pub(crate) async fn a_backup_in_progress_is_let_alone_until_it_was_not_heard_of_for_a_day(
    subject: Subject,
) -> Result<()> {
    let site = Site::of(subject, SyntheticCluster::new(1).with_table_bytes(14 << 20))?;
    site.archive(1..=10).await?;
    site.back_up(8, 9).await?;
    let source = site.cluster.backup(5, 6).with_fault(SourceFault::StallsAfter(13 << 20));
    let (sender, mut progress) = mpsc::unbounded_channel();
    let observe = |event: BackupEvent<'_>| {
        if let BackupEvent::Progress { .. } = event {
            let _ = sender.send(());
        }
    };
    let options = options();
    let three_frames = async {
        for _ in 0..3 {
            progress.recv().await;
        }
    };
    let making = backup(&site.repository, &source, &options, &observe, pending());
    tokio::pin!(making);
    tokio::select! {
        outcome = &mut making => panic!("a stalled backup came to {outcome:?}"),
        () = three_frames => {}
    }
    site.wait_hours(23);
    let alive = plan(&site, 1, 0).await?;
    assert!(listed_leftovers(&site, &alive).await?.is_empty());
    let kept: Vec<_> = alive.keep_wal.iter().map(|wal| wal.name.to_string()).collect();
    assert_eq!(kept, names(&site.cluster, 5..=10), "the WAL it is going to need stays");

    site.wait_hours(2);
    let dead = plan(&site, 1, 0).await?;
    let left = listed_leftovers(&site, &dead).await?;
    let of_markers = left.iter().all(|name| name.starts_with("...uploading/"));
    assert!(!left.is_empty() && of_markers, "its markers: it wasn't heard of for a day: {left:?}");
    Ok(())
}

/// As on a machine that was suspended: a backup without progress counts as crashed.
pub(crate) async fn a_backup_that_stood_still_until_it_was_swept_is_not_committed(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    let kept = site.back_up(8, 9).await?;
    let source = site.cluster.backup(11, 11);
    let (sender, mut waited_for) = mpsc::unbounded_channel();
    let observe = |event: BackupEvent<'_>| {
        if let BackupEvent::WaitingForWal(_) = event {
            let _ = sender.send(());
        }
    };
    let meanwhile = async {
        waited_for.recv().await;
        site.wait_hours(25);
        prune_to(&site, 1, 0).await?;
        site.archive(11..=11).await
    };
    let options = options();
    let making = backup(&site.repository, &source, &options, &observe, pending());
    let (outcome, swept) = tokio::join!(making, meanwhile);
    swept?;
    let error = refused(outcome);
    assert!(error.to_string().contains("was suspended for more than a day"), "{error}");
    assert_eq!(site.listed().await?, [kept.key]);
    Ok(())
}

pub(crate) async fn what_nobody_claims_is_let_alone_for_a_day_as_its_marker_may_be_on_its_way(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    site.take_with_wal(&site.cluster.backup(8, 9)).await?;
    let orphan = "pg_basebackup_20330828T1810Z.tar.zst";
    site.subject.put(orphan, "of a repository that is being copied").await?;
    site.wait_hours(23);
    prune_to(&site, 1, 0).await?;
    assert!(site.subject.objects().await?.contains(orphan));
    site.wait_hours(2);
    prune_to(&site, 1, 0).await?;
    assert!(!site.subject.objects().await?.contains(orphan));
    Ok(())
}

/// Returns the leftovers that a listing shows. A store dates the others by the machine's clock, which hasn't advanced.
async fn listed_leftovers(site: &Site, plan: &PrunePlan) -> Result<Vec<String>> {
    let objects = site.subject.objects().await?;
    Ok(plan.leftovers.iter().filter(|name| objects.contains(*name)).cloned().collect())
}

pub(crate) async fn while_a_backup_begins_all_wal_stays(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(1..=10).await?;
    site.back_up(8, 9).await?;
    let source = site.cluster.backup(5, 6).with_fault(SourceFault::NeverBegins);
    let plan = site
        .during_backup(&source, |event| matches!(event, BackupEvent::Claimed(_)), prune_to(&site, 1, 0))
        .await?;
    assert!(plan.remove_wal.is_empty());
    assert_eq!(plan.notices.len(), 1, "and says so: {:?}", plan.notices);
    Ok(())
}
