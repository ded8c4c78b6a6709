//! `receive-wal`: what is stored is what the server wrote, whatever is interrupted.

mod commits;
mod lineage;
mod receiver;
mod spooled;
mod supervised;

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use anyhow::{Context, Result, bail, ensure};
use xtask::{Place, Postgres, Site, stdout, until};

use self::{
    commits::no_acknowledged_commit_is_lost_with_the_server_and_the_receiver,
    lineage::{
        a_copy_of_the_server_is_refused, a_second_history_of_a_timeline_is_refused,
        a_slot_that_was_created_and_never_used_hides_no_wal, has_no_slot,
    },
    receiver::{Receiver, compare, keep_wal, wait_until_stored},
    spooled::archive_wal_may_run_beside_it,
    supervised::systemd_is_told_what_it_does_and_that_it_is_alive,
};

xtask::on_file_swift_and_ceph!(
    env!("CARGO_BIN_EXE_swiftwal"),
    all_that_pgbench_writes_is_stored_byte_for_byte,
);

xtask::on_versions! {
    env!("CARGO_BIN_EXE_swiftwal");
    postgresql_13, 13: all_that_pgbench_writes_is_stored_byte_for_byte,
        a_backup_that_is_taken_while_the_receiver_is_away_hides_no_wal,
        only_what_the_server_refuses_is_a_gap;
    postgresql_15, 15: no_acknowledged_commit_is_lost_with_the_server_and_the_receiver;
    postgresql_18, 18: all_that_pgbench_writes_is_stored_byte_for_byte,
        no_acknowledged_commit_is_lost_with_the_server_and_the_receiver,
        a_promotion_is_followed_from_below_the_branch_point,
        a_backup_that_is_taken_while_the_receiver_is_away_hides_no_wal,
        only_what_the_server_refuses_is_a_gap,
        a_slot_that_the_server_has_invalidated_is_created_again,
        a_slot_that_was_created_and_never_used_hides_no_wal,
        a_copy_of_the_server_is_refused,
        a_second_history_of_a_timeline_is_refused,
        archive_wal_may_run_beside_it,
        systemd_is_told_what_it_does_and_that_it_is_alive;
}

/// The documented limit of its memory, in KiB.
const MOST_KIB: u64 = 64 << 10;

