//! Scenarios with tablespaces.

use std::{collections::BTreeSet, fs, os::unix::fs::symlink, path::Path, sync::mpsc};

use anyhow::Result;
use swiftwal_compression::{Format, compress_frame};
use swiftwal_core::{BackupChoice, ErrorKind, RestoreEvent, RestoreOptions, Reuse, restore};
use tar::EntryType;

use super::{
    crafted::{END_BYTES, member, put_again},
    site::{Site, assert_restored, refused, request, restore_options},
};
use crate::{Entry, SyntheticCluster, SyntheticSource, Tree, subject::Subject};

pub(crate) async fn each_tablespace_has_an_archive_of_its_own(subject: Subject) -> Result<()> {
    let cluster =
        SyntheticCluster::new(1).with_tablespace(16400, "/srv/fast").with_tablespace(16401, "/srv/slow");
    let site = Site::of(subject, cluster)?;
    let record = site.take_with_wal(&site.cluster.backup(3, 3)).await?;
    let tars: Vec<_> = record.objects.iter().filter(|object| object.tar_bytes.is_some()).collect();
    let locations: BTreeSet<_> = tars.iter().map(|tar| tar.tablespace_location.as_deref()).collect();
    assert_eq!(locations, BTreeSet::from([None, Some("/srv/fast"), Some("/srv/slow")]));
    let of_16400 = format!("pg_basebackup_{}.16400.tar.zst", record.key);
    assert!(tars.iter().any(|tar| tar.name == of_16400), "{tars:?}");
    Ok(())
}

pub(crate) async fn tablespaces_go_where_they_lay(subject: Subject) -> Result<()> {
    let place = subject.path("tablespace").display().to_string();
    let site = Site::of(subject, SyntheticCluster::new(1).with_tablespace(16400, &place))?;
    let source = site.cluster.backup(3, 3);
    site.take_with_wal(&source).await?;
    let directory = site.subject.path("pgdata");
    site.restore_into(BackupChoice::Latest, &directory, &in_place()).await?;
    assert_restored(&directory, &source.data_directory(&request(true)))?;
    assert_tablespaces(&source, &[Path::new(&place)])
}

fn in_place() -> RestoreOptions {
    RestoreOptions { tablespaces_in_place: true, ..restore_options() }
}

/// Anyone who can write to the repository can name any directory of this machine in a commit record.
pub(crate) async fn no_tablespace_is_restored_to_its_place_unasked(subject: Subject) -> Result<()> {
    let place = subject.path("tablespace");
    let cluster = SyntheticCluster::new(1)
        .with_tablespace(16400, &place.display().to_string())
        .with_tablespace(16401, "/srv/\u{1b}[2Jslow");
    let site = Site::of(subject, cluster)?;
    site.take_with_wal(&site.cluster.backup(3, 3)).await?;
    let directory = site.subject.path("pgdata");
    for mapping in [vec![], vec![("/srv/\u{1b}[2Jslow".into(), site.subject.path("slow"))]] {
        let is_whole = mapping.is_empty();
        let options = RestoreOptions { tablespace_mapping: mapping, ..restore_options() };
        let error = refused(site.restore_into(BackupChoice::Latest, &directory, &options).await);
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        let told = super::site::shown(&error);
        assert!(
            told.contains(&place.display().to_string()) && told.contains("--tablespaces-in-place"),
            "{told}"
        );
        assert_eq!(told.contains(r"/srv/\x1b[2Jslow"), is_whole, "{told}");
        assert!(!directory.exists() && !place.exists() && !site.subject.path("slow").exists());
    }
    Ok(())
}

pub(crate) async fn each_place_is_told_before_anything_is_written(subject: Subject) -> Result<()> {
    let place = subject.path("tablespace");
    let cluster = SyntheticCluster::new(1).with_tablespace(16400, &place.display().to_string());
    let site = Site::of(subject, cluster)?;
    site.take_with_wal(&site.cluster.backup(3, 3)).await?;
    let (sender, told) = mpsc::channel();
    let observe = |event: RestoreEvent<'_>| {
        if let RestoreEvent::Tablespace { oid, old, directory } = event {
            assert!(!directory.exists());
            let _ = sender.send((oid, old.to_owned(), directory.to_owned()));
        }
    };
    let directory = site.subject.path("pgdata");
    restore(&site.repository, BackupChoice::Latest, &directory, &in_place(), &observe).await?;
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [(16400, place.clone(), place)]);
    Ok(())
}

