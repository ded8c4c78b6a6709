//! Scenarios of restore with damaged objects.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt};

use anyhow::{Context, Result};
use serde_json::Value;
use swiftwal_compression::{Codec, Format, compress_frame, decoder};
use swiftwal_core::{BackupChoice, BackupOptions, BackupRecord, Error, ErrorKind, restore};
use tar::EntryType;
use tokio::io::AsyncReadExt;

use super::{
    crafted::{END_BYTES, member, put_again},
    site::{Site, assert_restored, options, refused, request, restore_options, take},
};
use crate::{
    SyntheticCluster,
    faulty::{Faults, HINT, ReadFault},
    subject::Subject,
};

/// The matrix of object × damage: the restore returns the bytes that were backed up, or an error that names the object.
/// The content of the index and the label is in the tar, too, and bytes after the tar's last frame don't belong to it.
pub(crate) async fn a_damaged_object_is_named_and_nothing_is_restored(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    for codec in ["zstd", "none"] {
        let source = site.cluster.backup(3, 3);
        let options = BackupOptions { include_wal: true, codec: codec.parse::<Codec>()?, ..options() };
        let record = take(&site.repository, &source, &options).await?;
        for object in &record.objects {
            let is_needed = object.tar_bytes.is_some();
            let whole = site.subject.get(&object.name).await?;
            for damage in DAMAGES {
                damage.strike(&site.subject, &object.name, &whole).await?;
                if is_needed && damage != Damage::SomethingBehind {
                    assert_not_restored(&site, &record, &object.name).await?;
                } else {
                    site.assert_restorable(&record, &source).await?;
                }
                site.subject.put(&object.name, whole.clone()).await?;
            }
        }
        site.assert_restorable(&record, &source).await?;
    }
    Ok(())
}

pub(crate) async fn a_damaged_commit_record_is_named_and_nothing_is_restored(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let record = site.take_with_wal(&site.cluster.backup(3, 3)).await?;
    let object = format!("pg_basebackup_{}.json", record.key);
    let whole = site.subject.get(&object).await?;
    for damage in DAMAGES.into_iter().filter(|damage| !matches!(damage, Damage::Gone)) {
        damage.strike(&site.subject, &object, &whole).await?;
        assert_not_restored(&site, &record, &object).await?;
    }
    let newer = String::from_utf8(whole.to_vec())?.replacen("\"format\":1", "\"format\":2", 1);
    site.subject.put(&object, newer).await?;
    let error = refused(site.restore(BackupChoice::Key(record.key)).await);
    assert!(matches!(error, Error::NewerFormat { found: 2, .. }), "{error}");
    Ok(())
}

pub(crate) async fn a_damaged_old_backup_is_restored_whole_or_not_at_all(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let source = site.cluster.backup(3, 3);
    let whole = compress_frame(Format::Gzip.into(), &source.tar(&request(false))?)?;
    for damage in DAMAGES {
        site.subject.put(OLD_BACKUP, whole.clone()).await?;
        damage.strike(&site.subject, OLD_BACKUP, &whole).await?;
        let directory = site.subject.new_path("pgdata");
        match site.restore_into(BackupChoice::Latest, &directory, &restore_options()).await {
            Ok(_) => assert_restored(&directory, &source.data_directory(&request(false)))?,
            Err(_) => assert!(!directory.exists(), "{damage:?}"),
        }
    }
    Ok(())
}

/// Anyone who can write to the storage must not be able to write elsewhere on the database server.
pub(crate) async fn a_tar_that_leads_out_of_the_directory_is_refused(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let outside = site.subject.path("outside");
    fs::create_dir(&outside)?;
    let outside = outside.display().to_string();
    let link = |name: &str| member(name.as_bytes(), EntryType::Symlink, &outside, 0);
    let file = |name: &str| member(name.as_bytes(), EntryType::Regular, "", 0);
    for (hostile, name) in [
        (vec![file("../outside/escaped")?], "../outside/escaped"),
        (vec![file("base/../../outside/escaped")?], "base/../../outside/escaped"),
        (vec![file(&format!("{outside}/escaped"))?], "escaped"),
        (vec![file("base//1")?], "base//1"),
        (vec![link("base/link")?, file("base/link/escaped")?], "base/link"),
        (vec![link("pg_tblspc/16400")?, file("pg_tblspc/16400/escaped")?], "16400"),
    ] {
        let told = refused_old_backup(&site, hostile).await?;
        assert!(told.contains(name), "{told}");
        assert!(name == "16400" || told.contains("isn't its backup"), "{told}");
        assert_eq!(fs::read_dir(&outside)?.count(), 0);
    }
    Ok(())
}

