//! Scenarios of restore: the restored files, and what is never restored.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::Result;
use swiftwal_compression::{Format, decoder};
use swiftwal_core::{BackupChoice, BackupOptions, Error, ErrorKind, RestoreEvent, RestoreOptions, restore};
use tokio::{io::AsyncReadExt, sync::mpsc};

use super::site::{Site, assert_restored, file_names, options, refused, request, restore_options, take};
use crate::{Entry, SyntheticCluster, Tree, subject::Subject};

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

/// The format promises that `swift`, `zstd` and `tar` suffice.
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
    assert!(matches!(error, Error::NoRepository { .. }), "{error}");
    site.archive(1..=1).await?;
    let error = refused(site.restore(BackupChoice::Latest).await);
    assert!(matches!(error, Error::NoBackup { .. }), "{error}");
    site.back_up(3, 4).await?;
    site.back_up(6, 7).await?;
    let directory = site.restore(BackupChoice::Latest).await?;
    assert_restored(&directory, &site.cluster.backup(6, 7).data_directory(&request(false)))
}

pub(crate) async fn a_backup_whose_wal_has_gone_is_refused_and_latest_passes_over_it(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    site.back_up(3, 4).await?;
    let newest = site.back_up(6, 7).await?;
    let gone = site.cluster.segment_name(7).to_string();
    site.subject.delete(&format!("wal_{gone}.zst")).await?;
    let error = refused(site.restore(BackupChoice::Key(newest.key)).await);
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert!(error.to_string().contains(&gone), "{error}");
    let directory = site.restore(BackupChoice::Latest).await?;
    assert_restored(&directory, &site.cluster.backup(3, 4).data_directory(&request(false)))
}

pub(crate) async fn a_backup_whose_data_has_gone_is_said_to_lack_it_and_latest_passes_over_it(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    let older = site.back_up(3, 4).await?;
    let newest = site.back_up(6, 7).await?;
    let gone = format!("pg_basebackup_{}.tar.zst", newest.key);
    site.subject.delete(&gone).await?;
    let error = refused(site.restore(BackupChoice::Key(newest.key)).await);
    assert!(matches!(&error, Error::Missing { object, .. } if *object == gone), "{error}");
    assert!(error.to_string().contains(site.repository.location()), "{error}");
    let directory = site.restore(BackupChoice::Latest).await?;
    assert_restored(&directory, &site.cluster.backup(3, 4).data_directory(&request(false)))?;

    site.subject.delete(&format!("pg_basebackup_{}.tar.zst", older.key)).await?;
    let error = refused(site.restore(BackupChoice::Latest).await).to_string();
    assert!(error.contains("can be restored") && error.contains(&older.key.to_string()), "{error}");
    Ok(())
}

pub(crate) async fn an_unknown_key_is_answered_with_the_known_ones(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let record = site.back_up(3, 4).await?;
    let directory = site.subject.path("pgdata");
    let unknown = BackupChoice::Key("20130828T1810Z".parse()?);
    let error = refused(site.restore_into(unknown, &directory, &restore_options()).await);
    assert_eq!(error.kind(), ErrorKind::Absent);
    let text = super::site::shown(&error);
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

/// Up to version 10, PostgreSQL refuses a data directory that its group may read.
pub(crate) async fn an_existing_directory_gets_a_mode_that_its_version_accepts(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    for (start, version, mode) in [(3, "10\n", 0o700), (4, "9.6\n", 0o700), (5, "11\n", 0o750)] {
        let cluster = site.cluster.clone().with_file("PG_VERSION", version);
        site.take_with_wal(&cluster.backup(start, start)).await?;
        site.wait_hours(1);
        let directory = site.subject.new_path("pgdata");
        fs::create_dir(&directory)?;
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o750))?;
        site.restore_into(BackupChoice::Latest, &directory, &restore_options()).await?;
        assert_eq!(fs::metadata(&directory)?.permissions().mode() & 0o777, mode, "{version}");
    }
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
    // The writing thread removes it as soon as it notices the interruption.
    while directory.exists() {
        tokio::task::yield_now().await;
    }
    Ok(())
}

pub(crate) async fn of_two_restores_into_one_directory_one_is_whole_and_the_other_refused(
    subject: Subject,
) -> Result<()> {
    let site = Site::of(subject, large_cluster())?;
    let source = site.cluster.backup(3, 3);
    site.take_with_wal(&source).await?;
    let directory = site.subject.path("pgdata");
    let options = restore_options();
    let again = || site.restore_into(BackupChoice::Latest, &directory, &options);
    let (one, other) = tokio::join!(again(), again());
    let error = match (one, other) {
        (Ok(_), Err(error)) | (Err(error), Ok(_)) => error,
        both => panic!("{both:?}"),
    };
    // One of them may have been done before the other began.
    let reasons = ["another process is restoring into", "is not empty"];
    assert!(reasons.iter().any(|reason| error.to_string().contains(reason)), "{error}");
    assert_restored(&directory, &source.data_directory(&request(true)))
}

