//! Another server with the same system identifier and timeline is refused: nothing of its WAL is stored under the names of the
//! first one's.

use std::path::Path;

use anyhow::{Result, ensure};
use xtask::{Postgres, Site, stdout};

use crate::receiver::{Receiver, compare, keep_wal, wait_until_stored};

/// The slot was created by a receiver that ended before it stored anything, or by hand.
pub(crate) fn a_slot_that_was_created_and_never_used_hides_no_wal(site: &Site) -> Result<()> {
    let server = &site.postgres;
    keep_wal(server)?;
    let mut receiver = Receiver::start(site, &[])?;
    wait_until_stored(&mut receiver, server)?;
    receiver.stop()?;
    xtask::until("the slot is free", || Ok(server.sql("select active from pg_replication_slots")? == "f"))?;
    server.sql("select pg_drop_replication_slot('swiftwal')")?;
    crate::switch_segments(server, 2)?;
    server.sql("checkpoint")?;
    server.sql("select pg_create_physical_replication_slot('swiftwal', true)")?;
    site.run(&["backup", "-c", "fast", "--xlog"])?;
    let mut receiver = Receiver::start(site, &[])?;
    wait_until_stored(&mut receiver, server)?;
    assert!(compare(site, server)? >= 4);
    receiver.stop()?;
    Ok(())
}

/// Both servers go on where the other one was copied. Their WAL differs before the segment that comes next, and within one
/// whose beginning is stored.
pub(crate) fn a_copy_of_the_server_is_refused(site: &Site) -> Result<()> {
    let server = &site.postgres;
    keep_wal(server)?;
    let mut receiver = Receiver::start(site, &[])?;
    wait_until_stored(&mut receiver, server)?;
    receiver.stop()?;
    server.stop()?;
    let (within, before) = (copy(site, "within")?, copy(site, "before")?);

    server.start()?;
    let mut receiver = Receiver::start(site, &[])?;
    let table = "create table one as select generate_series(1, 10000) as number";
    server.sql(table)?;
    let written = "select count(*) from pg_stat_replication where write_lsn >= pg_current_wal_lsn()";
    receiver.until("the WAL is received", || Ok(server.sql(written)? == "1"))?;
    receiver.stop()?;
    within.start()?;
    within.sql(&table.replace("10000", "20000"))?;
    is_refused(site, &within, &[])?;
    within.stop()?;

    let mut receiver = Receiver::start(site, &[])?;
    wait_until_stored(&mut receiver, server)?;
    receiver.stop()?;
    before.start()?;
    before.sql(&table.replace("10000", "20000"))?;
    crate::switch_segments(&before, 2)?;
    is_refused(site, &before, &[])?;
    // The spool of another machine.
    let spool = site.scratch.path().join("another-spool");
    is_refused(site, &before, &["--spool", &spool.to_string_lossy()])?;
    before.stop()?;
    // Its history isn't stored either.
    promote(&before)?;
    is_refused(site, &before, &[])?;
    before.stop()?;

    let mut receiver = Receiver::start(site, &[])?;
    wait_until_stored(&mut receiver, server)?;
    compare(site, server)?;
    receiver.stop()?;
    Ok(())
}

fn is_refused(site: &Site, server: &Postgres, options: &[&str]) -> Result<()> {
    let stored = site.swiftwal.stored()?;
    server.sql("select pg_drop_replication_slot(slot_name) from pg_replication_slots")?;
    let said = Receiver::begin(site, server, options)?.failed()?;
    ensure!(said.contains("isn't the continuation of what was received before"), "{said}");
    has_no_slot(server)?;
    ensure!(site.swiftwal.stored()? == stored, "{stored:?} {:?}", site.swiftwal.stored()?);
    Ok(())
}

/// A slot that nothing uses keeps WAL until the disk is full.
pub(crate) fn has_no_slot(server: &Postgres) -> Result<()> {
    let slots = server.sql("select slot_name from pg_replication_slots")?;
    ensure!(slots.is_empty(), "a server that was refused has the slot {slots}");
    Ok(())
}

/// Two standbys were promoted one after the other, and each took timeline 2.
pub(crate) fn a_second_history_of_a_timeline_is_refused(site: &Site) -> Result<()> {
    keep_wal(&site.postgres)?;
    site.postgres.stop()?;
    let (first, second) = (copy(site, "first")?, copy(site, "second")?);
    promote(&first)?;
    second.start()?;
    second.sql("create table other as select 1")?;
    second.stop()?;
    promote(&second)?;
    second.sql("create table another as select 1")?;
    second.stop()?;

    let [(_, host), (_, port), ..] = first.environment();
    let [_, (_, second_port), ..] = second.environment();
    let both = format!("host={host},{host} port={port},{second_port} user=postgres");
    let mut receiver = Receiver::begin(site, &first, &["-d", &both])?;
    receiver.wait_for_stream(&first)?;
    wait_until_stored(&mut receiver, &first)?;
    first.stop()?;
    let stored = site.swiftwal.stored()?;
    second.start()?;
    let said = receiver.failed()?;
    ensure!(said.contains("another server has taken timeline 2"), "{said}");
    has_no_slot(&second)?;
    // A new process doesn't take it for the first one either.
    let said = Receiver::begin(site, &second, &[])?.failed()?;
    ensure!(said.contains("another server has taken timeline 2"), "{said}");
    has_no_slot(&second)?;
    let now = site.swiftwal.stored()?;
    let is_beginning = |name: &&String| !name.contains(".partial.received");
    ensure!(now.iter().filter(is_beginning).eq(stored.iter().filter(is_beginning)), "{stored:?} {now:?}");
    Ok(())
}

fn promote(server: &Postgres) -> Result<()> {
    // It must belong to the user who runs the server.
    copy_files(&server.data().join("PG_VERSION"), &server.data().join("standby.signal"))?;
    server.start()?;
    server.promote()
}

/// Returns a copy of the stopped server.
fn copy(site: &Site, name: &str) -> Result<Postgres> {
    let data = site.scratch.path().join(name);
    copy_files(site.postgres.data(), &data)?;
    Ok(Postgres::open(&site.scratch, &data))
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    stdout(std::process::Command::new("cp").arg("-a").args([from, to])).map(drop)
}
