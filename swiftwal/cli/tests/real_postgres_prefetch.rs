//! WAL that is fetched ahead, for real servers: recoveries, standbys, and pg_rewind, for which nothing is.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use xtask::{Postgres, Site, output, until};

xtask::on_file_swift_and_ceph!(
    env!("CARGO_BIN_EXE_swiftwal"),
    a_recovery_takes_segments_that_were_fetched_ahead_and_leaves_no_process,
);

xtask::on_versions! {
    env!("CARGO_BIN_EXE_swiftwal");
    postgresql_15, 15: a_standby_follows_three_promotions_while_wal_is_fetched_ahead;
    postgresql_18, 18: pg_rewind_gets_its_wal_and_nothing_is_fetched_ahead;
}

/// A part of the restore_command that restore writes, and with another option.
const QUIET: &str = " restore-wal %f";
const VERBOSE: &str = " -v restore-wal %f";

fn a_recovery_takes_segments_that_were_fetched_ahead_and_leaves_no_process(site: &Site) -> Result<()> {
    let server = &site.postgres;
    server.pgbench_init(1)?;
    site.run(&["backup", "-c", "fast"])?;
    for number in 0..20 {
        server.sql(&format!("create table part_{number} as select generate_series(1, 1000)"))?;
        server.sql("select pg_switch_wal()")?;
    }
    server.archive_all()?;
    let restored = site.restore("restored", "latest", &["--archive-mode", "off"])?;
    make_verbose(&restored)?;
    restored.start()?;
    restored.wait_for_promotion()?;
    assert_eq!(restored.rows()?, server.rows()?);
    assert_eq!(restored.sql("select count(*) from part_19")?, "1000");
    let log = restored.log()?;
    assert!(fetched_ahead(&log).next().is_some(), "{log}");
    assert!(!log.contains("swiftwal: warning") && !log.contains("untracked child"), "{log}");
    restored.stop()?;
    until("the prefetcher has ended", || Ok(spools(site)?.is_empty()))
}

/// The standby has nothing but the archive.
fn a_standby_follows_three_promotions_while_wal_is_fetched_ahead(site: &Site) -> Result<()> {
    let primary = &site.postgres;
    primary.pgbench_init(1)?;
    site.run(&["backup", "-c", "fast"])?;
    primary.archive_all()?;
    let standby = site.restore("standby", "latest", &["--standby"])?;
    make_verbose(&standby)?;
    standby.start()?;
    primary.sql("delete from pgbench_accounts where aid % 100 = 0")?;
    primary.archive_all()?;
    primary.stop()?;
    for timeline in 2..=4 {
        let next = site.restore(&format!("primary{timeline}"), "latest", &[])?;
        next.start()?;
        next.wait_for_promotion()?;
        // Most often once: the process that fetches ahead may not be ready for the first segments.
        until("the standby takes WAL of the new timeline that was fetched ahead", || {
            for _ in 0..4 {
                next.sql("delete from pgbench_accounts where aid = (select min(aid) from pgbench_accounts)")?;
                next.sql("select pg_switch_wal()")?;
            }
            next.archive_all()?;
            let rows = next.rows()?;
            until("the standby has the rows of the new primary", || Ok(standby.rows()? == rows))?;
            Ok(fetched_ahead(&standby.log()?).any(|name| name.starts_with(&format!("{timeline:08X}"))))
        })?;
        next.stop()?;
    }
    standby.stop()?;
    until("the prefetchers have ended", || Ok(spools(site)?.is_empty()))
}

fn pg_rewind_gets_its_wal_and_nothing_is_fetched_ahead(site: &Site) -> Result<()> {
    let old = &site.postgres;
    old.pgbench_init(1)?;
    site.run(&["backup", "-c", "fast"])?;
    old.archive_all()?;
    let new = site.restore("new", "latest", &[])?;
    new.start()?;
    new.wait_for_promotion()?;
    new.sql("delete from pgbench_accounts where aid % 2 = 0")?;
    new.archive_all()?;
    let rows = new.rows()?;
    // The old server goes on, and removes its WAL since the two parted.
    for _ in 0..4 {
        old.sql("delete from pgbench_accounts where aid % 3 = 0")?;
        old.archive_all()?;
    }
    old.stop()?;
    new.stop()?;
    until("the prefetcher has ended", || Ok(spools(site)?.is_empty()))?;

    let settings = fs::read_to_string(new.data().join("postgresql.auto.conf"))?;
    let restore = settings.lines().find(|line| line.starts_with("restore_command"));
    let restore = restore.context("restore has written a restore_command")?;
    old.configure(&[&restore.replace(QUIET, VERBOSE)])?;
    let mut rewind = old.client("pg_rewind");
    rewind.arg("--target-pgdata").arg(old.data()).arg("--source-pgdata").arg(new.data());
    let rewound = output(rewind.arg("--restore-target-wal"))?;
    let said = String::from_utf8_lossy(&rewound.stderr);
    assert!(rewound.status.success() && said.contains(" fetched"), "{said}");
    assert!(spools(site)?.is_empty(), "{said}");
    fs::write(old.data().join("standby.signal"), "")?;
    follow(old, &rows)
}

/// Lets restore-wal write into the server's log what it does.
fn make_verbose(restored: &Postgres) -> Result<()> {
    let settings = restored.data().join("postgresql.auto.conf");
    let text = fs::read_to_string(&settings)?;
    ensure!(text.contains(QUIET), "{text}");
    Ok(fs::write(&settings, text.replace(QUIET, VERBOSE))?)
}

/// Returns the segments that were fetched ahead, according to the server's log.
fn fetched_ahead(log: &str) -> impl Iterator<Item = &str> {
    log.lines().filter_map(|line| line.strip_suffix(" was fetched ahead")?.rsplit(' ').next())
}

/// Starts a rewound server, and waits until it has these rows.
fn follow(old: &Postgres, rows: &(u64, String)) -> Result<()> {
    old.start()?;
    until("the old server has the rows of the new one", || Ok(old.rows()? == *rows))
}

/// Returns the spools of all servers: each exists as long as its process.
fn spools(site: &Site) -> Result<Vec<PathBuf>> {
    let parent = site.scratch.path().join(".local/state/swiftwal/spool");
    if !parent.exists() {
        return Ok(Vec::new());
    }
    fs::read_dir(parent)?.map(|entry| Ok(entry?.path())).collect()
}
