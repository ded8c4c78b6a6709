//! restore: what comes back, and what never does.

use std::{fs, os::unix::fs::symlink, path::Path};

use anyhow::{Context, Result};
use swiftwal_compression::{Codec, Format, decoder};
use swiftwal_core::{
    BackupChoice, BackupOptions, BackupRecord, Error, ErrorKind, RestoreEvent, RestoreOptions, restore,
};
use tokio::{io::AsyncReadExt, sync::mpsc};

use super::site::{Site, assert_restored, options, refused, request, restore_options, take};
use crate::{
    Entry, SyntheticCluster, SyntheticSource, Tree,
    faulty::{Faults, ReadFault},
    subject::Subject,
};

pub(crate) async fn every_file_comes_back_as_it_was(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let source = site.cluster.backup(3, 4);
    let record = site.back_up(3, 4).await?;
    let directory = site.subject.path("pgdata");
    let stats = site.restore_into(BackupChoice::Key(record.key), &directory, &restore_options()).await?;
    let original = source.data_directory(&request(false));
    assert_restored(&directory, &original)?;
    let files = original.iter().filter(|(_, entry)| matches!(entry, Entry::File { .. })).count();
    assert_eq!((stats.key, stats.files), (record.key, files as u64));
    Ok(())
}

pub(crate) async fn every_compression_gives_the_backup_back(subject: Subject) -> Result<()> {
    let site = Site::of(subject, large_cluster())?;
    for (format, start) in Format::ALL.into_iter().zip(3..) {
        let source = site.cluster.backup(start, start);
        let options = BackupOptions { include_wal: true, codec: format.into(), ..options() };
        let record = take(&site.repository, &source, &options).await?;
        site.assert_restorable(&record, &source).await?;
    }
    Ok(())
}

/// With `swift`, `zstd` and `tar` alone, as the format promises.
pub(crate) async fn the_stored_tar_is_what_a_standard_tool_reads(subject: Subject) -> Result<()> {
    let site = Site::of(subject, large_cluster())?;
    let source = site.cluster.backup(3, 3);
    for (codec, suffix) in [("zstd", ".zst"), ("gzip", ".gz"), ("lz4", ".lz4"), ("none", "")] {
        let options = BackupOptions { include_wal: true, codec: codec.parse()?, ..options() };
        let record = take(&site.repository, &source, &options).await?;
        let stored = site.subject.get(&format!("pg_basebackup_{}.tar{suffix}", record.key)).await?;
        let mut tar = Vec::new();
        decoder(options.codec.format(), &stored[..]).read_to_end(&mut tar).await?;
        assert!(tar == source.tar(&request(true))?, "{codec}");
    }
    Ok(())
}

pub(crate) async fn latest_is_the_newest(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let error = refused(site.restore(BackupChoice::Latest).await);
    assert!(matches!(error, Error::UnknownBackup { .. }), "{error}");
    site.back_up(3, 4).await?;
    site.back_up(6, 7).await?;
    let directory = site.restore(BackupChoice::Latest).await?;
    assert_restored(&directory, &site.cluster.backup(6, 7).data_directory(&request(false)))
}

pub(crate) async fn an_unknown_key_is_answered_with_the_known_ones(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let record = site.back_up(3, 4).await?;
    let directory = site.subject.path("pgdata");
    let unknown = BackupChoice::Key("20130828T1810Z".parse()?);
    let error = refused(site.restore_into(unknown, &directory, &restore_options()).await);
    assert_eq!(error.kind(), ErrorKind::Absent);
    let text = error.to_string();
    assert!(text.contains("20130828T1810Z") && text.contains(&record.key.to_string()), "{text}");
    assert!(!directory.exists());
    Ok(())
}

pub(crate) async fn an_empty_directory_is_filled_and_one_with_content_is_let_alone(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    site.back_up(3, 4).await?;
    let directory = site.subject.path("pgdata");
    fs::create_dir(&directory)?;
    site.restore_into(BackupChoice::Latest, &directory, &restore_options()).await?;
    assert_restored(&directory, &site.cluster.backup(3, 4).data_directory(&request(false)))?;

    let (restored, file) = (Tree::read(&directory)?, site.subject.path("a file"));
    fs::write(&file, "content")?;
    for taken in [&directory, &file] {
        let error = refused(site.restore_into(BackupChoice::Latest, taken, &restore_options()).await);
        assert!(matches!(error, Error::Refused(_) | Error::Local { .. }), "{error}");
        assert!(error.to_string().contains(&taken.display().to_string()), "{error}");
    }
    assert!(restored.differences(&Tree::read(&directory)?).is_empty());
    assert_eq!(fs::read(&file)?, b"content");
    Ok(())
}

pub(crate) async fn pg_control_comes_last(subject: Subject) -> Result<()> {
    let site = Site::of(subject, large_cluster())?;
    site.take_with_wal(&site.cluster.backup(3, 3)).await?;
    let directory = site.subject.path("pgdata");
    let control = directory.join("global/pg_control");
    let observe = |event: RestoreEvent<'_>| {
        let RestoreEvent::Progress { tar_bytes, .. } = event else { return };
        assert!(!control.exists(), "it was there after {tar_bytes} bytes");
    };
    restore(&site.repository, BackupChoice::Latest, &directory, &restore_options(), &observe).await?;
    assert!(control.exists());
    Ok(())
}

pub(crate) async fn a_dropped_restore_leaves_nothing(subject: Subject) -> Result<()> {
    let site = Site::of(subject, large_cluster())?;
    site.take_with_wal(&site.cluster.backup(3, 3)).await?;
    let directory = site.subject.path("pgdata");
    let (sender, mut progress) = mpsc::unbounded_channel();
    let observe = |event: RestoreEvent<'_>| {
        if let RestoreEvent::Progress { .. } = event {
            let _ = sender.send(());
        }
    };
    let options = restore_options();
    tokio::select! {
        outcome = restore(&site.repository, BackupChoice::Latest, &directory, &options, &observe) => {
            panic!("it can't be done before its last file is written: {outcome:?}")
        }
        written = progress.recv() => assert!(written.is_some()),
    }
    // The thread that was writing removes it as soon as it notices.
    while directory.exists() {
        tokio::task::yield_now().await;
    }
    Ok(())
}

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

pub(crate) async fn tablespaces_go_where_they_lay(subject: Subject) -> Result<()> {
    let place = subject.path("tablespace").display().to_string();
    let site = Site::of(subject, SyntheticCluster::new(1).with_tablespace(16400, &place))?;
    let source = site.cluster.backup(3, 3);
    site.take_with_wal(&source).await?;
    let directory = site.restore(BackupChoice::Latest).await?;
    assert_restored(&directory, &source.data_directory(&request(true)))?;
    assert_tablespaces(&source, &[Path::new(&place)])
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

/// One whose backups come in several frames.
fn large_cluster() -> SyntheticCluster {
    SyntheticCluster::new(1).with_table_bytes(9 << 20)
}
