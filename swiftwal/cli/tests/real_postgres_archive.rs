//! `archive-wal` as the `archive_command` of a PostgreSQL under load.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use xtask::{Site, until};

xtask::on_file_swift_and_ceph!(
    env!("CARGO_BIN_EXE_swiftwal"),
    under_load_every_segment_is_stored_byte_for_byte_and_listed,
    archive_wal_killed_at_any_moment_loses_and_damages_nothing,
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
