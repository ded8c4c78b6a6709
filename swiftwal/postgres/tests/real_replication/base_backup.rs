//! Base backups.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use swiftwal_postgres::replication::{
    BackupEnd, BackupEvent, BackupOptions, BaseBackup, ManifestChecksums, ManifestUpload, ReplicationError,
};
use xtask::{Postgres, stdout, until};

use crate::server::{Server, connect};

/// What a test sees of a base backup.
#[derive(Debug, Default)]
struct Received {
    /// The archive of the data directory under `None`.
    archives: BTreeMap<Option<u32>, PathBuf>,
    locations: BTreeMap<Option<u32>, Option<PathBuf>>,
    manifest: Vec<u8>,
    progress: Vec<u64>,
    warnings: Vec<String>,
    bytes: u64,
    end: Option<BackupEnd>,
}

/// Receives a backup into files in the server's scratch directory.
async fn receive(server: &Server, backup: &mut BaseBackup) -> Result<Received> {
    let mut received = Received::default();
    let mut file: Option<File> = None;
    while let Some(event) = backup.next().await? {
        ensure!(received.end.is_none(), "{event:?} after the end");
        match event {
            BackupEvent::Archive { tablespace, location } => {
                let path = server.directory().join(format!("{}.tar", tablespace.unwrap_or_default()));
                file = Some(File::create(&path)?);
                received.archives.insert(tablespace, path);
                received.locations.insert(tablespace, location);
            }
            BackupEvent::Data(data) => {
                ensure!(!data.is_empty());
                received.bytes += data.len() as u64;
                file.as_mut().context("data before an archive")?.write_all(&data)?;
            }
            BackupEvent::Manifest(data) => received.manifest.extend_from_slice(&data),
            BackupEvent::Progress { bytes } => received.progress.push(bytes),
            BackupEvent::Notice(notice) => received.warnings.push(notice.to_string()),
            BackupEvent::End(end) => received.end = Some(end),
            other => anyhow::bail!("{other:?}"),
        }
    }
    assert_eq!(backup.next().await?, None);
    Ok(received)
}

fn options() -> BackupOptions {
    let mut options = BackupOptions::new("it's a test");
    options.fast_checkpoint = true;
    options
}

async fn begun(server: &Server, options: &BackupOptions) -> Result<BaseBackup> {
    Ok(BaseBackup::start(connect(&server.local()).await?, options).await?)
}

