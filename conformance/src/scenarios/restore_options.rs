//! Scenarios of restore: options that change where files go, and whether they are written at all.

use std::fs;

use anyhow::Result;
use swiftwal_core::{BackupChoice, ErrorKind, RecoveryTarget, RestoreOptions, plan_restore};

use super::site::{Site, assert_restored, file_names, refused, request, restore_options};
use crate::{Entry, SyntheticCluster, Tree, subject::Subject};

pub(crate) async fn without_recovery_the_files_are_those_of_the_backup_and_no_others(
    subject: Subject,
) -> Result<()> {
    let site = Site::of(subject, SyntheticCluster::new(1).with_file("standby.signal", ""))?;
    let source = site.cluster.backup(3, 3);
    site.take_with_wal(&source).await?;
    let directory = site.subject.path("pgdata");
    let options = RestoreOptions { no_recovery: true, ..restore_options() };
    site.restore_into(BackupChoice::Latest, &directory, &options).await?;
    let mut original = source.data_directory(&request(true));
    original.remove("standby.signal");
    let differences = original.differences(&Tree::read(&directory)?);
    assert!(differences.is_empty(), "{differences:#?}");
    Ok(())
}

pub(crate) async fn a_dry_run_says_what_would_be_restored_and_writes_nothing(subject: Subject) -> Result<()> {
    let place = subject.path("tablespace");
    let cluster = SyntheticCluster::new(1).with_tablespace(16400, "/srv/fast");
    let site = Site::of(subject, cluster)?;
    let record = site.back_up(3, 4).await?;
    let options = RestoreOptions {
        tablespace_mapping: vec![("/srv/fast".into(), place.clone())],
        target: Some(RecoveryTarget::Lsn("7/0".parse()?)),
        ..restore_options()
    };
    let before = site.listed_wal().await?;
    let directory = site.subject.path("pgdata");
    let plan = plan_restore(&site.repository, BackupChoice::Latest, &directory, &options, &|_| {}).await?;
    assert_eq!((plan.key, plan.location.as_str()), (record.key, site.repository.location()));
    let tars = || record.objects.iter().filter(|object| object.tar_bytes.is_some());
    assert_eq!(plan.stored_bytes, Some(tars().map(|tar| tar.bytes).sum()));
    assert_eq!(plan.tar_bytes, tars().map(|tar| tar.tar_bytes).sum());
    let followed = plan.followed.and_then(|followed| followed.last_wal);
    assert_eq!(followed, Some(site.cluster.segment_name(4)));
    let spaces: Vec<_> = plan.tablespaces.iter().map(|space| (space.oid, space.directory.clone())).collect();
    assert_eq!(spaces, [(16400, place.clone())]);
    assert!(plan.shortfall.is_some_and(|notice| notice.contains("doesn't reach the target")));
    assert!(!place.exists() && !directory.exists() && plan.existing.is_none());
    assert_eq!(site.listed_wal().await?, before);

    let unmapped =
        plan_restore(&site.repository, BackupChoice::Latest, &directory, &restore_options(), &|_| {}).await;
    assert_eq!(refused(unmapped).kind(), ErrorKind::Refused);
    Ok(())
}

pub(crate) async fn the_wal_goes_into_a_directory_of_its_own(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let source = site.cluster.backup(3, 3);
    site.take_with_wal(&source).await?;
    let (absent, empty) = (site.subject.path("absent"), site.subject.path("empty"));
    fs::create_dir(&empty)?;
    for wal in [absent, empty] {
        let directory = site.subject.new_path("pgdata");
        let options = RestoreOptions { wal_directory: Some(wal.clone()), ..restore_options() };
        site.restore_into(BackupChoice::Latest, &directory, &options).await?;
        let (mut expected, mut elsewhere) = (Tree::default(), Tree::default());
        for (path, entry) in source.data_directory(&request(true)).iter() {
            match path.strip_prefix("pg_wal/") {
                Some(below) => elsewhere.insert(below, entry.clone()),
                None => expected.insert(path, entry.clone()),
            }
        }
        expected.insert("pg_wal", Entry::Link { target: wal.display().to_string() });
        assert_restored(&directory, &expected)?;
        let differences = elsewhere.differences(&Tree::read(&wal)?);
        assert!(differences.is_empty(), "{differences:#?}");

        let again = site.subject.new_path("pgdata");
        let error = refused(site.restore_into(BackupChoice::Latest, &again, &options).await);
        assert!(error.to_string().contains("is not empty") && !again.exists(), "{error}");
    }
    for (wal, reason) in [("pg_wal", "absolute path"), ("", "absolute path")] {
        let options = RestoreOptions { wal_directory: Some(wal.into()), ..restore_options() };
        let directory = site.subject.new_path("pgdata");
        let error = refused(site.restore_into(BackupChoice::Latest, &directory, &options).await);
        assert!(error.to_string().contains(reason) && !directory.exists(), "{error}");
    }
    let directory = site.subject.new_path("pgdata");
    let options = RestoreOptions { wal_directory: Some(directory.join("pg_wal")), ..restore_options() };
    let error = refused(site.restore_into(BackupChoice::Latest, &directory, &options).await);
    assert!(error.to_string().contains("is inside") && !directory.exists(), "{error}");
    Ok(())
}

pub(crate) async fn a_failed_restore_leaves_nothing_in_the_directory_for_the_wal(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    let record = site.take_with_wal(&site.cluster.backup(3, 3)).await?;
    let tar = format!("pg_basebackup_{}.tar.zst", record.key);
    let stored = site.subject.get(&tar).await?;
    site.subject.put(&tar, stored.slice(..stored.len() - 1)).await?;
    let (absent, existing) = (site.subject.path("absent"), site.subject.path("existing"));
    fs::create_dir(&existing)?;
    for wal in [&absent, &existing] {
        let directory = site.subject.new_path("pgdata");
        let options = RestoreOptions { wal_directory: Some(wal.clone()), ..restore_options() };
        let choice = BackupChoice::Key(record.key);
        let error = refused(site.restore_into(choice, &directory, &options).await);
        assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
        assert!(!directory.exists());
    }
    assert!(!absent.exists());
    assert_eq!(file_names(&existing)?, [""; 0]);
    Ok(())
}
