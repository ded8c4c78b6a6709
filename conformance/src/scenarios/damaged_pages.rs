//! Scenarios of backups whose pages were damaged on the server.

use anyhow::{Context, Result};
use swiftwal_core::{BackupChoice, BackupRecord, RestoreOptions};

use super::{prune::prune_to, site::Site};
use crate::subject::Subject;

async fn take(site: &Site, start: u64, damaged_pages: u64) -> Result<BackupRecord> {
    site.archive(start..=start + 1).await?;
    let source = site.cluster.backup(start, start + 1).with_damaged_pages(damaged_pages);
    let record = site.take(&source).await?;
    site.wait_hours(1);
    Ok(record)
}

pub(crate) async fn a_backup_with_damaged_pages_is_stored_marked_and_can_be_restored(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    let taken = take(&site, 1, 2).await?;
    let mut inventory = site.repository.inventory().await?;
    let [Ok(Some(record))] = &site.repository.read_records(&mut inventory, None).await[..] else {
        anyhow::bail!("it isn't listed");
    };
    assert_eq!((record, record.damaged_pages), (&taken, 2));
    let notice = record.damage_notice().context("no notice")?;
    assert!(notice.contains("2 pages") && notice.contains("checksum verification failed"), "{notice}");

    let directory = site.subject.path("restored");
    let (latest, options) = (BackupChoice::Latest, RestoreOptions::default());
    let (_, notices) = Site::restore_noting(&site.repository, latest, &directory, &options).await?;
    assert!(notices.contains(&notice), "{notices:?}");
    Ok(())
}

pub(crate) async fn prune_keeps_an_undamaged_backup_beside_newer_ones_with_damaged_pages(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    let mut keys = Vec::new();
    for (start, damaged_pages) in [(1, 0), (3, 0), (5, 1), (7, 1)] {
        keys.push(take(&site, start, damaged_pages).await?.key);
    }
    let plan = prune_to(&site, 1, 0).await?;
    assert_eq!(plan.keep_backups, keys[1..]);
    assert_eq!(plan.notices.iter().filter(|notice| notice.contains("damaged")).count(), 2);

    keys.push(take(&site, 9, 0).await?.key);
    assert_eq!(prune_to(&site, 1, 0).await?.keep_backups, keys[4..]);
    Ok(())
}

pub(crate) async fn damaged_backups_count_where_there_is_no_other(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    take(&site, 1, 3).await?;
    let newest = take(&site, 3, 3).await?;
    assert_eq!(prune_to(&site, 1, 0).await?.keep_backups, [newest.key]);
    Ok(())
}
