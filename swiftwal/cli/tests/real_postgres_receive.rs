//! `receive-wal`: what is stored is what the server wrote, whatever is interrupted.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use xtask::{Place, Postgres, Site, stdout, until};

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
        a_slot_that_the_server_has_invalidated_is_created_again;
}

/// The documented limit of its memory, in KiB.
const MOST_KIB: u64 = 64 << 10;

/// A receive-wal in the background; killed when dropped.
struct Receiver {
    child: Child,
    said: PathBuf,
}

impl Receiver {
    /// Starts it, and waits until the server streams to it.
    fn start(site: &Site, options: &[&str]) -> Result<Self> {
        let mut receiver = Self::begin(site, &site.postgres, options)?;
        receiver.wait_for_stream(&site.postgres)?;
        Ok(receiver)
    }

    fn begin(site: &Site, server: &Postgres, options: &[&str]) -> Result<Self> {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let said = site.scratch.path().join(format!("receive-wal-{number}"));
        let arguments = [&["-v", "receive-wal", "--create-slot"], options].concat();
        let mut command = site.swiftwal.command(&arguments);
        command.envs(server.environment()).stderr(File::create(&said)?);
        Ok(Self { child: command.spawn()?, said })
    }

    fn wait_for_stream(&mut self, server: &Postgres) -> Result<()> {
        self.until("the server streams", || Ok(streams(server)? == "1"))
    }

    /// Waits, as long as it runs.
    fn until(&mut self, what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
        until(what, || {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended with {status}: {}", self.said()?);
            }
            condition()
        })
        .with_context(|| self.said().unwrap_or_default())
    }

    /// Waits until it has said something.
    fn until_said(&mut self, text: &str) -> Result<()> {
        let said = self.said.clone();
        self.until(text, || Ok(fs::read_to_string(&said)?.contains(text)))
    }

    /// Returns the most memory that it has had, in KiB.
    fn most_memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
        Ok(peak.trim().trim_end_matches(" kB").parse()?)
    }

    fn said(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.said)?)
    }

    /// Stops it by SIGTERM, which is a success.
    fn stop(mut self) -> Result<String> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let status = self.child.wait()?;
        let said = self.said()?;
        ensure!(status.code() == Some(0), "{status}: {said}");
        Ok(said)
    }

    fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop).map_err(Into::into)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns how many receivers stream from the server.
fn streams(server: &Postgres) -> Result<String> {
    server.sql(
        "select count(*) from pg_stat_replication where application_name = 'swiftwal' and state = 'streaming'",
    )
}

/// Makes the server keep its WAL for the comparison, and archive nothing.
fn keep_wal(server: &Postgres) -> Result<()> {
    server.configure(&["archive_command = '/bin/true'", "wal_keep_size = 2GB"])?;
    server.reload()
}

/// Ends the current segment, and waits until the server knows that it is stored.
fn wait_until_stored(receiver: &mut Receiver, server: &Postgres) -> Result<()> {
    let end = server.sql("select pg_switch_wal()")?;
    let flushed = format!("select count(*) from pg_stat_replication where flush_lsn >= '{end}'");
    receiver.until("the WAL is stored", || Ok(server.sql(&flushed)? == "1"))
}

