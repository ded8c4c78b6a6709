//! Scenarios of list-backups and list-wal.

use std::sync::Arc;

use anyhow::Result;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStoreExt, path::Path};
use swiftwal_compression::Format;
use swiftwal_core::{ArchiveOptions, Error};
use swiftwal_postgres::WalName;

use super::site::Site;
use crate::{SyntheticCluster, subject::Subject};

const PUTS_AT_A_TIME: usize = 50;

pub(crate) async fn more_wal_files_than_a_page_holds_are_listed_each_once_and_in_order(
    subject: Subject,
) -> Result<()> {
    let page = subject.harness().listing_page();
    let site = Site::new(subject)?;
    let names: Vec<_> = (0..page + page / 5).map(|number| site.cluster.wal_name(number)).collect();
    let store = Arc::clone(site.subject.storage()?.store());
    let objects: Vec<_> = names.iter().map(|name| Path::from(format!("wal_{name}.zst"))).collect();
    let puts = objects.into_iter().map(|object| {
        let store = Arc::clone(&store);
        async move { store.put(&object, "x".into()).await }
    });
    stream::iter(puts).buffer_unordered(PUTS_AT_A_TIME).try_collect::<Vec<_>>().await?;
    let listed = site.repository.inventory().await?.wal;
    assert_eq!(listed.len(), names.len());
    assert!(listed.iter().map(|wal| wal.name).eq(names));
    Ok(())
}

pub(crate) async fn a_place_with_nothing_in_it_is_no_repository(subject: Subject) -> Result<()> {
    let listed = Site::new(subject)?.repository.inventory().await;
    assert!(
        matches!(listed, Err(Error::NoRepository { .. })),
        "an unmounted disk looks like that: {listed:?}"
    );
    Ok(())
}

pub(crate) async fn wal_files_are_listed_as_their_names_order_with_size_and_compression(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    let second = site.cluster.promoted();
    let (history, text) = second.history(&[(site.cluster.timeline(), 5)]);
    let (backup, label) = site.cluster.backup_history(4);
    site.archive_of(&second, 5..=5).await?;
    site.archive_as(history, text.as_bytes()).await?;
    site.archive_as(WalName::Partial(site.cluster.segment_name(5)), &site.cluster.segment(5)).await?;
    site.archive_as(backup, label.as_bytes()).await?;
    let gzip = ArchiveOptions { codec: Format::Gzip.into(), force: false };
    site.archive_with(site.cluster.wal_name(4), &site.cluster.segment(4), &gzip).await?;
    assert_eq!(
        site.listed_wal().await?,
        [
            "000000010000000000000004",
            "000000010000000000000004.00000028.backup",
            "000000010000000000000005.partial",
            "00000002.history",
            "000000020000000000000005",
        ]
    );
    let listed = site.repository.inventory().await?.wal;
    assert_eq!((listed[0].format, listed[1].format), (Format::Gzip, Format::Zstd));
    for wal in listed {
        assert_eq!(site.subject.get(&wal.object_name().to_string()).await?.len() as u64, wal.bytes);
    }
    Ok(())
}

pub(crate) async fn a_backup_is_listed_with_its_objects_and_sizes(subject: Subject) -> Result<()> {
    let cluster = SyntheticCluster::new(1).with_tablespace(16400, "/srv/fast");
    let site = Site::of(subject, cluster)?;
    let record = site.take_with_wal(&site.cluster.backup(3, 3)).await?;
    let listed = site.repository.inventory().await?.backups;
    let [backup] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!((backup.key, backup.legacy), (record.key, false));
    let main = backup.main_object().map(|object| object.name.to_string());
    assert_eq!(main, Some(format!("pg_basebackup_{}.tar.zst", record.key)));
    let mut bytes = 0;
    for object in site.subject.objects().await?.iter().filter(|name| name.contains(&record.key.to_string())) {
        bytes += site.subject.get(object).await?.len() as u64;
    }
    assert_eq!(backup.stored_bytes(), bytes);
    Ok(())
}

pub(crate) async fn foreign_objects_and_hidden_ones_are_not_listed(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(3..=3).await?;
    for name in ["notes.txt", "...to_delete/x", "wal_00000001000000000000000Z.zst", "pg_basebackup_now.json"]
    {
        site.subject.put(name, "x").await?;
    }
    let inventory = site.repository.inventory().await?;
    assert_eq!((inventory.backups.len(), inventory.wal.len()), (0, 1));
    Ok(())
}
