//! What SwiftWAL 0.2.2 left: its containers are read as they are.

use anyhow::Result;
use swiftwal_compression::{Format, compress_frame};
use swiftwal_core::{ArchiveOptions, Archived, BackupChoice, BackupKey, Error, label, prune};

use super::{
    prune::{names, plan, prune_to},
    site::{Site, assert_restored, refused, request},
};
use crate::subject::Subject;

const KEYS: [&str; 3] = ["20130828T1810Z", "20130829T1125Z", "20130830T0200Z"];

/// A container with three backups, which began in the segments 2, 5 and 8, and the segments 1 to 10.
async fn old_container(subject: Subject) -> Result<Site> {
    let site = Site::new(subject)?;
    for (key, start) in KEYS.into_iter().zip([2, 5, 8]) {
        let source = site.cluster.backup(start, start + 1);
        let tar = gzip(&source.tar(&request(false))?)?;
        site.subject.put(&format!("pg_basebackup_{key}.tgz"), tar).await?;
        site.subject.put(&format!("backup_label_{key}.txt"), source.label(&request(false))).await?;
    }
    for number in 1..=10 {
        let object = format!("wal_{}.gz", site.cluster.segment_name(number));
        site.subject.put(&object, gzip(&site.cluster.segment(number))?).await?;
    }
    Ok(site)
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    Ok(compress_frame(Format::Gzip.into(), bytes)?)
}

fn choice(key: &str) -> Result<BackupChoice> {
    Ok(BackupChoice::Key(key.parse()?))
}

pub(crate) async fn old_backups_are_listed_and_restored(subject: Subject) -> Result<()> {
    let site = old_container(subject).await?;
    let listed = site.repository.inventory().await?.backups;
    assert_eq!(listed.iter().map(|backup| backup.key.to_string()).collect::<Vec<_>>(), KEYS);
    assert!(listed.iter().all(|backup| backup.legacy && backup.main_object().is_some()));
    for (key, start) in KEYS.into_iter().zip([2, 5, 8]) {
        let directory = site.restore(choice(key)?).await?;
        assert_restored(&directory, &site.cluster.backup(start, start + 1).data_directory(&request(false)))?;
    }
    Ok(())
}

pub(crate) async fn an_old_backup_without_its_label_object_has_one_in_its_tar(
    subject: Subject,
) -> Result<()> {
    let site = old_container(subject).await?;
    let expected = site.cluster.backup(5, 6).label(&request(false));
    assert_eq!(label(&site.repository, choice(KEYS[1])?).await?.to_string(), expected);
    site.subject.delete(&format!("backup_label_{}.txt", KEYS[1])).await?;
    assert_eq!(label(&site.repository, choice(KEYS[1])?).await?.to_string(), expected);
    Ok(())
}

pub(crate) async fn an_old_upload_in_progress_is_hidden(subject: Subject) -> Result<()> {
    let site = old_container(subject).await?;
    let object = format!("pg_basebackup_{}.tgz", KEYS[2]);
    site.subject.put(&format!("...uploading/{object}/4d2e"), "").await?;
    assert_eq!(site.listed().await?, [KEYS[0].parse::<BackupKey>()?, KEYS[1].parse()?]);
    let error = refused(site.restore(choice(KEYS[2])?).await);
    assert!(matches!(error, Error::UnknownBackup { .. }), "{error}");
    let plan = plan(&site, 2, 0).await?;
    assert!(plan.leftovers.is_empty(), "it may be alive: {:?}", plan.leftovers);
    Ok(())
}

pub(crate) async fn old_wal_is_restored_and_known_when_archived_again(subject: Subject) -> Result<()> {
    let site = old_container(subject).await?;
    assert_eq!(site.restored_wal(site.cluster.wal_name(3)).await?, site.cluster.segment(3));
    let error = refused(site.restored_wal(site.cluster.wal_name(11)).await);
    assert!(matches!(error, Error::WalAbsent { .. }), "{error}");

    let again = site.archive_as(site.cluster.wal_name(10), &site.cluster.segment(10)).await?;
    assert_eq!(again, Archived::AlreadyThere);
    let next = site.archive_as(site.cluster.wal_name(11), &site.cluster.segment(11)).await?;
    assert!(matches!(next, Archived::Stored { .. }), "{next:?}");
    for number in [1, 10, 11] {
        assert_eq!(site.restored_wal(site.cluster.wal_name(number)).await?, site.cluster.segment(number));
    }
    Ok(())
}

pub(crate) async fn old_and_new_backups_are_kept_and_pruned_alike(subject: Subject) -> Result<()> {
    let site = old_container(subject).await?;
    site.subject.delete(&format!("backup_label_{}.txt", KEYS[1])).await?;
    prune_to(&site, 2, 0).await?;
    assert_eq!(site.listed_wal().await?, names(&site.cluster, 5..=10), "its label is in its tar");

    let record = site.back_up(9, 10).await?;
    prune_to(&site, 2, 0).await?;
    assert_eq!(site.listed().await?, [KEYS[2].parse()?, record.key]);
    assert_eq!(site.listed_wal().await?, names(&site.cluster, 8..=10));

    prune_to(&site, 1, 0).await?;
    site.assert_restorable(&record, &site.cluster.backup(9, 10)).await?;
    assert!(!site.subject.objects().await?.iter().any(|object| KEYS.iter().any(|key| object.contains(key))));
    Ok(())
}

pub(crate) async fn what_an_old_upload_left_is_swept_after_a_day(subject: Subject) -> Result<()> {
    let site = old_container(subject).await?;
    let before = site.subject.objects().await?;
    site.subject.put("pg_basebackup_20130831T0200Z.tgz", "half of it").await?;
    site.subject.put("...uploading/pg_basebackup_20130831T0200Z.tgz/4d2e", "").await?;
    site.wait_hours(25);
    prune(&site.repository, &plan(&site, 3, 100).await?).await?;
    assert_eq!(site.subject.objects().await?, before);
    Ok(())
}

pub(crate) async fn old_and_new_compressions_live_side_by_side(subject: Subject) -> Result<()> {
    let site = old_container(subject).await?;
    for (format, number) in Format::ALL.into_iter().zip(11..) {
        let options = ArchiveOptions { codec: format.into(), force: false };
        site.archive_with(site.cluster.wal_name(number), &site.cluster.segment(number), &options).await?;
    }
    for number in 1..=14 {
        assert_eq!(site.restored_wal(site.cluster.wal_name(number)).await?, site.cluster.segment(number));
    }
    assert_eq!(site.listed_wal().await?, names(&site.cluster, 1..=14));
    Ok(())
}
