//! The source of local backups with a real server, whose files the user of the test may read.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use swiftwal_postgres::{
    BackupStart, BaseBackupEvent, BaseBackupRequest, BaseBackupSource, Checkpoint, ConnectOptions, Connector,
    LocalSource, Lsn, replication::conninfo::Environment,
};
use xtask::{Installation, Postgres, Scratch, stdout};

struct Server {
    scratch: Arc<Scratch>,
    postgres: Postgres,
}

/// What a test sees of a base backup.
#[derive(Debug)]
struct Received {
    start: BackupStart,
    /// The archive of the data directory under `None`.
    archives: BTreeMap<Option<u32>, PathBuf>,
    bytes: u64,
    manifest: Vec<u8>,
    end: Lsn,
}

impl Server {
    fn start(settings: &[&str]) -> Result<Self> {
        let scratch = Scratch::new(Installation::ensure()?)?;
        let postgres = Postgres::create(&scratch, "data", settings)?;
        postgres.start()?;
        Ok(Self { scratch, postgres })
    }

    fn source(&self) -> LocalSource {
        let connect = ConnectOptions {
            host: Some(self.scratch.path().display().to_string()),
            port: self.postgres.environment()[1].1.parse().ok(),
            user: Some("postgres".to_owned()),
            ..ConnectOptions::default()
        };
        LocalSource::new(Connector::new(connect, Environment::default()))
    }

    /// Takes a backup into files in the scratch directory.
    async fn back_up(&self, includes_wal: bool) -> Result<Received> {
        let mut request = BaseBackupRequest::new("it's a test");
        request.checkpoint = Checkpoint::Fast;
        request.estimate_size = true;
        request.include_wal = includes_wal;
        let mut stream = self.source().start(&request).await?;
        let Some(BaseBackupEvent::Started(start)) = stream.next().await? else { bail!("no start") };
        let (mut archives, mut manifest, mut bytes) = (BTreeMap::new(), Vec::new(), 0);
        let mut file: Option<File> = None;
        loop {
            match stream.next().await?.context("an end")? {
                BaseBackupEvent::Archive { tablespace } => {
                    let oid = tablespace.map(|tablespace| tablespace.oid);
                    let path = self.scratch.path().join(format!("{}.tar", oid.unwrap_or_default()));
                    file = Some(File::create(&path)?);
                    archives.insert(oid, path);
                }
                BaseBackupEvent::Data(data) => {
                    bytes += data.len() as u64;
                    file.as_mut().context("data before an archive")?.write_all(&data)?;
                }
                BaseBackupEvent::Manifest(data) => manifest.extend_from_slice(&data),
                BaseBackupEvent::Finished { lsn: end, .. } => {
                    assert_eq!(stream.next().await?, None);
                    return Ok(Received { start, archives, bytes, manifest, end });
                }
                other => bail!("{other:?}"),
            }
        }
    }

