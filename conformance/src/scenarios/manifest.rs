//! Scenarios of restore: PostgreSQL's manifest of the backup.

use std::fs;

use anyhow::Result;
use swiftwal_core::{BackupChoice, BackupRecord, ErrorKind, RestoreOptions, restore};

use super::site::{Site, assert_restored, refused, request, restore_options};
use crate::{SyntheticCluster, SyntheticSource, faulty::Faults, subject::Subject};

pub(crate) async fn the_files_are_compared_with_postgresqls_manifest(subject: Subject) -> Result<()> {
    let cluster =
        SyntheticCluster::new(1).with_tablespace(16400, "/srv/fast").with_file("standby.signal", "x");
    let site = Site::of(subject, cluster)?;
    for (start, algorithm) in [(3, "CRC32C"), (4, "NONE")] {
        let source = site.cluster.backup(start, start);
        let mut listed = lines(&source, algorithm);
        // The order doesn't matter.
        listed.reverse();
        let record = take(&site, &source, &listed).await?;
        let directory = site.subject.new_path("pgdata");
        let choice = BackupChoice::Key(record.key);
        let notices = said(&site, choice, &directory, &options(&site, start)).await?;
        assert!(!notices.contains("manifest"), "{notices}");
        assert_eq!(fs::read_to_string(directory.join("backup_manifest"))?, text_of(&listed));
    }
    let source = site.cluster.backup(5, 5);
    let listed = lines(&source, "CRC32C");
    let file = listed.iter().position(|line| line.contains("base/1/1001")).unwrap_or_default();
    let with = |line: String| [&listed[..file], &[line], &listed[file + 1..]].concat();
    let one_more = "{ \"Path\": \"base/1/other\", \"Size\": 0, \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"00000000\" }";
    for (start, other, told) in [
        (6, with(listed[file].replace("\"Size\": ", "\"Size\": 1")), "CRC32C checksum isn't the one"),
        (7, with(listed[file].replace("base/1/1001", "base/1/other")), "CRC32C checksum isn't the one"),
        (
            8,
            with(listed[file].replace("\"Checksum\": \"", "\"Checksum\": \"11")),
            "CRC32C checksum isn't the one",
        ),
        (9, [&listed[..file], &listed[file + 1..]].concat(), "and the backup has"),
        (10, [&listed[..], &[one_more.to_owned()]].concat(), "and the backup has"),
    ] {
        let record = take(&site, &source, &other).await?;
        site.wait_hours(1);
        let directory = site.subject.new_path("pgdata");
        let choice = BackupChoice::Key(record.key);
        let error = refused(site.restore_into(choice, &directory, &options(&site, start)).await);
        assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
        let object = format!("backup_manifest_{}.zst", record.key);
        assert!(error.to_string().contains(told) && error.to_string().contains(&object), "{error}");
        assert!(!directory.exists());
    }
    Ok(())
}

pub(crate) async fn a_manifest_that_cannot_be_read_is_done_without_and_that_is_said(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    let source = site.cluster.backup(3, 3);
    let record = take(&site, &source, &lines(&source, "CRC32C")).await?;
    let object = format!("backup_manifest_{}.zst", record.key);
    let stored = site.subject.get(&object).await?;
    for damaged in [Some(stored.slice(..stored.len() - 1)), None] {
        match damaged {
            Some(damaged) => site.subject.put(&object, damaged).await?,
            None => site.subject.delete(&object).await?,
        }
        let directory = site.subject.new_path("pgdata");
        let notices = said(&site, BackupChoice::Latest, &directory, &restore_options()).await?;
        assert!(notices.contains("without comparing the files with PostgreSQL's manifest"), "{notices}");
        assert_restored(&directory, &source.data_directory(&request(true)))?;
    }
    Ok(())
}

/// A failed request says nothing about the manifest, without which the restore would verify less.
pub(crate) async fn a_manifest_that_the_storage_fails_to_give_fails_the_restore(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    let source = site.cluster.backup(3, 3);
    let record = take(&site, &source, &lines(&source, "CRC32C")).await?;
    let object = format!("backup_manifest_{}.zst", record.key);
    let repository = site.subject.repository_with(&Faults::unreadable(&object))?;
    let directory = site.subject.path("pgdata");
    let restored = restore(&repository, BackupChoice::Latest, &directory, &restore_options(), &|_| {}).await;
    let error = refused(restored);
    assert!(error.kind() == ErrorKind::Failed && error.to_string().contains(&object), "{error}");
    assert!(!directory.exists());
    Ok(())
}

/// Takes a backup with a manifest of these lines.
async fn take(site: &Site, source: &SyntheticSource, listed: &[String]) -> Result<BackupRecord> {
    Ok(site.take_with_wal(&source.clone().with_manifest(text_of(listed))).await?)
}

fn text_of(listed: &[String]) -> String {
    let files = listed.join(",\n");
    format!(
        "{{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [\n{files}\n],\n\"WAL-Ranges\": [\n],\n\
         \"Manifest-Checksum\": \"00\"}}\n"
    )
}

/// Returns a line of the manifest for each file.
fn lines(source: &SyntheticSource, algorithm: &str) -> Vec<String> {
    source.manifest_lines(&request(true), algorithm)
}

fn options(site: &Site, number: u64) -> RestoreOptions {
    let place = site.subject.path(&format!("fast{number}"));
    RestoreOptions { tablespace_mapping: vec![("/srv/fast".into(), place)], ..restore_options() }
}

/// Restores a backup, and returns the notices.
async fn said(
    site: &Site,
    choice: BackupChoice,
    directory: &std::path::Path,
    options: &RestoreOptions,
) -> Result<String> {
    let (_, notices) = Site::restore_noting(&site.repository, choice, directory, options).await?;
    Ok(notices.concat())
}