pub(crate) async fn a_name_that_comes_twice_is_not_trusted_and_shown_escaped(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    for (name, shown) in [
        (&b"base/1/1000"[..], "base/1/1000"),
        (b"base/\x1b[2J\xe9", r"base/\x1b[2J\xe9"),
        (b"global/pg_control", "global/pg_control"),
        (b"backup_label", "backup_label"),
    ] {
        let bytes = if name == b"global/pg_control" { 8192 } else { 0 };
        let twice = vec![member(name, EntryType::Regular, "", bytes)?; 2];
        let told = refused_old_backup(&site, twice).await?;
        assert!(told.contains(shown) && told.contains("twice") && told.contains("don't trust"), "{told}");
        assert!(!told.contains(char::is_control), "{told:?}");
    }
    Ok(())
}

/// They would be held in memory, whatever size a record claims.
pub(crate) async fn small_files_of_an_impossible_size_are_refused(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let control = |bytes| vec![member(b"global/pg_control", EntryType::Regular, "", bytes)];
    for (hostile, told) in [
        (control(8191), "8191 bytes"),
        (control(8193), "8193 bytes"),
        (control(8192), "all zeros"),
        (vec![member(b"PG_VERSION", EntryType::Regular, "", (1 << 20) + 1)], "PG_VERSION"),
        (vec![member(b"backup_label", EntryType::Regular, "", (1 << 20) + 1)], "backup_label"),
        (vec![member(b"tablespace_map", EntryType::Regular, "", (16 << 20) + 1)], "tablespace_map"),
    ] {
        let hostile: Vec<u8> = hostile.into_iter().collect::<Result<Vec<_>>>()?.concat();
        let tar = [hostile, vec![0; END_BYTES]].concat();
        let text = refused_old_tar(&site, &tar).await?;
        assert!(text.contains(told), "{told}: {text}");
    }
    Ok(())
}

/// PostgreSQL would treat it as a crashed cluster, and lose the changes in the backup's WAL.
pub(crate) async fn a_backup_without_its_label_is_refused(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let tar = site.cluster.backup(3, 3).tar(&request(false))?;
    // The label comes first: its header, and one block of content.
    let text = refused_old_tar(&site, &tar[1024..]).await?;
    assert!(text.contains("backup_label"), "{text}");
    Ok(())
}

pub(crate) async fn names_that_are_not_utf_8_are_restored(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let name = b"base/caf\xe9\n";
    let tar = with_members(&site, vec![member(name, EntryType::Regular, "", 3)?])?;
    site.subject.put(OLD_BACKUP, compress_frame(Format::Gzip.into(), &tar)?).await?;
    let directory = site.restore(BackupChoice::Latest).await?;
    assert_eq!(fs::read(directory.join(OsStr::from_bytes(name)))?, [0; 3]);
    Ok(())
}