pub(crate) async fn only_postgresqls_directory_of_a_tablespace_is_written(subject: Subject) -> Result<()> {
    let place = subject.path("tablespace");
    let cluster = SyntheticCluster::new(1).with_tablespace(16400, &place.display().to_string());
    let site = Site::of(subject, cluster)?;
    let record = site.take_with_wal(&site.cluster.backup(3, 3)).await?;
    let directory = site.subject.path("pgdata");
    for name in ["authorized_keys", "PG_14_202107181/x", "PG_15_202209061/../x"] {
        let tar = [member(name.as_bytes(), EntryType::Regular, "", 0)?, vec![0; END_BYTES]].concat();
        let object = format!("pg_basebackup_{}.16400.tar.zst", record.key);
        put_again(&site, &record, &object, compress_frame(Format::Zstd.into(), &tar)?, tar.len()).await?;
        let error = refused(site.restore_into(BackupChoice::Latest, &directory, &in_place()).await);
        assert!(error.to_string().contains(name) && error.kind() == ErrorKind::Damaged, "{error}");
        assert!(!directory.exists() && !place.exists());
    }
    Ok(())
}

pub(crate) async fn tablespaces_go_where_they_are_mapped_to(subject: Subject) -> Result<()> {
    let cluster =
        SyntheticCluster::new(1).with_tablespace(16400, "/srv/fast").with_tablespace(16401, "/srv/slow");
    let site = Site::of(subject, cluster)?;
    let source = site.cluster.backup(3, 3);
    site.take_with_wal(&source).await?;
    let (fast, slow) = (site.subject.path("fast"), site.subject.path("slow"));
    fs::create_dir(&slow)?;
    let mapping = vec![("/srv/fast".into(), fast.clone()), ("/srv/slow".into(), slow.clone())];
    let options = RestoreOptions { tablespace_mapping: mapping, ..restore_options() };
    let directory = site.subject.path("pgdata");
    site.restore_into(BackupChoice::Latest, &directory, &options).await?;
    let mut original = source.data_directory(&request(true));
    for (oid, place) in [(16400, &fast), (16401, &slow)] {
        original.insert(format!("pg_tblspc/{oid}"), Entry::Link { target: place.display().to_string() });
    }
    assert_restored(&directory, &original)?;
    assert_tablespaces(&source, &[&fast, &slow])
}

pub(crate) async fn an_in_place_tablespace_stays_in_the_data_directory(subject: Subject) -> Result<()> {
    let cluster = SyntheticCluster::new(1)
        .with_tablespace(16400, "pg_tblspc/16400")
        .with_tablespace(16401, "pg_tblspc/16401");
    let site = Site::of(subject, cluster)?;
    let source = site.cluster.backup(3, 3).that_sends_a_manifest();
    site.take_with_wal(&source).await?;
    let mut original = source.data_directory(&request(true));
    for (tablespace, tree) in source.tablespaces() {
        for (name, entry) in tree.iter() {
            original.insert(format!("{}/{name}", tablespace.location), entry.clone());
        }
    }
    let directory = site.subject.path("pgdata");
    site.restore_into(BackupChoice::Latest, &directory, &restore_options()).await?;
    original.insert("backup_manifest", Entry::file(fs::read(directory.join("backup_manifest"))?));
    assert_restored(&directory, &original)?;

    let table = directory.join("pg_tblspc/16400/PG_15_202209061/5/16500");
    fs::write(&table, "changed")?;
    fs::write(table.with_file_name("16501"), "not in the backup")?;
    fs::remove_dir_all(directory.join("pg_tblspc/16401"))?;
    fs::create_dir(directory.join("pg_tblspc/16402"))?;
    let delta = RestoreOptions { reuse: Reuse::Cluster, discard_wal: true, ..restore_options() };
    let changed = site.restore_into(BackupChoice::Latest, &directory, &delta).await?;
    assert_restored(&directory, &original)?;
    let unchanged = site.restore_into(BackupChoice::Latest, &directory, &delta).await?;
    assert_eq!(unchanged.kept_files, changed.kept_files + 2, "the others weren't restored again");
    assert_restored(&directory, &original)
}