    /// Unpacks an archive as the PostgreSQL user.
    fn unpack(&self, archive: &Path, directory: &Path) -> Result<()> {
        stdout(self.scratch.command("mkdir").args(["-p", "-m", "700"]).arg(directory))?;
        stdout(self.scratch.command("tar").arg("-xf").arg(archive).arg("-C").arg(directory)).map(drop)
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_backup_with_its_wal_passes_pg_verifybackup_and_starts_with_its_rows() -> Result<()> {
    let server = Server::start(&[])?;
    server.postgres.pgbench_init(2)?;
    let space = server.scratch.directory("space")?;
    server.postgres.sql(&format!("create tablespace outside location '{}'", space.display()))?;
    server.postgres.sql("create table t tablespace outside as select generate_series(1, 1000) x")?;
    let rows = server.postgres.rows()?;
    let load = server.postgres.pgbench()?;
    let received = server.back_up(true).await?;
    load.end(&server.postgres)?;
    assert!(received.end > received.start.lsn);
    let expected = received.start.expected_bytes().context("sizes")?;
    assert!(expected > received.bytes / 2 && expected < received.bytes, "{expected} {}", received.bytes);

    // In the place of the old one, so that the link needn't change.
    server.postgres.stop()?;
    fs::remove_dir_all(&space)?;
    let directory = server.scratch.path().join("restored");
    for (oid, archive) in &received.archives {
        server.unpack(archive, if oid.is_some() { &space } else { &directory })?;
    }
    let map = fs::read_to_string(directory.join("tablespace_map"))?;
    let (oid, location) = map.trim_end().split_once(' ').context("a tablespace")?;
    std::os::unix::fs::symlink(location, directory.join("pg_tblspc").join(oid))?;
    fs::write(directory.join("backup_manifest"), &received.manifest)?;
    stdout(server.scratch.command("pg_verifybackup").arg(&directory))?;
    let restored = Postgres::open(&server.scratch, &directory);
    restored.start()?;
    assert!(restored.rows()?.0 >= rows.0);
    assert_eq!(restored.sql("select sum(x) from t")?, "500500");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn the_archive_has_the_members_that_postgresqls_has() -> Result<()> {
    let server = Server::start(&["wal_level = logical", "archive_mode = off"])?;
    server.postgres.sql("create unlogged table u as select 1 x; create table t as select 2 x; checkpoint")?;
    server.postgres.sql("select pg_create_logical_replication_slot('s', 'test_decoding')")?;
    let data = server.postgres.data().to_owned();
    let make = "mkdir base/pgsql_tmp && touch base/pgsql_tmp/pgsql_tmp1.0 base/1/t3_16384 global/pg_internal.init \
                postgresql.auto.conf.tmp && touch own_file && mkdir -m 750 own_directory";
    stdout(server.scratch.command("sh").args(["-ec", &format!("cd '{}' && {make}", data.display())]))?;
    let received = server.back_up(false).await?;
    let mut program = server.postgres.client("pg_basebackup");
    let theirs = server.scratch.path().join("theirs");
    stdout(
        program.args(["-Ft", "-X", "none", "-c", "fast", "--no-sync", "--no-manifest", "-D"]).arg(&theirs),
    )?;
    let members = |archive: &Path| -> Result<BTreeSet<String>> {
        let listing = stdout(server.scratch.command("tar").arg("-tvf").arg(archive))?;
        // Without the date.
        let member = |line: &str| {
            let words: Vec<_> = line.split_whitespace().collect();
            let size = if words[5].ends_with("pg_control") { words[2] } else { "" };
            format!("{} {} {size} {}", words[0], words[1], words[5].trim_start_matches("./"))
        };
        Ok(listing.lines().map(member).collect())
    };
    let (ours, theirs) = (members(&received.archives[&None])?, members(&theirs.join("base.tar"))?);
    assert!(ours.len() > 900, "{ours:?}");
    assert_eq!(ours.symmetric_difference(&theirs).collect::<Vec<_>>(), [""; 0]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_role_without_the_rights_is_told_what_it_needs() -> Result<()> {
    let server = Server::start(&[])?;
    server.postgres.sql("create role keeper login")?;
    let connect = ConnectOptions {
        host: Some(server.scratch.path().display().to_string()),
        port: server.postgres.environment()[1].1.parse().ok(),
        user: Some("keeper".to_owned()),
        ..ConnectOptions::default()
    };
    let source = LocalSource::new(Connector::new(connect, Environment::default()));
    let error = source.check().await.unwrap_err();
    assert!(error.hint().unwrap_or_default().contains("pg_read_all_settings"), "{error:?}");
    let grants = "grant pg_read_all_settings to keeper; grant execute on function pg_backup_start, pg_backup_stop to keeper";
    server.postgres.sql(grants)?;
    source.check().await?;
    let mut stream = source.start(&BaseBackupRequest::new("keeper")).await?;
    while let Some(event) = stream.next().await? {
        drop(event);
    }
    Ok(())
}
