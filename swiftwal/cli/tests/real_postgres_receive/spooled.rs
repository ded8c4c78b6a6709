//! What is in the spool: it is at least what was reported as written, and damage to it isn't the end.

use std::{
    fs::{self, File, Permissions},
    io::Read,
    os::unix::fs::{FileExt, PermissionsExt},
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use swiftwal_postgres::{Lsn, SegmentSize, Timeline, segments_between};
use xtask::{Place, Postgres, Site, stdout};

use crate::{
    receiver::{Receiver, compare, keep_wal, wait_until_stored},
    switch_segments,
};

/// From a moment on nothing more is stored, so what is reported can be compared with what is there.
#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn neither_position_runs_ahead_of_what_is_there() -> Result<()> {
    let site = Site::start(Path::new(env!("CARGO_BIN_EXE_swiftwal")))?;
    let server = &site.postgres;
    keep_wal(server)?;
    let Place::Directory(repository) = site.swiftwal.place() else { bail!("it is a directory") };
    let spool = site.scratch.path().join("spool");
    let mut receiver =
        Receiver::start(&site, &["--spool", &spool.to_string_lossy(), "--partial-interval", "1"])?;
    server.pgbench_init(1)?;
    wait_until_stored(&mut receiver, server)?;
    let from = server.sql("select pg_current_wal_insert_lsn()")?;
    let load = server.pgbench()?;
    let flushed = format!("select count(*) from pg_stat_replication where flush_lsn - '{from}' > 1000000");
    receiver.until("some of it is stored", || Ok(server.sql(&flushed)? == "1"))?;
    fs::set_permissions(repository, Permissions::from_mode(0o000))?;
    receiver.until_said("it is kept in the spool")?;
    let is_ahead = "select count(*) from pg_stat_replication where write_lsn - flush_lsn > 20000000";
    receiver.until("the spool has more", || Ok(server.sql(is_ahead)? == "1"))?;
    let positions = "select flush_lsn || ' ' || write_lsn from pg_stat_replication";
    let positions = server.sql(positions)?;
    receiver.kill()?;
    load.end(server)?;
    fs::set_permissions(repository, Permissions::from_mode(0o700))?;

    let (flush, write) = positions.split_once(' ').context("two positions")?;
    let stored = site.scratch.path().join("stored");
    fs::create_dir(&stored)?;
    for object in site.swiftwal.stored()? {
        let name = object.strip_prefix("wal_").and_then(|name| name.strip_suffix(".zst"));
        let Some(name) = name.map(|name| name.trim_end_matches(".received")) else { continue };
        let mut unpack = Command::new("zstd");
        unpack.arg("-dqo").arg(stored.join(name)).arg(repository.join(&object));
        stdout(&mut unpack)?;
    }
    let (from, flush, write) = (from.parse()?, flush.parse()?, write.parse()?);
    ensure!(from < flush && flush < write, "{from} {flush} {write}");
    has_wal(server, &[&stored], from, flush)?;
    has_wal(server, &[&stored, &spool], from, write)?;

    let mut receiver = Receiver::start(&site, &["--spool", &spool.to_string_lossy()])?;
    wait_until_stored(&mut receiver, server)?;
    compare(&site, server)?;
    receiver.stop()?;
    Ok(())
}

/// Fails unless the directories together have the WAL of the server in this range.
fn has_wal(server: &Postgres, directories: &[&Path], from: Lsn, to: Lsn) -> Result<()> {
    let size = SegmentSize::default();
    for segment in segments_between(Timeline::FIRST, from, to, size) {
        let start = segment.start(size).context("a position")?;
        let bytes = size.bytes().min(to.0 - start.0);
        let expected = beginning(&server.data().join(format!("pg_wal/{segment}")), bytes)?;
        let is_there = |directory: &&Path| {
            let names = [segment.to_string(), format!("{segment}.partial")];
            names
                .iter()
                .any(|name| beginning(&directory.join(name), bytes).is_ok_and(|content| content == expected))
        };
        ensure!(directories.iter().any(is_there), "{bytes} bytes of {segment} aren't in {directories:?}");
    }
    Ok(())
}

fn beginning(path: &Path, bytes: u64) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(bytes).read_to_end(&mut content)?;
    Ok(content)
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn a_segment_that_was_damaged_in_the_spool_is_received_again() -> Result<()> {
    let site = Site::start(Path::new(env!("CARGO_BIN_EXE_swiftwal")))?;
    let server = &site.postgres;
    keep_wal(server)?;
    let Place::Directory(repository) = site.swiftwal.place() else { bail!("it is a directory") };
    let spool = site.scratch.path().join("spool");
    let options = ["--spool", &spool.to_string_lossy()];
    let mut receiver = Receiver::start(&site, &options)?;
    wait_until_stored(&mut receiver, server)?;
    fs::set_permissions(repository, Permissions::from_mode(0o000))?;
    let damaged = server.sql("select pg_walfile_name(pg_current_wal_insert_lsn())")?;
    switch_segments(server, 3)?;
    let end = server.sql("select pg_current_wal_insert_lsn()")?;
    let written = format!("select count(*) from pg_stat_replication where write_lsn >= '{end}'");
    receiver.until("the spool has it", || Ok(server.sql(&written)? == "1"))?;
    receiver.kill()?;
    fs::set_permissions(repository, Permissions::from_mode(0o700))?;
    File::options().write(true).open(spool.join(&damaged))?.write_all_at(&[0; 4096], 0)?;

    let mut receiver = Receiver::start(&site, &options)?;
    wait_until_stored(&mut receiver, server)?;
    assert!(compare(&site, server)? >= 4);
    let said = receiver.stop()?;
    let warned = format!("{damaged} in the spool is damaged and isn't stored");
    assert!(said.matches(&warned).count() == 1 && !said.contains("has removed WAL"), "{said}");
    assert!(spool.join(format!("{damaged}.damaged")).exists());
    Ok(())
}

/// Each of the two finds segments that the other one has stored meanwhile.
pub(crate) fn archive_wal_may_run_beside_it(site: &Site) -> Result<()> {
    let server = &site.postgres;
    server.configure(&["wal_keep_size = 2GB"])?;
    server.reload()?;
    let mut receiver = Receiver::start(site, &["--partial-interval", "1"])?;
    server.pgbench_init(1)?;
    let load = server.pgbench()?;
    for _ in 0..5 {
        wait_until_stored(&mut receiver, server)?;
    }
    load.end(server)?;
    server.archive_all()?;
    wait_until_stored(&mut receiver, server)?;
    assert!(compare(site, server)? >= 6);
    assert_eq!(server.sql("select failed_count from pg_stat_archiver")?, "0");
    let stored = site.swiftwal.stored()?;
    let beginnings = stored.iter().filter(|name| name.contains(".partial.received")).count();
    assert!(beginnings <= 1, "{stored:?}");
    receiver.stop()?;
    Ok(())
}