/// The index isn't needed: the backup is complete without it.
pub(crate) async fn an_index_that_cannot_be_is_done_without(subject: Subject) -> Result<()> {
    let site = Site::of(subject, SyntheticCluster::new(1).with_table_bytes(9 << 20))?;
    let source = site.cluster.backup(3, 3);
    let record = site.take_with_wal(&source).await?;
    let tar = record.objects.iter().find(|object| object.tar_bytes.is_some()).context("it has a tar")?;
    let index = format!("pg_basebackup_{}.index.zst", record.key);
    let (bytes, tar_bytes) = (tar.bytes, tar.tar_bytes.unwrap_or_default());
    let most = u64::MAX;
    for frames in [
        format!("{{\"frame\":[0,{most},{most}]}}\n{{\"frame\":[{most},{most},{most}]}}"),
        format!("{{\"frame\":[0,{bytes},{most}]}}"),
        // The checksums are right, and no frame is at the given position.
        format!(
            "{{\"frame\":[0,{},4194304]}}\n{{\"frame\":[{},1000,4194304]}}\n{{\"frame\":[{},1000,{}]}}",
            bytes - 2000,
            bytes - 2000,
            bytes - 1000,
            tar_bytes - 2 * 4_194_304,
        ),
        " ".repeat(40 << 20),
    ] {
        let text = format!("{{\"format\":1}}\n{{\"object\":\"{}\"}}\n{frames}\n", tar.name);
        put_again(&site, &record, &index, compress_frame(Format::Zstd.into(), text.as_bytes())?, 0).await?;
        let directory = site.subject.new_path("pgdata");
        let latest = BackupChoice::Latest;
        let (_, notices) =
            Site::restore_noting(&site.repository, latest, &directory, &restore_options()).await?;
        assert_restored(&directory, &source.data_directory(&request(true)))?;
        assert!(notices.iter().any(|notice| notice.contains("index")), "{notices:?}");
    }
    Ok(())
}

/// The objects are what was stored; memory that changes a bit behind their checksums would do the same.
pub(crate) async fn a_file_that_is_not_what_was_backed_up_is_named_and_nothing_is_restored(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    for (name, start) in ["base/1/1000", "PG_VERSION", "global/pg_control"].into_iter().zip(3..) {
        let record = site.take_with_wal(&site.cluster.backup(start, start)).await?;
        let directory = site.subject.new_path("pgdata");
        edit_index(&site, &record, |member| {
            if member["name"] == name {
                member["blake3"] = blake3::hash(b"another content").to_hex().as_str().into();
            }
        })
        .await?;
        let choice = BackupChoice::Key(record.key);
        let error = refused(site.restore_into(choice, &directory, &restore_options()).await);
        assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
        assert!(error.to_string().contains(&format!("the file {name} isn't what was backed up")), "{error}");
        assert!(!directory.exists());
    }
    Ok(())
}

pub(crate) async fn an_index_that_lists_other_files_is_done_without_and_that_is_said(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    let source = site.cluster.backup(3, 3);
    let record = site.take_with_wal(&source).await?;
    for (field, value) in [("name", "base/1/other"), ("kind", "directory"), ("blake3", "no hash")] {
        edit_index(&site, &record, |member| {
            if member["name"] == "base/1/1000" || member["name"] == "base/1/other" {
                member["name"] = "base/1/1000".into();
                member[field] = value.into();
            }
        })
        .await?;
        let directory = site.subject.new_path("pgdata");
        let latest = BackupChoice::Latest;
        let (_, notices) =
            Site::restore_noting(&site.repository, latest, &directory, &restore_options()).await?;
        assert_restored(&directory, &source.data_directory(&request(true)))?;
        let notices = notices.concat();
        assert!(notices.contains("doesn't list the same files"), "{field}: {notices}");
    }
    Ok(())
}

/// Changes the members in the index of a backup.
async fn edit_index(site: &Site, record: &BackupRecord, mut edit: impl FnMut(&mut Value)) -> Result<()> {
    let index = format!("pg_basebackup_{}.index.zst", record.key);
    let stored = site.subject.get(&index).await?;
    let mut text = String::new();
    decoder(Format::Zstd, &stored[..]).read_to_string(&mut text).await?;
    let mut edited = String::new();
    for line in text.lines() {
        let mut line: Value = serde_json::from_str(line)?;
        line["members"].as_array_mut().into_iter().flatten().for_each(&mut edit);
        edited.push_str(&format!("{line}\n"));
    }
    put_again(site, record, &index, compress_frame(Format::Zstd.into(), edited.as_bytes())?, 0).await
}

/// Stores an old backup that also contains `members`, and returns why it isn't restored.
async fn refused_old_backup(site: &Site, members: Vec<Vec<u8>>) -> Result<String> {
    refused_old_tar(site, &with_members(site, members)?).await
}

async fn refused_old_tar(site: &Site, tar: &[u8]) -> Result<String> {
    site.subject.put(OLD_BACKUP, compress_frame(Format::Gzip.into(), tar)?).await?;
    let directory = site.subject.new_path("pgdata");
    let key = BackupChoice::Key("20130828T1810Z".parse()?);
    let error = refused(site.restore_into(key, &directory, &restore_options()).await);
    assert!(!directory.exists());
    Ok(error.to_string())
}

