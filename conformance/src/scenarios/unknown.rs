//! Scenarios with unknown features: they are refused by name, and not read as if they were known.

use anyhow::Result;
use serde_json::{Value, json};
use swiftwal_core::{
    ArchiveOptions, BackupChoice, BackupRecord, Error, ErrorKind, archive_wal, label, plan_archive_cleanup,
};

use super::{
    prune::plan,
    site::{Site, refused},
};
use crate::subject::Subject;

/// Rewrites a commit record, with a valid checksum.
pub(super) async fn rewrite_record(
    site: &Site,
    object: &str,
    change: impl FnOnce(&mut Value) + Send,
) -> Result<()> {
    let mut record: Value = serde_json::from_slice(&site.subject.get(object).await?)?;
    let mut backup = record["backup"].take();
    change(&mut backup);
    let blake3 = blake3::hash(backup.to_string().as_bytes()).to_hex();
    let text = format!("{{\"format\":1,\"blake3\":\"{blake3}\",\"backup\":{backup}}}");
    site.subject.put(object, text.into_bytes()).await
}

fn record_of(record: &BackupRecord) -> String {
    format!("pg_basebackup_{}.json", record.key)
}

fn assert_names(error: &Error, named: &[&str]) {
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    for named in named.iter().chain(&["newer swiftwal"]) {
        assert!(super::site::shown(error).contains(named), "{named} isn't named: {error}");
    }
}

/// Checks that everything that uses the backup, or removes what it may need, refuses and changes nothing.
async fn assert_backup_refused(site: &Site, record: &BackupRecord, named: &str) -> Result<()> {
    let object = record_of(record);
    let before = site.subject.objects().await?;
    for choice in [BackupChoice::Key(record.key), BackupChoice::Latest] {
        assert_names(&refused(site.restore(choice).await), &[&object, named]);
        assert_names(&refused(label(&site.repository, choice).await), &[&object, named]);
    }
    assert_names(&refused(plan(site, 1, 0).await), &[&object, named]);
    let cleanup = plan_archive_cleanup(&site.repository, site.cluster.wal_name(9), false).await;
    assert_names(&refused(cleanup), &[&object, named]);
    assert_eq!(site.subject.objects().await?, before);
    Ok(())
}

pub(crate) async fn a_kind_of_backup_that_is_not_known_is_refused(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.back_up(2, 3).await?;
    let record = site.back_up(5, 6).await?;
    rewrite_record(&site, &record_of(&record), |backup| backup["kind"] = "differential".into()).await?;
    assert_backup_refused(&site, &record, "differential").await
}

pub(crate) async fn a_record_that_requires_what_is_not_known_is_refused(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.back_up(2, 3).await?;
    let record = site.back_up(5, 6).await?;
    rewrite_record(&site, &record_of(&record), |backup| backup["requires"] = json!(["encryption"])).await?;
    assert_backup_refused(&site, &record, "encryption").await
}

pub(crate) async fn what_prune_would_remove_is_understood_first(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let record = site.back_up(2, 3).await?;
    site.back_up(5, 6).await?;
    rewrite_record(&site, &record_of(&record), |backup| backup["requires"] = json!(["blocks"])).await?;
    assert_names(&refused(plan(&site, 1, 0).await), &[&record_of(&record), "blocks"]);
    Ok(())
}

pub(crate) async fn a_field_that_nothing_requires_is_ignored(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let source = site.cluster.backup(5, 6);
    let record = site.take_with_wal(&source).await?;
    let change = |backup: &mut Value| {
        backup["colour"] = "blue".into();
        backup["requires"] = json!([]);
    };
    rewrite_record(&site, &record_of(&record), change).await?;
    site.assert_restorable(&record, &source).await
}

/// Otherwise a tar with an unknown name would be left out.
pub(crate) async fn a_tar_of_a_name_that_is_not_known_is_refused(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let record = site.back_up(5, 6).await?;
    let name = format!("pg_basebackup_{}.16400.tar.xz", record.key);
    let change = |backup: &mut Value| {
        let mut tar = backup["objects"][0].clone();
        tar["name"] = name.clone().into();
        tar["tar_bytes"] = 1024.into();
        if let Some(objects) = backup["objects"].as_array_mut() {
            objects.push(tar);
        }
    };
    rewrite_record(&site, &record_of(&record), change).await?;
    assert_backup_refused(&site, &record, &name).await
}

/// Rewrites `cluster.json`; its fields keep their meaning.
async fn rewrite_cluster(site: &Site, change: impl FnOnce(&mut Value) + Send) -> Result<()> {
    let mut cluster: Value = serde_json::from_slice(&site.subject.get("cluster.json").await?)?;
    change(&mut cluster);
    site.subject.put("cluster.json", cluster.to_string().into_bytes()).await
}

/// Checks that nothing is written, removed, restored or reported as missing.
async fn assert_repository_refused(site: &Site, record: &BackupRecord, named: &str) -> Result<()> {
    let before = site.subject.objects().await?;
    let named = ["cluster.json", named];
    let path = site.wal_file(&site.cluster.wal_name(7).to_string(), &site.cluster.segment(7))?;
    for force in [false, true] {
        let options = ArchiveOptions { force, ..ArchiveOptions::default() };
        assert_names(&refused(archive_wal(&site.repository, &path, &options).await), &named);
    }
    for segment in [5, 7] {
        assert_names(&refused(site.restored_wal(site.cluster.wal_name(segment)).await), &named);
    }
    assert_names(&refused(site.take_with_wal(&site.cluster.backup(5, 5)).await), &named);
    for choice in [BackupChoice::Key(record.key), BackupChoice::Latest] {
        assert_names(&refused(site.restore(choice).await), &named);
        assert_names(&refused(label(&site.repository, choice).await), &named);
    }
    assert_names(&refused(plan(site, 1, 0).await), &named);
    for ignore_backups in [false, true] {
        let cleanup = plan_archive_cleanup(&site.repository, site.cluster.wal_name(9), ignore_backups).await;
        assert_names(&refused(cleanup), &named);
    }
    assert_eq!(site.subject.objects().await?, before);
    Ok(())
}

pub(crate) async fn a_repository_that_requires_what_is_not_known_is_refused(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let record = site.back_up(5, 6).await?;
    rewrite_cluster(&site, |cluster| cluster["requires"] = json!(["encryption"])).await?;
    assert_repository_refused(&site, &record, "encryption").await
}

/// Otherwise restore-wal would report a file as missing that is stored in another compression.
pub(crate) async fn a_compression_of_wal_that_is_not_known_is_refused(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let record = site.back_up(5, 6).await?;
    rewrite_cluster(&site, |cluster| cluster["wal_formats"] = json!(["zstd", "xz"])).await?;
    assert_repository_refused(&site, &record, "xz").await
}

pub(crate) async fn what_else_cluster_json_says_stays_when_it_is_written_anew(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(1..=1).await?;
    rewrite_cluster(&site, |cluster| cluster["owner"] = "the billing team".into()).await?;
    let options = ArchiveOptions { codec: "gzip".parse()?, ..ArchiveOptions::default() };
    site.archive_with(site.cluster.wal_name(2), &site.cluster.segment(2), &options).await?;
    let cluster: Value = serde_json::from_slice(&site.subject.get("cluster.json").await?)?;
    assert_eq!(cluster["owner"], "the billing team");
    assert_eq!(cluster["wal_formats"], json!(["zstd", "gzip"]));
    Ok(())
}
