//! restore, of what isn't any more what was stored.

use std::fs;

use anyhow::{Context, Result};
use swiftwal_compression::{Codec, Format, compress_frame};
use swiftwal_core::{BackupChoice, BackupOptions, BackupRecord, Error, ErrorKind, restore};
use tar::{EntryType, Header};

use super::site::{Site, assert_restored, options, refused, request, restore_options, take};
use crate::{
    SyntheticCluster,
    faulty::{Faults, ReadFault},
    subject::Subject,
};

/// The matrix of object × damage: the bytes that were backed up, or an error that names the object. What the index and
/// the label say is in the tar too, and what lies behind a tar's last frame is no part of it.
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

/// Whoever can write into the storage must not be able to write anywhere on the database server.
pub(crate) async fn a_tar_that_leads_out_of_the_directory_is_refused(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let outside = site.subject.path("outside");
    fs::create_dir(&outside)?;
    let outside = outside.display().to_string();
    let link = |name| member(name, EntryType::Symlink, &outside);
    let file = |name: &str| member(name, EntryType::Regular, "");
    for hostile in [
        vec![file("../outside/escaped")?],
        vec![file("base/../../outside/escaped")?],
        vec![file(&format!("{outside}/escaped"))?],
        vec![link("base/link")?, file("base/link/escaped")?],
        vec![link("pg_tblspc/16400")?, file("pg_tblspc/16400/escaped")?],
    ] {
        let mut tar = site.cluster.backup(3, 3).tar(&request(false))?;
        let end = tar.split_off(tar.len() - END_BYTES);
        let tar = [tar, hostile.concat(), end].concat();
        site.subject.put(OLD_BACKUP, compress_frame(Format::Gzip.into(), &tar)?).await?;
        let directory = site.subject.new_path("pgdata");
        refused(site.restore_into(BackupChoice::Latest, &directory, &restore_options()).await);
        assert!(!directory.exists());
        assert_eq!(fs::read_dir(&outside)?.count(), 0);
    }
    Ok(())
}

/// An empty member of a tar, under a name that a careful writer of tars would refuse.
fn member(name: &str, kind: EntryType, link: &str) -> Result<Vec<u8>> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(0o600);
    header.set_size(0);
    if kind == EntryType::Symlink {
        header.set_link_name(link)?;
    }
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_cksum();
    Ok(header.as_bytes().to_vec())
}

/// What ends a tar: two empty blocks.
const END_BYTES: usize = 1024;
const OLD_BACKUP: &str = "pg_basebackup_20130828T1810Z.tgz";

/// What may become of an object.
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
            if faults.reads() < n {
                break;
            }
        }
    }
    Ok(())
}