fn with_members(site: &Site, members: Vec<Vec<u8>>) -> Result<Vec<u8>> {
    let mut tar = site.cluster.backup(3, 3).tar(&request(false))?;
    let end = tar.split_off(tar.len() - END_BYTES);
    Ok([tar, members.concat(), end].concat())
}

pub(super) const OLD_BACKUP: &str = "pg_basebackup_20130828T1810Z.tgz";

/// The damage to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    FlippedBit,
    Cut,
    LastByteMissing,
    Empty,
    SomethingBehind,
    AnotherBody,
    Gone,
}

const DAMAGES: [Damage; 7] = [
    Damage::FlippedBit,
    Damage::Cut,
    Damage::LastByteMissing,
    Damage::Empty,
    Damage::SomethingBehind,
    Damage::AnotherBody,
    Damage::Gone,
];

impl Damage {
    async fn strike(self, subject: &Subject, object: &str, whole: &[u8]) -> Result<()> {
        let mut bytes = whole.to_vec();
        match self {
            Self::FlippedBit => bytes[whole.len() / 2] ^= 1,
            Self::Cut => bytes.truncate(whole.len() / 2),
            Self::LastByteMissing => bytes.truncate(whole.len() - 1),
            Self::Empty => bytes.clear(),
            Self::SomethingBehind => bytes.extend_from_slice(&[0; 512]),
            Self::AnotherBody => bytes = b"<html>503 Service Unavailable</html>".to_vec(),
            Self::Gone => return subject.delete(object).await,
        }
        subject.put(object, bytes).await
    }
}

async fn assert_not_restored(site: &Site, record: &BackupRecord, object: &str) -> Result<()> {
    let (absent, empty) = (site.subject.new_path("absent"), site.subject.new_path("empty"));
    fs::create_dir(&empty)?;
    for directory in [&absent, &empty] {
        let choice = BackupChoice::Key(record.key);
        let error = refused(site.restore_into(choice, directory, &restore_options()).await);
        assert!(matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Failed), "{object}: {error}");
        assert!(error.to_string().contains(object), "{object} isn't named: {error}");
    }
    assert!(!absent.exists());
    assert_eq!(fs::read_dir(&empty)?.count(), 0);
    Ok(())
}

/// The matrix of reading call × fault: the bytes that were backed up, or nothing at all.
pub(crate) async fn a_failing_storage_never_makes_a_restore_short(subject: Subject) -> Result<()> {
    let site = Site::of(subject, SyntheticCluster::new(1).with_table_bytes(5 << 20))?;
    let source = site.cluster.backup(3, 3);
    site.take_with_wal(&source).await?;
    let original = source.data_directory(&request(true));
    for fault in ReadFault::ALL {
        for n in 1.. {
            let faults = Faults::at_read(n, fault);
            let (repository, directory) =
                (site.subject.repository_with(&faults)?, site.subject.new_path("pgdata"));
            match restore(&repository, BackupChoice::Latest, &directory, &restore_options(), &|_| {}).await {
                Ok(_) => {
                    assert_restored(&directory, &original).with_context(|| format!("{fault:?} at {n}"))?;
                    fs::remove_dir_all(&directory)?;
                }
                Err(_) => assert!(!directory.exists(), "{fault:?} at {n}"),
            }
            if faults.reads().len() < n {
                break;
            }
        }
    }
    Ok(())
}

pub(crate) async fn why_an_index_is_not_used_is_said_in_full(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let source = site.cluster.backup(3, 3);
    let record = site.take_with_wal(&source).await?;
    let faults = Faults::unreadable(format!("pg_basebackup_{}.index.zst", record.key));
    let (repository, directory) = (site.subject.repository_with(&faults)?, site.subject.new_path("pgdata"));
    let latest = BackupChoice::Latest;
    let (_, said) = Site::restore_noting(&repository, latest, &directory, &restore_options()).await?;
    assert_restored(&directory, &source.data_directory(&request(true)))?;
    let said = said.concat();
    assert!(said.contains("index") && said.contains("injected failure") && said.contains(HINT), "{said}");
    Ok(())
}
