//! Scenarios of a full storage.

use std::num::NonZeroU32;

use anyhow::Result;
use object_store::{ObjectStoreExt, path::Path};
use swiftwal_compression::{Format, compress_frame};
use swiftwal_core::{BackupChoice, PrunePolicy, plan_prune, prune};

use super::{
    prune::{names, objects_of, plan, sorted},
    site::{Site, assert_restored, refused, request, shown},
};
use crate::{
    faulty::{Faults, HINT},
    subject::Subject,
};

/// Prune must free space, so it must not need any: neither for its marks nor to learn the time.
pub(crate) async fn a_storage_without_room_is_pruned_all_the_same(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let store = std::sync::Arc::clone(site.repository.storage().store());
    let (dead, young) = ("pg_basebackup_20130828T1810Z.tar.zst", "pg_basebackup_20130829T1810Z.tar.zst");
    store.put(&Path::from(dead), "of a backup that was never committed".into()).await?;
    site.back_up(2, 3).await?;
    site.wait_hours(25);
    store.put(&Path::from(young), "of one that may still go on".into()).await?;
    let kept = site.back_up(8, 9).await?;
    // The true time is unknown, so no object counts as older than the newest one shows.
    site.wait_hours(100);

    let policy = PrunePolicy::newest(NonZeroU32::MIN);
    let repository = site.subject.repository_with(&Faults::no_room())?;
    let plan = plan_prune(&repository, &policy).await?;
    let told = |text: &str| plan.notices.iter().any(|notice| notice.contains(text));
    assert!(told("can't get the storage's time") && told(HINT), "{:?}", plan.notices);
    assert_eq!(plan.leftovers, [dead]);
    repository.check_removal().await?;
    prune(&repository, &plan).await?;
    let mut expected = objects_of(&kept);
    expected.extend(["cluster.json", young].map(str::to_owned));
    expected.extend(names(&site.cluster, 8..=9).iter().map(|name| format!("wal_{name}.zst")));
    assert_eq!(Vec::from_iter(site.subject.objects().await?), sorted(expected));
    Ok(())
}

/// It loses its segments before its main object, and would still be listed without them. Backups that can be deleted
/// without a mark are deleted first, which may make room for its mark.
pub(crate) async fn an_old_backup_stays_whole_where_its_mark_can_not_be_stored(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    let key = "20130828T1810Z";
    let old = [format!("pg_basebackup_{key}.tgz"), format!("backup_label_{key}.txt")];
    let source = site.cluster.backup(2, 3);
    let tar = compress_frame(Format::Gzip.into(), &source.tar(&request(false))?)?;
    site.subject.put(&old[0], tar).await?;
    site.subject.put(&old[1], source.label(&request(false))).await?;
    site.archive(2..=3).await?;
    let [newer, newest] = [site.back_up(5, 6).await?, site.back_up(8, 9).await?];

    let planned = plan(&site, 1, 0).await?;
    assert_eq!(planned.remove_backups, [key.parse()?, newer.key]);
    let full = site.subject.repository_with(&Faults::no_room())?;
    let error = refused(prune(&full, &planned).await);
    assert!(shown(&error).contains(&format!("...deleting/{key}")), "{error}");
    assert_eq!(site.listed().await?, [key.parse()?, newest.key]);
    let directory = site.restore(BackupChoice::Key(key.parse()?)).await?;
    assert_restored(&directory, &source.data_directory(&request(false)))?;

    // With room for the mark, it is deleted.
    prune(&site.repository, &plan(&site, 1, 0).await?).await?;
    assert_eq!(site.listed().await?, [newest.key]);
    let left = site.subject.objects().await?;
    assert!(!left.iter().any(|object| object.contains(key)), "{left:?}");
    Ok(())
}
