//! Scenarios with commit records of another repository, or under the name of another backup.

use anyhow::Result;
use serde_json::Value;
use swiftwal_core::{BackupChoice, BackupKey, BackupRecord, ErrorKind, plan_archive_cleanup, prune};

use super::{
    prune::{names, plan},
    site::{Site, refused, restore_options},
    unknown::rewrite_record,
};
use crate::subject::Subject;

const FOREIGN: &str = "20990101T0000Z";

/// Two backups, and a commit record with its tar that is a modified copy of the second one's.
async fn site_with_foreign_record(
    subject: Subject,
    change: impl FnOnce(&mut Value) + Send,
) -> Result<(Site, [BackupRecord; 2], BackupKey)> {
    let site = Site::new(subject)?;
    site.archive(1..=8).await?;
    let records = [site.back_up(2, 3).await?, site.back_up(5, 6).await?];
    for ending in ["json", "tar.zst"] {
        let own = site.subject.get(&format!("pg_basebackup_{}.{ending}", records[1].key)).await?;
        site.subject.put(&format!("pg_basebackup_{FOREIGN}.{ending}"), own).await?;
    }
    rewrite_record(&site, &format!("pg_basebackup_{FOREIGN}.json"), change).await?;
    Ok((site, records, FOREIGN.parse()?))
}

async fn assert_not_counted(
    (site, [older, newer], foreign): (Site, [BackupRecord; 2], BackupKey),
    reason: &str,
) -> Result<()> {
    let object = format!("pg_basebackup_{foreign}.json");
    let (mut inventory, ours) = (site.repository.inventory().await?, site.repository.cluster().await?);
    site.repository.read_records(&mut inventory, ours.as_ref()).await;
    let [told] = inventory.foreign.as_slice() else { panic!("{:?}", inventory.foreign) };
    assert!(told.contains(&object) && told.contains("find out where it comes from"), "{told}");
    let error = refused(site.restore(BackupChoice::Key(foreign)).await);
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert!(error.to_string().contains(&object) && error.to_string().contains(reason), "{error}");

    let directory = site.subject.new_path("pgdata");
    let latest = BackupChoice::Latest;
    let (stats, said) =
        Site::restore_noting(&site.repository, latest, &directory, &restore_options()).await?;
    assert_eq!(stats.key, newer.key);
    let said = said.concat();
    assert!(said.contains(&object) && said.contains(reason), "{said}");

    // The WAL that it seems to need isn't kept, and it doesn't prevent a cleanup.
    let cleanup = plan_archive_cleanup(&site.repository, site.cluster.wal_name(8), false).await?;
    assert_eq!(cleanup.remove.len(), 1, "all but segment 1 is needed");
    assert!(cleanup.notices.iter().any(|notice| notice.contains(&object)), "{:?}", cleanup.notices);

    let plan = plan(&site, 1, 0).await?;
    assert_eq!((&plan.keep_backups[..], &plan.remove_backups[..]), (&[newer.key][..], &[older.key][..]));
    assert!(plan.notices.iter().any(|notice| notice.contains(&object)), "{:?}", plan.notices);
    prune(&site.repository, &plan).await?;
    let left = site.subject.objects().await?;
    assert!(left.contains(&object) && left.contains(&format!("pg_basebackup_{foreign}.tar.zst")));
    assert_eq!(site.listed_wal().await?, names(&site.cluster, 5..=8));
    Ok(())
}

pub(crate) async fn a_record_under_another_backups_name_is_not_counted(subject: Subject) -> Result<()> {
    let site = site_with_foreign_record(subject, |_| ()).await?;
    let reason = site.1[1].key.to_string();
    assert_not_counted(site, &reason).await
}

pub(crate) async fn a_record_of_another_cluster_is_not_counted(subject: Subject) -> Result<()> {
    let change = |backup: &mut Value| {
        backup["key"] = FOREIGN.into();
        backup["system_identifier"] = "42".into();
        let objects = backup["objects"].to_string();
        let own = objects.split("pg_basebackup_").nth(1).and_then(|rest| rest.get(..14)).unwrap_or_default();
        let objects = objects.replace(own, FOREIGN);
        backup["objects"] = serde_json::from_str(&objects).unwrap_or_default();
    };
    assert_not_counted(site_with_foreign_record(subject, change).await?, "42").await
}

pub(crate) async fn a_record_that_names_another_backups_objects_is_not_counted(
    subject: Subject,
) -> Result<()> {
    let site = site_with_foreign_record(subject, |backup| backup["key"] = FOREIGN.into()).await?;
    let reason = site.1[1].key.to_string();
    assert_not_counted(site, &reason).await
}