/// Its tar could replace files of the data directory's.
pub(crate) async fn no_other_directory_of_the_data_directory_is_a_tablespaces(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    for (number, location) in [(3, "pg_tblspc/16401"), (4, "pg_tblspc/../global"), (5, "global")] {
        let cluster = site.cluster.clone().with_tablespace(16400, location);
        site.take_with_wal(&cluster.backup(number, number)).await?;
        site.wait_hours(1);
        let directory = site.subject.path("pgdata");
        for options in [restore_options(), in_place()] {
            let error = refused(site.restore_into(BackupChoice::Latest, &directory, &options).await);
            assert_eq!(error.kind(), ErrorKind::Refused, "{location}: {error}");
            assert!(!directory.exists(), "{location}");
        }
    }
    Ok(())
}

pub(crate) async fn no_directory_is_restored_into_twice(subject: Subject) -> Result<()> {
    let cluster =
        SyntheticCluster::new(1).with_tablespace(16400, "/srv/fast").with_tablespace(16401, "/srv/slow");
    let site = Site::of(subject, cluster)?;
    site.take_with_wal(&site.cluster.backup(3, 3)).await?;
    let (directory, place) = (site.subject.path("pgdata"), site.subject.path("place"));
    for (fast, slow) in [
        (place.clone(), place.clone()),
        (place.clone(), place.join("below")),
        (place.clone(), directory.join("below")),
    ] {
        let mapping = vec![("/srv/fast".into(), fast), ("/srv/slow".into(), slow)];
        let options = RestoreOptions { tablespace_mapping: mapping, ..restore_options() };
        let error = refused(site.restore_into(BackupChoice::Latest, &directory, &options).await);
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        assert!(!directory.exists() && !place.exists());
    }
    Ok(())
}

fn assert_tablespaces(source: &SyntheticSource, places: &[&Path]) -> Result<()> {
    for ((tablespace, original), place) in source.tablespaces().zip(places) {
        let differences = original.differences(&Tree::read(place)?);
        assert!(differences.is_empty(), "{tablespace:?}: {differences:#?}");
    }
    Ok(())
}

pub(crate) async fn a_tablespace_that_can_not_go_there_stops_everything(subject: Subject) -> Result<()> {
    let cluster = SyntheticCluster::new(1).with_tablespace(16400, "/srv/fast");
    let site = Site::of(subject, cluster)?;
    site.take_with_wal(&site.cluster.backup(3, 3)).await?;
    let (taken, linked, free) =
        (site.subject.path("taken"), site.subject.path("linked"), site.subject.path("free"));
    fs::create_dir(&taken)?;
    fs::write(taken.join("content"), "stays")?;
    symlink(&taken, &linked)?;
    let directory = site.subject.path("pgdata");
    for (old, new) in [
        ("/srv/fast", &taken),
        ("/srv/fast", &linked),
        ("/srv/fsat", &free),
        ("/srv/fast", &"relative".into()),
    ] {
        let options =
            RestoreOptions { tablespace_mapping: vec![(old.into(), new.clone())], ..restore_options() };
        let error = refused(site.restore_into(BackupChoice::Latest, &directory, &options).await);
        assert_eq!(error.kind(), ErrorKind::Refused, "{old}={}: {error}", new.display());
        assert!(!directory.exists() && !free.exists());
        assert_eq!(fs::read(taken.join("content"))?, b"stays");
    }
    Ok(())
}

/// PostgreSQL would link to whatever place the map names.
pub(crate) async fn a_tablespace_map_that_names_another_tablespace_stops_everything(
    subject: Subject,
) -> Result<()> {
    let place = subject.path("place");
    let cluster = SyntheticCluster::new(1)
        .with_tablespace(16400, "/srv/fast")
        .with_file("tablespace_map", "16400 /srv/fast\n16401 /etc\n");
    let site = Site::of(subject, cluster)?;
    site.take_with_wal(&site.cluster.backup(3, 3)).await?;
    let directory = site.subject.path("pgdata");
    let mapping = vec![("/srv/fast".into(), place.clone())];
    let options = RestoreOptions { tablespace_mapping: mapping, ..restore_options() };
    let error = refused(site.restore_into(BackupChoice::Latest, &directory, &options).await);
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    assert!(error.to_string().contains("names a tablespace 16401 that it doesn't contain"), "{error}");
    assert!(!directory.exists() && !place.exists());
    Ok(())
}