fn all_that_pgbench_writes_is_stored_byte_for_byte(site: &Site) -> Result<()> {
    let server = &site.postgres;
    keep_wal(server)?;
    let mut receiver = Receiver::start(site, &[])?;
    server.pgbench_init(3)?;
    let from = server.sql("select pg_current_wal_insert_lsn()")?;
    let load = server.pgbench()?;
    let written = format!("select pg_current_wal_insert_lsn() - '{from}' > 1000000");
    receiver.until("pgbench writes", || Ok(server.sql(&written)? == "t"))?;
    load.end(server)?;
    wait_until_stored(&mut receiver, server)?;
    let complete = compare(site, server)?;
    assert!(complete >= 2, "{complete}");

    // The incomplete last segment is stored, too, and confirmed.
    server.sql("create table last as select 1")?;
    let end = server.sql("select pg_current_wal_flush_lsn()")?;
    let flushed = format!(
        "select count(*) from pg_stat_replication where flush_lsn >= '{end}' and replay_lsn <= flush_lsn"
    );
    receiver.until("the last table is stored", || Ok(server.sql(&flushed)? == "1"))?;
    let current = server.sql("select pg_walfile_name(pg_current_wal_insert_lsn())")?;
    let beginning = format!("wal_{current}.partial.received.zst");
    assert!(site.swiftwal.stored()?.contains(&beginning));
    let most = receiver.most_memory()?;
    assert!((1..=MOST_KIB).contains(&most), "it had {most} KiB");
    receiver.stop()?;
    let listed = site.run(&["list-wal"])?;
    assert!(listed.lines().any(|name| name == format!("{current}.partial.received")), "{listed}");

    // It goes on where it was, and the segment takes the place of its beginning.
    let mut receiver = Receiver::start(site, &[])?;
    wait_until_stored(&mut receiver, server)?;
    until("the beginning is removed", || Ok(!site.swiftwal.stored()?.contains(&beginning)))?;
    assert!(compare(site, server)? > complete);
    receiver.stop()?;
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn a_killed_receiver_and_a_killed_server_go_on_without_a_gap() -> Result<()> {
    let site = Site::start(Path::new(env!("CARGO_BIN_EXE_swiftwal")))?;
    let server = &site.postgres;
    keep_wal(server)?;
    server.configure(&["fsync = on"])?;
    server.pgbench_init(1)?;
    let mut receiver = Receiver::start(&site, &[])?;
    for turn in 0..4 {
        let load = server.pgbench()?;
        let from = server.sql("select pg_switch_wal()")?;
        let more = format!("select pg_current_wal_flush_lsn() - '{from}' > 500000");
        receiver.until("pgbench writes", || Ok(server.sql(&more)? == "t"))?;
        if turn % 2 == 0 {
            receiver.kill()?;
            receiver = Receiver::begin(&site, server, &[])?;
            receiver.wait_for_stream(server)?;
        } else {
            server.kill()?;
            drop(load);
            server.start()?;
            receiver.wait_for_stream(server)?;
        }
    }
    wait_until_stored(&mut receiver, server)?;
    assert!(compare(&site, server)? >= 5);
    receiver.stop()?;
    Ok(())
}

/// The backup begins behind the segment that was being received, which only the slot keeps for recovery from older backups.
fn a_backup_that_is_taken_while_the_receiver_is_away_hides_no_wal(site: &Site) -> Result<()> {
    let server = &site.postgres;
    keep_wal(server)?;
    let mut receiver = Receiver::start(site, &[])?;
    wait_until_stored(&mut receiver, server)?;
    receiver.kill()?;
    switch_segments(server, 1)?;
    site.run(&["backup", "-c", "fast", "--xlog"])?;
    let mut receiver = Receiver::start(site, &[])?;
    wait_until_stored(&mut receiver, server)?;
    assert!(compare(site, server)? >= 3);
    let said = receiver.stop()?;
    assert!(!said.contains("has removed WAL"), "{said}");
    Ok(())
}

fn only_what_the_server_refuses_is_a_gap(site: &Site) -> Result<()> {
    let server = &site.postgres;
    keep_wal(server)?;
    let mut receiver = Receiver::start(site, &[])?;
    wait_until_stored(&mut receiver, server)?;
    receiver.stop()?;
    let missing = server.sql("select pg_walfile_name(pg_current_wal_insert_lsn())")?;
    switch_segments(server, 4)?;
    fs::remove_file(server.data().join("pg_wal").join(&missing))?;
    let mut receiver = Receiver::start(site, &[])?;
    wait_until_stored(&mut receiver, server)?;
    assert!(compare(site, server)? > 3);
    let said = receiver.stop()?;
    let gaps: Vec<_> = said.lines().filter(|line| line.contains("has removed WAL")).collect();
    let expected = format!("isn't stored: segment {missing}. ");
    assert!(
        gaps.len() == 1 && gaps[0].contains(&expected) && gaps[0].contains("Take a new backup"),
        "{said}"
    );
    let listed = site.run(&["list-wal"])?;
    let number = u32::from_str_radix(&missing[16..], 16)?;
    for following in 1..=3 {
        let name = format!("{}{:08X}", &missing[..16], number + following);
        assert!(listed.lines().any(|listed| listed == name), "{name} isn't in {listed}");
    }
    Ok(())
}

fn a_slot_that_the_server_has_invalidated_is_created_again(site: &Site) -> Result<()> {
    let server = &site.postgres;
    server.configure(&["archive_command = '/bin/true'", "max_slot_wal_keep_size = 32MB"])?;
    server.reload()?;
    let mut receiver = Receiver::start(site, &[])?;
    wait_until_stored(&mut receiver, server)?;
    receiver.stop()?;
    switch_segments(server, 5)?;
    let status = || server.sql("checkpoint; select wal_status from pg_replication_slots");
    until("the slot is lost", || Ok(status()? == "lost"))?;

    let ended = site.command(&["receive-wal"]).output()?;
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    let hint = "start receive-wal with --create-slot, which drops the invalidated slot swiftwal";
    assert!(ended.status.code() == Some(1) && said.contains("wal_removed") && said.contains(hint), "{said}");

    let mut receiver = Receiver::start(site, &[])?;
    wait_until_stored(&mut receiver, server)?;
    assert_eq!(status()?, "reserved");
    let said = receiver.stop()?;
    assert!(said.contains("has invalidated the replication slot swiftwal"), "{said}");
    assert!(said.contains("has removed WAL that isn't stored"), "{said}");
    Ok(())
}

/// Ends the current segment and those behind it, each with a little WAL.
fn switch_segments(server: &Postgres, segments: u32) -> Result<()> {
    for _ in 0..segments {
        server.sql("select pg_logical_emit_message(false, 'test', 'some WAL'); select pg_switch_wal()")?;
    }
    Ok(())
}

/// The old primary went on after the standby had lost it, so more of its WAL is stored than belongs to the new timeline.
fn a_promotion_is_followed_from_below_the_branch_point(site: &Site) -> Result<()> {
    let primary = &site.postgres;
    keep_wal(primary)?;
    let copy = site.scratch.path().join("standby");
    stdout(primary.client("pg_basebackup").args(["-c", "fast", "-R", "-D"]).arg(&copy))?;
    let standby = Postgres::open(&site.scratch, &copy);
    standby.start()?;
    let [(_, host), (_, port), ..] = primary.environment();
    let [_, (_, standby_port), ..] = standby.environment();
    let both =
        format!("host={host},{host} port={port},{standby_port} user=postgres target_session_attrs=primary");
    let mut receiver = Receiver::start(site, &["-d", &both])?;
    primary.pgbench_init(1)?;
    let end = primary.sql("select pg_current_wal_flush_lsn()")?;
    let replayed = format!("select pg_last_wal_replay_lsn() >= '{end}'");
    until("the standby has it", || Ok(standby.sql(&replayed)? == "t"))?;
    primary.sql("alter system set max_wal_senders = 10")?;
    standby.sql("alter system set primary_conninfo = ''")?;
    standby.reload()?;
    receiver.until("only the receiver streams", || {
        Ok(primary.sql("select count(*) from pg_stat_replication")? == "1")
    })?;
    primary.pgbench_init(2)?;
    wait_until_stored(&mut receiver, primary)?;
    primary.stop()?;
    standby.promote()?;
    receiver.wait_for_stream(&standby)?;
    standby.pgbench_init(1)?;
    wait_until_stored(&mut receiver, &standby)?;
    assert!(compare(site, &standby)? >= 1);
    let listed = site.run(&["list-wal"])?;
    assert!(listed.lines().any(|name| name == "00000002.history"), "{listed}");
    let branch = fs::read_to_string(standby.data().join("pg_wal/00000002.history"))?;
    let branch = branch.split_whitespace().nth(1).context("a branch point")?;
    let first = standby.sql(&format!("select pg_walfile_name('{branch}')"))?;
    assert!(listed.lines().any(|name| name == first), "{first} isn't in {listed}");
    receiver.stop()?;
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn while_the_storage_is_away_wal_goes_into_the_spool_and_the_rest_drains() -> Result<()> {
    let site = Site::start(Path::new(env!("CARGO_BIN_EXE_swiftwal")))?;
    let server = &site.postgres;
    keep_wal(server)?;
    let Place::Directory(repository) = site.swiftwal.place() else { bail!("it is a directory") };
    let mut receiver = Receiver::start(&site, &["--spool-size", "48M"])?;
    wait_until_stored(&mut receiver, server)?;
    let stored = site.run(&["list-wal"])?;
    fs::set_permissions(repository, Permissions::from_mode(0o000))?;
    server.pgbench_init(5)?;
    receiver.until_said("the spool is full")?;
    // It doesn't keep a server waiting from which it reads no more.
    server.stop()?;
    server.start()?;
    fs::set_permissions(repository, Permissions::from_mode(0o700))?;
    assert!(site.run(&["list-wal"])?.starts_with(stored.trim_end()));
    receiver.wait_for_stream(server)?;
    wait_until_stored(&mut receiver, server)?;
    assert!(compare(&site, server)? >= 4);
    receiver.stop()?;
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn the_shutdown_of_the_server_waits_neither_for_a_segment_nor_for_a_storage_that_is_away() -> Result<()> {
    let site = Site::start(Path::new(env!("CARGO_BIN_EXE_swiftwal")))?;
    let server = &site.postgres;
    keep_wal(server)?;
    let Place::Directory(repository) = site.swiftwal.place() else { bail!("it is a directory") };
    let mut receiver = Receiver::start(&site, &["--partial-interval", "0"])?;
    server.sql("create table last as select 1")?;
    server.stop()?;
    let stored = site.swiftwal.stored()?;
    // A server that archives has begun another segment for its last checkpoint.
    assert!(stored.iter().any(|name| name.ends_with(".partial.received.zst")), "{stored:?}");
    assert!(!receiver.said()?.contains("the server is shutting down"), "{}", receiver.said()?);

    server.start()?;
    receiver.wait_for_stream(server)?;
    fs::set_permissions(repository, Permissions::from_mode(0o000))?;
    server.sql("create table later as select 1")?;
    server.stop()?;
    receiver.until_said("the server is shutting down and the storage doesn't respond")?;
    fs::set_permissions(repository, Permissions::from_mode(0o700))?;
    server.start()?;
    receiver.wait_for_stream(server)?;
    wait_until_stored(&mut receiver, server)?;
    compare(&site, server)?;
    receiver.stop()?;
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn it_can_be_stopped_while_the_storage_is_away() -> Result<()> {
    let site = Site::start(Path::new(env!("CARGO_BIN_EXE_swiftwal")))?;
    let server = &site.postgres;
    let Place::Directory(repository) = site.swiftwal.place() else { bail!("it is a directory") };
    let mut receiver = Receiver::start(&site, &[])?;
    wait_until_stored(&mut receiver, server)?;
    fs::set_permissions(repository, Permissions::from_mode(0o000))?;
    server.sql("create table later as select 1; select pg_switch_wal()")?;
    receiver.until_said("it is kept in the spool")?;
    receiver.stop()?;
    fs::set_permissions(repository, Permissions::from_mode(0o700))?;
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn what_the_first_connection_is_refused_for_ends_it() -> Result<()> {
    let site = Site::start(Path::new(env!("CARGO_BIN_EXE_swiftwal")))?;
    let server = &site.postgres;
    let refused = |command: &mut std::process::Command, reason: &str| {
        let ended = command.output()?;
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        ensure!(ended.status.code() == Some(1) && said.contains(reason), "{}: {said}", ended.status);
        Ok(())
    };
    refused(&mut site.command(&["receive-wal"]), "create the slot swiftwal with --create-slot")?;
    let mut receiver = Receiver::start(&site, &[])?;
    refused(&mut site.command(&["receive-wal"]), "another receive-wal uses the spool")?;
    wait_until_stored(&mut receiver, server)?;
    receiver.stop()?;

    let other = Postgres::create(&site.scratch, "other", &[])?;
    other.start()?;
    let mut command = site.swiftwal.command(&["receive-wal", "--create-slot"]);
    refused(command.envs(other.environment()), "belongs to the PostgreSQL cluster with system identifier")?;
    has_no_slot(&other)?;

    let copy = site.scratch.path().join("standby");
    stdout(server.client("pg_basebackup").args(["-c", "fast", "-R", "-D"]).arg(&copy))?;
    let standby = Postgres::open(&site.scratch, &copy);
    standby.start()?;
    let mut command = site.swiftwal.command(&["receive-wal", "--create-slot"]);
    refused(command.envs(standby.environment()), "the server is a standby")?;
    has_no_slot(&standby)?;
    let mut receiver = Receiver::begin(&site, &standby, &["--allow-standby"])?;
    receiver.wait_for_stream(&standby)?;
    receiver.stop()?;
    Ok(())
}

/// The server recycles its WAL while nothing keeps it.
#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn wal_that_the_server_has_removed_is_named_and_recorded_as_a_gap() -> Result<()> {
    let site = Site::start(Path::new(env!("CARGO_BIN_EXE_swiftwal")))?;
    let server = &site.postgres;
    server.configure(&["archive_command = '/bin/true'", "max_wal_size = 32MB", "min_wal_size = 32MB"])?;
    server.reload()?;
    let mut receiver = Receiver::start(&site, &[])?;
    wait_until_stored(&mut receiver, server)?;
    receiver.stop()?;
    let before = stored_segments(&site)?;
    until("the slot is free", || Ok(server.sql("select active from pg_replication_slots")? == "f"))?;
    server.sql("select pg_drop_replication_slot('swiftwal')")?;
    server.sql("checkpoint")?;
    let mut missing = Vec::new();
    for table in ["a", "b", "c"] {
        server.sql(&format!("create table {table} as select 1"))?;
        missing.push(server.sql("select pg_walfile_name(pg_switch_wal())")?);
    }
    until("the server has removed them", || {
        server.sql("select pg_switch_wal()")?;
        server.sql("checkpoint")?;
        Ok(missing.iter().all(|name| !server.data().join("pg_wal").join(name).exists()))
    })?;

    let mut receiver = Receiver::start(&site, &[])?;
    receiver.until_said("the server has removed WAL that isn't stored")?;
    wait_until_stored(&mut receiver, server)?;
    let after = stored_segments(&site)?;
    let (last, first_after) =
        (before.last().context("none")?, after.iter().find(|name| !before.contains(name)));
    let first_after = first_after.context("nothing behind the gap")?;
    assert!(last < &missing[0] && &missing[2] < first_after, "{before:?} {after:?}");
    let listed = site.run(&["-v", "list-wal"])?;
    let first_missing = &missing[0];
    assert!(listed.contains(&format!("Missing: {first_missing} to ")), "{listed}");
    receiver.stop()?;
    Ok(())
}

fn stored_segments(site: &Site) -> Result<Vec<String>> {
    Ok(site.run(&["list-wal"])?.lines().filter(|name| name.len() == 24).map(str::to_owned).collect())
}