/// Unpacks an archive as the PostgreSQL user.
fn unpack(server: &Server, archive: &Path, directory: &Path) -> Result<()> {
    stdout(server.scratch.command("mkdir").args(["-p", "-m", "700"]).arg(directory))?;
    stdout(server.scratch.command("tar").arg("-xf").arg(archive).arg("-C").arg(directory)).map(drop)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_backup_with_its_wal_passes_pg_verifybackup_and_starts_with_its_rows() -> Result<()> {
    let server = Server::start(&[])?;
    server.postgres.pgbench_init(2)?;
    let rows = server.postgres.rows()?;
    let mut options = options();
    options.include_wal = true;
    options.manifest = Some(ManifestChecksums::Sha256);
    let mut backup = begun(&server, &options).await?;
    let start = backup.start_position();
    assert_eq!(backup.tablespaces().len(), 1);
    let received = receive(&server, &mut backup).await?;
    let end = received.end.context("an end")?;
    assert!(end.position.lsn > start.lsn && end.position.timeline == start.timeline && end.damaged.is_none());
    assert!(String::from_utf8_lossy(&received.manifest).contains("\"Checksum-Algorithm\": \"SHA256\""));

    let directory = server.directory().join("restored");
    unpack(&server, &received.archives[&None], &directory)?;
    let label = fs::read_to_string(directory.join("backup_label"))?;
    assert!(label.contains("LABEL: it's a test\n") && label.contains(&start.lsn.to_string()), "{label}");
    fs::write(directory.join("backup_manifest"), &received.manifest)?;
    stdout(server.scratch.command("pg_verifybackup").arg(&directory))?;
    let restored = Postgres::open(&server.scratch, &directory);
    restored.start()?;
    assert_eq!(restored.rows()?, rows);
    // The same session takes the next backup.
    let mut again = BaseBackup::start(backup.into_session(), &self::options()).await?;
    receive(&server, &mut again).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn every_tablespace_has_an_archive_and_the_data_directory_comes_last() -> Result<()> {
    let server = Server::start(&[])?;
    let place = server.scratch.directory("a tablespace é")?;
    server.postgres.sql(&format!("create tablespace outside location '{}'", place.display()))?;
    server.postgres.sql("create table t tablespace outside as select generate_series(1, 10000) x")?;
    let oid: u32 = server.postgres.sql("select oid from pg_tablespace where spcname = 'outside'")?.parse()?;
    for has_map in [false, true] {
        let mut options = options();
        options.progress = true;
        options.tablespace_map = has_map;
        let mut backup = begun(&server, &options).await?;
        let announced = backup.tablespaces().to_vec();
        let oids: Vec<_> = announced.iter().map(|space| space.oid).collect();
        assert_eq!(oids, [Some(oid), None]);
        assert_eq!(announced[0].location.as_deref(), Some(place.as_path()));
        let expected: u64 = announced.iter().map(|space| space.bytes.unwrap_or_default()).sum();
        let received = receive(&server, &mut backup).await?;
        assert_eq!(received.locations[&Some(oid)].as_deref(), Some(place.as_path()));
        assert_eq!(received.locations[&None], None);
        let last = received.progress.last().copied().context("progress")?;
        assert!(last <= received.bytes && expected <= received.bytes, "{last} {expected} {}", received.bytes);
        let list = |archive: &Path| stdout(server.scratch.command("tar").arg("-tf").arg(archive));
        let base = list(&received.archives[&None])?;
        assert_eq!(base.contains("tablespace_map"), has_map, "{base}");
        assert!(list(&received.archives[&Some(oid)])?.starts_with("PG_"));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_backup_without_manifest_has_none_and_waits_for_no_archiver() -> Result<()> {
    let server = Server::start(&["archive_command = 'false'"])?;
    let mut options = options();
    options.manifest = None;
    let mut backup = begun(&server, &options).await?;
    let received = receive(&server, &mut backup).await?;
    assert!(received.manifest.is_empty() && received.end.is_some());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn damaged_pages_are_counted_and_all_data_is_there() -> Result<()> {
    let server = Server::start(&[])?;
    server.postgres.pgbench_init(1)?;
    let file =
        server.postgres.data().join(server.postgres.sql("select pg_relation_filepath('pgbench_accounts')")?);
    server.postgres.stop()?;
    stdout(
        server
            .scratch
            .command("pg_checksums")
            .args(["--enable", "--no-sync", "-D"])
            .arg(server.postgres.data()),
    )?;
    server.postgres.start()?;
    for damaged in 1..=2 {
        server.postgres.stop()?;
        OpenOptions::new().write(true).open(&file)?.write_all_at(b"damage", damaged * 8192 + 4000)?;
        server.postgres.start()?;
        let mut backup = begun(&server, &options()).await?;
        let received = receive(&server, &mut backup).await?;
        let pages = received.end.context("an end")?.damaged.context("damaged pages")?;
        assert_eq!(pages.count, damaged, "{pages:?}");
        assert_eq!(pages.words, "checksum verification failure during base backup");
        assert!(
            received.warnings.iter().any(|warning| warning.contains("checksum verification failed in file"))
        );
        let directory = server.directory().join(format!("restored{damaged}"));
        unpack(&server, &received.archives[&None], &directory)?;
        fs::write(directory.join("backup_manifest"), &received.manifest)?;
        stdout(server.scratch.command("pg_verifybackup").arg("--no-parse-wal").arg(&directory))?;
        // The session goes on.
        let mut unverified = self::options();
        unverified.verify_checksums = false;
        let mut again = BaseBackup::start(backup.into_session(), &unverified).await?;
        assert_eq!(receive(&server, &mut again).await?.end.context("an end")?.damaged, None);
    }
    Ok(())
}

/// Returns a backup that has begun to send and is slow.
async fn in_the_middle(server: &Server) -> Result<BaseBackup> {
    let mut slow = options();
    slow.max_rate_kib = Some(32);
    let mut backup = begun(server, &slow).await?;
    while !matches!(backup.next().await?, Some(BackupEvent::Data(_))) {}
    Ok(backup)
}

async fn failure(backup: &mut BaseBackup) -> Result<ReplicationError> {
    let failed = async {
        loop {
            match backup.next().await {
                Ok(Some(_)) => {}
                Ok(None) => anyhow::bail!("the backup is complete"),
                Err(error) => return Ok(error),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), failed).await?
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_backup_that_the_server_ends_is_an_error_at_once() -> Result<()> {
    let server = Server::start(&[])?;
    let mut backup = in_the_middle(&server).await?;
    server.postgres.sql("select pg_terminate_backend(pid) from pg_stat_replication")?;
    let error = failure(&mut backup).await?;
    assert_eq!(error.code(), Some("57P01"), "{error}");

    let mut backup = in_the_middle(&server).await?;
    assert!(backup.cancel_token().cancel().await?);
    let error = failure(&mut backup).await?;
    assert_eq!(error.code(), Some("57014"), "{error}");

    let mut backup = in_the_middle(&server).await?;
    server.postgres.crash()?;
    let error = failure(&mut backup).await?;
    let is_over = matches!(error, ReplicationError::Closed { .. } | ReplicationError::Lost { .. })
        || error.code() == Some("57P02")
        || error.code() == Some("57P01");
    assert!(is_over, "{error:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_dropped_backup_ends_on_the_server() -> Result<()> {
    let server = Server::start(&[])?;
    drop(in_the_middle(&server).await?);
    until("the server has noticed", || {
        Ok(server.postgres.sql("select count(*) from pg_stat_progress_basebackup")? == "0")
    })
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn what_the_servers_version_lacks_is_refused_before_anything_is_sent() -> Result<()> {
    let server = Server::start(&[])?;
    let mut session = connect(&server.local()).await?;
    if session.version() >= 170_000 {
        return Ok(());
    }
    let error = ManifestUpload::start(&mut session).await.map(drop).expect_err("too old");
    assert!(matches!(error, ReplicationError::Version { .. }), "{error}");
    let mut incremental = options();
    incremental.incremental = true;
    let error = BaseBackup::start(session, &incremental).await.map(drop).expect_err("too old");
    assert!(error.to_string().ends_with("doesn't support incremental backups"), "{error}");
    let mut fast = options();
    fast.max_rate_kib = Some(1);
    let error = begun(&server, &fast).await.map(drop).expect_err("too slow");
    assert!(error.to_string().contains("outside"), "{error}");
    Ok(())
}
