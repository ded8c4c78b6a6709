//! `archive-wal` as the `archive_command` of a PostgreSQL under load.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use xtask::{Place, Postgres, Site, until};

xtask::on_file_swift_and_ceph!(
    env!("CARGO_BIN_EXE_swiftwal"),
    under_load_every_segment_is_stored_byte_for_byte_and_listed,
    archive_wal_killed_at_any_moment_loses_and_damages_nothing,
    a_backlog_is_archived_ahead,
);

fn under_load_every_segment_is_stored_byte_for_byte_and_listed(site: &Site) -> Result<()> {
    let copies = archive_with_copies(site, &site.swiftwal.archive_command())?;
    archive_under_load(site)?;
    assert_stored_as_copied(site, &copies)
}

fn archive_wal_killed_at_any_moment_loses_and_damages_nothing(site: &Site) -> Result<()> {
    let kills = site.scratch.path().join("kills");
    // It is killed after a few milliseconds, then a quarter later each time, until it finishes before that. The first
    // time depends on the shell's process id, so that each segment is interrupted at other moments.
    let archive = format!(
        "ms=$((3 + ($$ & 7))); until timeout --signal KILL ${{ms}}e-3 {}; do ms=$((ms * 5 / 4 + 1)); \
         echo $ms >> {}; done",
        site.swiftwal.archive_command(),
        kills.display()
    );
    let copies = archive_with_copies(site, &archive)?;
    archive_under_load(site)?;
    assert!(fs::read_to_string(&kills)?.lines().count() > 10);
    assert_stored_as_copied(site, &copies)
}

