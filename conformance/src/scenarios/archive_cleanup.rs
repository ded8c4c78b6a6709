//! Scenarios of archive-cleanup.

use anyhow::Result;
use swiftwal_core::{ErrorKind, archive_cleanup, plan_archive_cleanup};
use swiftwal_postgres::WalName;

use super::{
    prune::names,
    site::{Site, refused},
};
use crate::{faulty::Faults, subject::Subject};

/// Cleans up, and returns how many files were kept for backups.
async fn clean_up(site: &Site, oldest_kept: WalName, ignore_backups: bool) -> Result<usize> {
    let plan = plan_archive_cleanup(&site.repository, oldest_kept, ignore_backups).await?;
    archive_cleanup(&site.repository, &plan).await?;
    Ok(plan.kept_for_backups)
}

pub(crate) async fn segments_before_the_named_one_go_whatever_their_timeline(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let second = site.cluster.promoted();
    let (history, text) = second.history(&[(site.cluster.timeline(), 4)]);
    let (backup, label) = site.cluster.backup_history(2);
    site.archive(1..=6).await?;
    site.archive_of(&second, 4..=7).await?;
    site.archive_as(history, text.as_bytes()).await?;
    site.archive_as(backup, label.as_bytes()).await?;
    for number in [3, 5] {
        let partial = WalName::Partial(site.cluster.segment_name(number));
        site.archive_as(partial, &site.cluster.segment(number)).await?;
        // Different content under the same name.
        site.archive_as(partial, &vec![0; 1 << 20]).await?;
    }
    assert_eq!(clean_up(&site, site.cluster.wal_name(5), false).await?, 0);
    assert_eq!(
        site.listed_wal().await?,
        [
            "000000010000000000000002.00000028.backup",
            "000000010000000000000005",
            "000000010000000000000005.partial",
            "000000010000000000000005.partial",
            "000000010000000000000006",
            "00000002.history",
            "000000020000000000000005",
            "000000020000000000000006",
            "000000020000000000000007",
        ]
    );
    Ok(())
}

pub(crate) async fn partial_and_backup_names_stand_for_their_segment(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(1..=6).await?;
    clean_up(&site, WalName::Partial(site.cluster.segment_name(3)), false).await?;
    assert_eq!(site.listed_wal().await?, names(&site.cluster, 3..=6));
    clean_up(&site, site.cluster.backup_history(5).0, false).await?;
    assert_eq!(site.listed_wal().await?, names(&site.cluster, 5..=6));
    let history = site.cluster.promoted().history(&[]).0;
    let error = refused(plan_archive_cleanup(&site.repository, history, false).await);
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    Ok(())
}

/// Its record may have been stored a moment ago.
pub(crate) async fn the_wal_of_a_backup_that_is_not_listed_yet_stays(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(1..=9).await?;
    let record = site.back_up(4, 5).await?;
    let faults = Faults::hiding(format!("pg_basebackup_{}.json", record.key));
    let repository = site.subject.repository_with(&faults)?;
    let plan = plan_archive_cleanup(&repository, site.cluster.wal_name(7), false).await?;
    assert_eq!((plan.remove.len(), plan.kept_for_backups), (3, 3));
    Ok(())
}

pub(crate) async fn why_more_stays_than_backups_need_is_said(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(1..=9).await?;
    site.subject.put("...uploading/20130828T1810Z/4d2e", "{}").await?;
    let plan = plan_archive_cleanup(&site.repository, site.cluster.wal_name(7), false).await?;
    assert_eq!((plan.remove.len(), plan.kept_for_backups), (0, 6));
    assert!(plan.notices.iter().any(|notice| notice.contains("...uploading/")), "{:?}", plan.notices);
    Ok(())
}

pub(crate) async fn wal_that_a_backup_needs_stays_unless_told_otherwise(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(1..=9).await?;
    site.back_up(4, 5).await?;
    let before = site.subject.objects().await?;
    let plan = plan_archive_cleanup(&site.repository, site.cluster.wal_name(7), false).await?;
    assert_eq!(plan.remove.len(), 3);
    assert_eq!(site.subject.objects().await?, before, "a plan alone changes nothing");
    assert_eq!(clean_up(&site, site.cluster.wal_name(7), false).await?, 3);
    assert_eq!(site.listed_wal().await?, names(&site.cluster, 4..=9));
    assert_eq!(clean_up(&site, site.cluster.wal_name(7), true).await?, 0);
    assert_eq!(site.listed_wal().await?, names(&site.cluster, 7..=9));
    Ok(())
}
