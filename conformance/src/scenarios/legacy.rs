//! Scenarios with containers of SwiftWAL 0.2.2, which are read unchanged.

use std::num::NonZeroU32;

use anyhow::Result;
use object_store::{ObjectStoreExt, path::Path};
use swiftwal_compression::{Format, compress_frame};
use swiftwal_core::{
    ArchiveOptions, Archived, BackupChoice, Error, ErrorKind, PrunePolicy, label, plan_archive_cleanup,
    plan_prune, prune,
};

use super::{
    prune::{names, plan, prune_to},
    site::{Site, assert_restored, refused, request},
};
use crate::{faulty::Faults, subject::Subject};

const KEYS: [&str; 3] = ["20130828T1810Z", "20130829T1125Z", "20130830T0200Z"];

/// The key of a crashed or running upload beside them.
const DYING: &str = "20130831T0200Z";

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

/// Stores an object that is dated by the manual clock.
async fn put_now(site: &Site, object: &str, bytes: &'static str) -> Result<()> {
    site.repository.storage().store().put(&Path::parse(object)?, bytes.into()).await?;
    Ok(())
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

pub(crate) async fn an_old_upload_in_progress_is_no_backup_and_let_alone(subject: Subject) -> Result<()> {
    let site = old_container(subject).await?;
    site.subject.put(&format!("...uploading/pg_basebackup_{DYING}.tgz/4d2e"), "").await?;
    // The marker is never rewritten: only its segments show that the upload is running.
    for segment in ["000001", "000002"] {
        put_now(&site, &format!("...seg/pg_basebackup_{DYING}.tgz/4d2e/{segment}"), "5 GiB").await?;
        site.wait_hours(23);
    }
    let before = site.subject.objects().await?;
    assert_eq!(site.listed().await?.len(), KEYS.len());
    let error = refused(site.restore(choice(DYING)?).await);
    assert!(matches!(error, Error::UnknownBackup { .. }), "{error}");
    let plan = prune_to(&site, 3, 100).await?;
    assert!(plan.leftovers.is_empty(), "{:?}", plan.leftovers);
    assert_eq!(site.subject.objects().await?, before);
    Ok(())
}

pub(crate) async fn an_old_backup_stands_though_its_marker_was_left(subject: Subject) -> Result<()> {
    let site = old_container(subject).await?;
    let marker = format!("...uploading/pg_basebackup_{}.tgz/4d2e", KEYS[2]);
    site.subject.put(&marker, "").await?;
    site.wait_hours(25);
    prune_to(&site, 3, 100).await?;
    assert!(site.subject.objects().await?.contains(&marker), "it names the segments of the backup");
    site.restore(choice(KEYS[2])?).await?;

    site.back_up(9, 10).await?;
    prune_to(&site, 1, 100).await?;
    assert!(!site.subject.objects().await?.contains(&marker));
    Ok(())
}

pub(crate) async fn a_deletion_that_the_original_began_is_finished(subject: Subject) -> Result<()> {
    let site = old_container(subject).await?;
    let before = site.subject.objects().await?;
    let died = format!("...uploading%2Fpg_basebackup_{DYING}.tgz%2F4d2e");
    for name in [died.clone(), format!("...to_delete%2F{}", died.replace('%', "%25"))] {
        put_now(&site, &format!("...to_delete/{name}"), "").await?;
    }
    // It no longer has content.
    site.subject.put(&format!("pg_basebackup_{DYING}.tgz"), "").await?;
    site.subject.put(&format!("backup_label_{DYING}.txt"), "START").await?;
    site.subject.put(&format!("...to_delete/pg_basebackup_{DYING}.tgz"), "").await?;
    assert_eq!(site.listed().await?.len(), KEYS.len());
    prune_to(&site, 3, 100).await?;
    assert_eq!(site.subject.objects().await?, before);
    Ok(())
}

pub(crate) async fn an_old_backup_is_hidden_while_its_deletion_is_unfinished(subject: Subject) -> Result<()> {
    let site = old_container(subject).await?;
    for sign in [format!("...to_delete/pg_basebackup_{}.tgz", KEYS[1]), format!("...deleting/{}", KEYS[0])] {
        site.subject.put(&sign, "").await?;
    }
    assert_eq!(site.listed().await?, [KEYS[2].parse()?]);
    prune(&site.repository, &plan(&site, 3, 100).await?).await?;
    // The original's sign has deleted no segment here: the backup is complete.
    assert_eq!(site.listed().await?, [KEYS[1].parse()?, KEYS[2].parse()?]);
    assert!(!site.subject.objects().await?.iter().any(|object| object.contains(KEYS[0])));
    Ok(())
}

pub(crate) async fn segments_that_lost_their_backup_are_told_and_let_alone(subject: Subject) -> Result<()> {
    let site = old_container(subject).await?;
    site.subject.put(&format!("...seg/pg_basebackup_{DYING}.tgz/4d2e/000001"), "5 GiB").await?;
    site.wait_hours(25);
    let before = site.subject.objects().await?;
    let plan = prune_to(&site, 3, 100).await?;
    assert!(plan.notices.iter().any(|notice| notice.contains(DYING)), "{:?}", plan.notices);
    assert_eq!(site.subject.objects().await?, before);
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
    prune_to(&site, 2, 0).await?;
    assert_eq!(site.listed_wal().await?, names(&site.cluster, 5..=10));

    let record = site.back_up(9, 10).await?;
    prune_to(&site, 2, 0).await?;
    assert_eq!(site.listed().await?, [KEYS[2].parse()?, record.key]);
    assert_eq!(site.listed_wal().await?, names(&site.cluster, 8..=10));

    prune_to(&site, 1, 0).await?;
    site.assert_restorable(&record, &site.cluster.backup(9, 10)).await?;
    assert!(!site.subject.objects().await?.iter().any(|object| KEYS.iter().any(|key| object.contains(key))));
    Ok(())
}

pub(crate) async fn an_old_backup_without_label_is_kept_and_no_older_one_goes_for_it(
    subject: Subject,
) -> Result<()> {
    let site = old_container(subject).await?;
    for key in &KEYS[1..] {
        site.subject.delete(&format!("backup_label_{key}.txt")).await?;
    }
    // pg_basebackup failed at once, and 0.2.2 gave the name to the result: nothing, compressed.
    site.subject.put(&format!("pg_basebackup_{}.tgz", KEYS[2]), gzip(b"")?).await?;
    let plan = prune_to(&site, 1, 0).await?;
    assert_eq!(plan.keep_backups.len(), 3);
    for key in &KEYS[1..] {
        assert!(plan.notices.iter().any(|notice| notice.contains(key)), "{:?}", plan.notices);
    }
    assert_eq!(site.listed_wal().await?, names(&site.cluster, 2..=10), "its label is in its tar");

    site.back_up(9, 10).await?;
    prune_to(&site, 1, 0).await?;
    assert_eq!(site.listed_wal().await?, names(&site.cluster, 9..=10));
    Ok(())
}

/// Only a lagging listing may make it look broken.
pub(crate) async fn an_old_backup_that_tells_nothing_is_no_ground_for_deleting_wal(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(1..=6).await?;
    site.subject.put(&format!("pg_basebackup_{}.tgz", KEYS[0]), gzip(b"")?).await?;
    let cleanup = plan_archive_cleanup(&site.repository, site.cluster.wal_name(5), false).await;
    for error in [refused(plan(&site, 1, 0).await), refused(cleanup)] {
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        assert!(error.to_string().contains(KEYS[0]), "{error}");
    }
    Ok(())
}

pub(crate) async fn all_wal_stays_while_an_old_upload_goes_on(subject: Subject) -> Result<()> {
    let site = old_container(subject).await?;
    put_now(&site, &format!("...uploading/pg_basebackup_{DYING}.tgz/4d2e"), "").await?;
    let during = plan(&site, 1, 0).await?;
    assert!(during.remove_wal.is_empty(), "{:?}", during.remove_wal);
    assert!(during.notices.iter().any(|notice| notice.contains("...uploading/")), "{:?}", during.notices);
    site.wait_hours(25);
    assert_eq!(plan(&site, 1, 0).await?.remove_wal.len(), 7);
    Ok(())
}

pub(crate) async fn what_an_old_upload_left_is_swept_after_a_day(subject: Subject) -> Result<()> {
    let site = old_container(subject).await?;
    let before = site.subject.objects().await?;
    for object in ["...uploading/pg_basebackup_K.tgz/4d2e", "...seg/pg_basebackup_K.tgz/4d2e/000001"] {
        site.subject.put(&object.replace('K', DYING), "").await?;
    }
    // The original never removed the label of a backup that it had pruned.
    site.subject.put("backup_label_20130801T0200Z.txt", "START").await?;
    site.wait_hours(25);
    prune_to(&site, 3, 100).await?;
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

pub(crate) async fn why_an_old_backup_can_not_be_restored_is_said_in_full(subject: Subject) -> Result<()> {
    let site = old_container(subject).await?;
    site.subject.delete(&format!("backup_label_{}.txt", KEYS[2])).await?;
    let gone = format!("pg_basebackup_{}.tgz", KEYS[2]);
    let repository = site.subject.repository_with(&Faults::vanished(&gone))?;
    let policy = PrunePolicy::newest(NonZeroU32::MIN);
    let plan = plan_prune(&repository, &policy).await?;
    let told = |notice: &&String| notice.contains(&gone) && notice.contains("see list-backups");
    assert!(plan.notices.iter().any(|notice| told(&notice)), "{:?}", plan.notices);
    Ok(())
}