fn a_backlog_is_archived_ahead(site: &Site) -> Result<()> {
    let server = &site.postgres;
    server.archive_nothing()?;
    server.pgbench_init(1)?;
    wait_for_backlog(server)?;
    let copies = archive_with_copies(site, &verbose(site))?;
    server.archive_all()?;
    assert_stored_as_copied(site, &copies)?;
    assert_archived_ahead(server)
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
#[expect(clippy::disallowed_methods, reason = "a disk is unmounted and mounted again")]
fn a_backlog_drains_when_the_repository_is_there_again() -> Result<()> {
    let site = Site::start(Path::new(env!("CARGO_BIN_EXE_swiftwal")))?;
    let server = &site.postgres;
    server.archive_all()?;
    let Place::Directory(repository) = site.swiftwal.place() else { bail!("it is a directory") };
    let elsewhere = repository.with_extension("elsewhere");
    fs::rename(repository, &elsewhere)?;
    let copies = archive_with_copies(&site, &verbose(&site))?;
    wait_for_backlog(server)?;
    until("PostgreSQL has tried in vain", || Ok(server.log()?.contains("is its disk mounted?")))?;
    fs::rename(&elsewhere, repository)?;
    server.archive_all()?;
    for copy in fs::read_dir(&copies)? {
        let (copy, fetched) = (copy?, site.scratch.path().join("fetched"));
        site.run(&["restore-wal", &copy.file_name().to_string_lossy(), &fetched.to_string_lossy()])?;
        assert!(fs::read(&fetched)? == fs::read(copy.path())?, "{}", copy.path().display());
    }
    assert_archived_ahead(server)
}

/// Returns when a dozen segments wait to be archived.
fn wait_for_backlog(server: &Postgres) -> Result<()> {
    until("a dozen segments wait", || {
        server.sql("select pg_logical_emit_message(false, 'a test', 'x'), pg_switch_wal()")?;
        Ok(server.waiting_for_archive()?.len() >= 12)
    })
}

/// Returns an archive_command that reports what it does.
fn verbose(site: &Site) -> String {
    site.swiftwal.archive_command().replace(" archive-wal ", " -v archive-wal ")
}

fn assert_archived_ahead(server: &Postgres) -> Result<()> {
    let ahead = server.log()?.matches("had been stored ahead").count();
    assert!(ahead >= 8, "{ahead} files were archived ahead");
    Ok(())
}

/// Makes the server copy each WAL file before it archives it with `command`. Returns the directory of the copies.
fn archive_with_copies(site: &Site, command: &str) -> Result<PathBuf> {
    let copies = site.scratch.directory("copies")?;
    let command = format!("cp \"%p\" {}/%f && {command}", copies.display());
    site.postgres.configure(&[&format!("archive_command = '{command}'")])?;
    site.postgres.reload()?;
    Ok(copies)
}

/// Returns when eight segments are archived while pgbench writes, and then the rest.
fn archive_under_load(site: &Site) -> Result<()> {
    let server = &site.postgres;
    server.pgbench_init(1)?;
    let load = server.pgbench()?;
    until("eight segments are archived", || {
        // The load alone would take seconds to fill a segment.
        if server.waiting_for_archive()?.is_empty() {
            server.sql("select pg_switch_wal()")?;
        }
        Ok(server.sql("select archived_count >= 8 from pg_stat_archiver")? == "t")
    })?;
    load.end(server)?;
    server.archive_all()
}

fn assert_stored_as_copied(site: &Site, copies: &Path) -> Result<()> {
    let mut names: Vec<String> = fs::read_dir(copies)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    names.sort();
    assert_eq!(site.run(&["list-wal"])?.lines().collect::<Vec<_>>(), names);

    let fetched = site.scratch.path().join("fetched");
    for name in &names {
        site.run(&["restore-wal", name, &fetched.to_string_lossy()])?;
        assert!(fs::read(&fetched)? == fs::read(copies.join(name))?, "{name} differs");
    }
    Ok(())
}

mod long {
    use std::time::Duration;

    use xtask::{Installation, Scratch, Service, Swift, SwiftOptions};

    use super::*;

    const SEGMENTS: usize = 300;
    /// How long the storage is away, after a third of the segments.
    const OUTAGE: Duration = Duration::from_secs(60);

    #[test]
    #[ignore = "takes minutes: run by cargo xtask test --long"]
    fn a_backlog_of_300_segments_drains_although_swift_is_away_for_a_minute() -> Result<()> {
        let swift = Swift::start(&Scratch::new(Installation::ensure()?)?, SwiftOptions::default())?;
        let built = Path::new(env!("CARGO_BIN_EXE_swiftwal"));
        let site = Site::start_on_swift(built, swift.environment_v1())?;
        let server = &site.postgres;
        // The server keeps its WAL for the comparison.
        server.configure(&["wal_keep_size = '100GB'"])?;
        server.archive_nothing()?;
        server.sql(&format!(
            "do $$ begin for number in 1..{SEGMENTS} loop \
             perform pg_logical_emit_message(false, 'a test', repeat(md5(number::text), 10000)); \
             perform pg_switch_wal(); end loop; end $$"
        ))?;
        server.configure(&[&format!("archive_command = '{}'", verbose(&site))])?;
        server.reload()?;
        let waiting = || -> Result<usize> { Ok(server.waiting_for_archive()?.len()) };
        until("a third is archived", || Ok(waiting()? <= SEGMENTS * 2 / 3))?;
        swift.kill(Service::Proxy)?;
        std::thread::sleep(OUTAGE);
        assert!(waiting()? > SEGMENTS / 3);
        swift.up(Service::Proxy)?;
        until("everything is archived", || Ok(waiting()? == 0))?;

        let wal = server.data().join("pg_wal");
        let fetched = site.scratch.path().join("fetched");
        let mut compared = 0;
        for status in fs::read_dir(wal.join("archive_status"))? {
            let status = status?.file_name().to_string_lossy().into_owned();
            let name = status.strip_suffix(".done").context("it is archived")?;
            site.run(&["restore-wal", name, &fetched.to_string_lossy()])?;
            assert!(fs::read(&fetched)? == fs::read(wal.join(name))?, "{name} differs");
            compared += 1;
        }
        assert!(compared >= SEGMENTS, "{compared}");
        assert_archived_ahead(server)
    }
}