/// Files of others are neither overwritten nor removed with the restored ones.
pub(crate) async fn what_others_put_into_the_directory_meanwhile_stays(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let source = site.cluster.backup(3, 3);
    let record = site.take_with_wal(&source).await?;
    for name in ["PG_VERSION", "global", "pg_wal", "recovery.signal", "global/pg_control"] {
        let directory = site.subject.new_path("pgdata");
        let foreign = directory.join(name);
        let observe = |event: RestoreEvent<'_>| {
            let is_time = match event {
                RestoreEvent::Chosen(_) => !name.contains('/'),
                // A small backup's directories exist when the restore reports that everything was written.
                RestoreEvent::Notice(_) | RestoreEvent::Progress { .. } => {
                    foreign.parent().is_some_and(Path::exists)
                }
                _ => false,
            };
            if is_time && !foreign.exists() {
                let _ = fs::write(&foreign, "foreign");
            }
        };
        let options = restore_options();
        let error =
            refused(restore(&site.repository, BackupChoice::Latest, &directory, &options, &observe).await);
        assert!(error.to_string().contains(name) && error.to_string().contains("appeared"), "{error}");
        assert_eq!(fs::read(&foreign)?, b"foreign");
        let left: Vec<_> = file_names(&directory)?;
        assert_eq!(left, [name.split('/').next().unwrap_or_default()]);
    }

    let directory = site.subject.new_path("pgdata");
    let (sender, notices) = std::sync::mpsc::channel();
    let observe = |event: RestoreEvent<'_>| match event {
        RestoreEvent::Chosen(_) => drop(fs::write(directory.join("notes"), "foreign")),
        RestoreEvent::Notice(notice) => drop(sender.send(notice.to_owned())),
        _ => {}
    };
    let choice = BackupChoice::Key(record.key);
    restore(&site.repository, choice, &directory, &restore_options(), &observe).await?;
    assert_eq!(fs::read(directory.join("notes"))?, b"foreign");
    let notices: String = notices.try_iter().collect();
    assert!(notices.contains("other processes created files") && notices.contains("notes"), "{notices}");
    Ok(())
}

/// Without the label, PostgreSQL would silently begin recovery at the wrong position.
pub(crate) async fn pg_control_does_not_come_where_the_label_has_gone(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.take_with_wal(&site.cluster.backup(3, 3)).await?;
    let directory = site.subject.path("pgdata");
    let observe = |event: RestoreEvent<'_>| {
        // pg_hba.conf isn't in the backup; that is reported after everything was written.
        if let RestoreEvent::Notice(notice) = event
            && notice.contains("pg_hba.conf")
        {
            let _ = fs::remove_file(directory.join("backup_label"));
        }
    };
    let options = restore_options();
    let error =
        refused(restore(&site.repository, BackupChoice::Latest, &directory, &options, &observe).await);
    assert!(error.to_string().contains("backup_label"), "{error}");
    assert!(!directory.exists());
    Ok(())
}

pub(crate) async fn nothing_of_a_claim_stays_in_what_was_restored(subject: Subject) -> Result<()> {
    let place = subject.path("tablespace");
    let cluster = SyntheticCluster::new(1).with_tablespace(16400, &place.display().to_string());
    let site = Site::of(subject, cluster)?;
    site.take_with_wal(&site.cluster.backup(3, 3)).await?;
    let directory = site.subject.path("pgdata");
    let marked = AtomicBool::new(false);
    let observe = |event: RestoreEvent<'_>| {
        if let RestoreEvent::Chosen(_) = event {
            let is_marked = |path: &Path| path.join("swiftwal_restore_in_progress").exists();
            marked.store(is_marked(&directory) && is_marked(&place), Ordering::Relaxed);
        }
    };
    let options = RestoreOptions { tablespaces_in_place: true, ..restore_options() };
    restore(&site.repository, BackupChoice::Latest, &directory, &options, &observe).await?;
    assert!(marked.load(Ordering::Relaxed));
    assert_eq!(file_names(&place)?, ["PG_15_202209061"]);
    let names = file_names(&directory)?;
    assert!(names.iter().all(|name| !name.contains("swiftwal")), "{names:?}");
    assert_eq!(file_names(&directory.join("global"))?, ["pg_control"]);
    Ok(())
}

/// A cluster whose backups have several frames.
fn large_cluster() -> SyntheticCluster {
    SyntheticCluster::new(1).with_table_bytes(9 << 20)
}