/// Compares what is stored with the server's files: every segment from the first stored one on, up to the one that is being
/// written. Returns how many they are.
fn compare(site: &Site, server: &Postgres) -> Result<usize> {
    let current = server.sql("select pg_walfile_name(pg_current_wal_insert_lsn())")?;
    let timeline = &current[..8];
    let listed = site.run(&["list-wal"])?;
    let first = listed
        .lines()
        .find(|name| name.len() == 24 && name.starts_with(timeline))
        .with_context(|| format!("nothing is stored: {listed}"))?;
    let mut names: Vec<String> = fs::read_dir(server.data().join("pg_wal"))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    names.retain(|name| {
        name.len() == 24 && name.as_str() >= first && *name < current && name.starts_with(timeline)
    });
    let fetched = site.scratch.path().join("fetched");
    for name in &names {
        site.run(&["restore-wal", name, &fetched.to_string_lossy()])?;
        let is_same = fs::read(&fetched)? == fs::read(server.data().join("pg_wal").join(name))?;
        ensure!(is_same, "{name} differs");
    }
    Ok(names.len())
}

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

    let copy = site.scratch.path().join("standby");
    stdout(server.client("pg_basebackup").args(["-c", "fast", "-R", "-D"]).arg(&copy))?;
    let standby = Postgres::open(&site.scratch, &copy);
    standby.start()?;
    let mut command = site.swiftwal.command(&["receive-wal", "--create-slot"]);
    refused(command.envs(standby.environment()), "the server is a standby")?;
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

/// The receiver is a synchronous standby, and the server's directory is gone afterwards: only the repository and the spool
/// remain.
fn no_acknowledged_commit_is_lost_with_the_server_and_the_receiver(site: &Site) -> Result<()> {
    let server = &site.postgres;
    server.configure(&["archive_command = '/bin/true'"])?;
    server.reload()?;
    server.sql("create table committed (client int, number int)")?;
    let mut receiver = Receiver::start(site, &["--partial-interval", "0"])?;
    site.run(&["backup", "-c", "fast", "--xlog"])?;
    server.configure(&["synchronous_standby_names = 'swiftwal'", "synchronous_commit = remote_write"])?;
    server.reload()?;
    let is_sync = "select count(*) from pg_stat_replication where sync_state = 'sync'";
    receiver.until("it is a synchronous standby", || Ok(server.sql(is_sync)? == "1"))?;

    let clients: Vec<_> = (0..4).map(|client| Client::start(server, client)).collect::<Result<_>>()?;
    receiver.until("every client has commits", || {
        Ok(server.sql(
            "select count(*) from (select client from committed group by client having count(*) > 50) t",
        )? == "4")
    })?;
    server.kill_all()?;
    receiver.kill()?;
    let acknowledged = clients.into_iter().map(Client::acknowledged).collect::<Result<Vec<_>>>()?;
    assert!(acknowledged.iter().all(|last| *last >= 50), "{acknowledged:?}");

    site.swiftwal.run(&["receive-wal", "--drain"])?;
    let restored = site.restore("restored", "latest", &["--use-partial", "--archive-mode", "off"])?;
    restored.configure(&["synchronous_standby_names = ''"])?;
    restored.start()?;
    restored.wait_for_promotion()?;
    for (client, last) in acknowledged.iter().enumerate() {
        let there = format!("select count(*) from committed where client = {client} and number <= {last}");
        assert_eq!(restored.sql(&there)?, last.to_string(), "client {client}");
    }
    Ok(())
}

/// A client that commits one row after the other, and records what the server has acknowledged.
struct Client {
    psql: Child,
    acknowledged: PathBuf,
}

impl Client {
    fn start(server: &Postgres, client: usize) -> Result<Self> {
        let file = |name: &str| server.data().with_extension(format!("{name}-{client}"));
        let (script, acknowledged) = (file("script"), file("acknowledged"));
        let statements = (1..=100_000)
            .map(|number| format!("insert into committed values ({client}, {number}) returning number;\n"));
        fs::write(&script, statements.collect::<String>())?;
        fs::set_permissions(&script, Permissions::from_mode(0o644))?;
        let mut psql = server.client("psql");
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-f"]).arg(&script);
        psql.stdout(File::create(&acknowledged)?).stderr(Stdio::null());
        Ok(Self { psql: psql.spawn()?, acknowledged })
    }

    /// Waits for its end, and returns the number of the last commit that was acknowledged.
    fn acknowledged(mut self) -> Result<u64> {
        self.psql.wait()?;
        let lines = fs::read_to_string(&self.acknowledged)?;
        Ok(lines.lines().last().context("nothing was acknowledged")?.parse()?)
    }
}
