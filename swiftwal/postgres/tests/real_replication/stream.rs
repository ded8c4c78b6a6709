//! Streams of WAL.

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use jiff::Timestamp;
use swiftwal_postgres::{
    Lsn, Timeline,
    replication::{
        Limits, ReplicationError, Session, SlotOptions, StreamOptions, WalEvent, WalStatus, WalStream,
    },
};
use tokio::time::timeout;
use xtask::{Installation, Scratch, stdout, until};

use crate::server::{Server, config, connect, limits};

const SEGMENT: u64 = 16 << 20;

/// Far longer than anything here takes.
const SOON: Duration = Duration::from_secs(60);

fn clock() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

/// Begins to stream at the start of the segment that is being written.
async fn streaming(mut session: Session, slot: Option<&str>) -> Result<(WalStream, Lsn)> {
    let flushed = session.identify_system().await?.flushed;
    let start = Lsn(flushed.0 - flushed.0 % SEGMENT);
    let mut options = StreamOptions::new(start, Timeline::FIRST, clock);
    options.slot = slot.map(str::to_owned);
    Ok((WalStream::start(session, &options).await?, start))
}

/// Receives WAL from `start` until `end`.
async fn receive(stream: &mut WalStream, start: Lsn, end: Lsn) -> Result<Vec<u8>> {
    let mut wal = Vec::new();
    while start.0 + (wal.len() as u64) < end.0 {
        match timeout(SOON, stream.next()).await??.context("the end")? {
            WalEvent::Wal(received) => {
                assert_eq!(received.start.0, start.0 + wal.len() as u64);
                wal.extend_from_slice(&received.data);
            }
            WalEvent::Keepalive { .. } => {}
            other => anyhow::bail!("{other:?}"),
        }
    }
    Ok(wal)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn the_wal_is_that_of_the_server_and_a_report_moves_the_slot() -> Result<()> {
    let server = Server::start(&["wal_keep_size = 1GB"])?;
    let mut session = connect(&server.local()).await?;
    session.create_slot("ours", SlotOptions { reserve_wal: true, temporary: false }).await?;
    let (mut stream, start) = streaming(session, Some("ours")).await?;
    server.postgres.pgbench_init(1)?;
    let name = server.postgres.sql("select pg_walfile_name(pg_switch_wal())")?;
    let first = u64::from_str_radix(&name[16..], 16)? * SEGMENT;
    let end = Lsn(first + SEGMENT);
    let wal = receive(&mut stream, start, end).await?;
    let segment = fs::read(server.postgres.data().join("pg_wal").join(&name))?;
    assert!(wal[usize::try_from(first - start.0)?..][..segment.len()] == segment[..]);

    let reporter = stream.reporter();
    let status = WalStatus { written: Some(end), flushed: Some(end), applied: None };
    assert!(reporter.report(status).await?);
    let slot = format!("select restart_lsn = '{end}' from pg_replication_slots");
    until("the slot has moved", || Ok(server.postgres.sql(&slot)? == "t"))?;
    let shown = server.postgres.sql("select reply_time = 'epoch' from pg_stat_replication")?;
    assert_eq!(shown, "t");

    let mut session = timeout(SOON, stream.stop()).await??;
    assert!(!reporter.report(status).await?, "the stream has ended");
    assert_eq!(session.read_slot("ours").await?.context("a slot")?.restart, Some(end));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn at_the_end_of_a_timeline_the_session_goes_on_with_the_next_one() -> Result<()> {
    let scratch = Scratch::new(Installation::ensure()?)?;
    let primary = Server::start_in(&scratch, "primary", &[])?;
    let copy = scratch.path().join("standby");
    stdout(primary.postgres.client("pg_basebackup").args(["-c", "fast", "-R", "-D"]).arg(&copy))?;
    let standby = Server::open(&scratch, &copy)?;
    let (mut stream, _) = streaming(connect(&standby.local()).await?, None).await?;
    standby.postgres.promote()?;
    let (next, branch) = loop {
        match timeout(SOON, stream.next()).await??.context("the end")? {
            WalEvent::EndOfTimeline { next, branch } => break (next, branch),
            WalEvent::Wal(_) | WalEvent::Keepalive { .. } => {}
            other => anyhow::bail!("{other:?}"),
        }
    };
    assert_eq!(next.get(), 2);
    assert_eq!(stream.next().await?, None);

    // Where nothing of the old timeline is left, the server says so at once.
    let options = StreamOptions::new(branch, Timeline::FIRST, clock);
    let mut stream = WalStream::start(stream.into_session(), &options).await?;
    assert_eq!(stream.next().await?, Some(WalEvent::EndOfTimeline { next, branch }));

    let options = StreamOptions::new(branch, next, clock);
    let mut stream = WalStream::start(stream.into_session(), &options).await?;
    standby.postgres.sql("select pg_switch_wal()")?;
    let wal = receive(&mut stream, branch, Lsn(branch.0 + 1)).await?;
    assert!(!wal.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn an_idle_server_is_asked_for_a_sign_of_life() -> Result<()> {
    let server = Server::start(&["wal_sender_timeout = 0", "autovacuum = off"])?;
    // Nothing of the server's own makes it talk.
    let settings = config(&server.local(), &[])?;
    let session = Session::connect(&settings, limits(Duration::from_secs(2))).await?;
    let (mut stream, _) = streaming(session, None).await?;
    let mut keepalives = 0;
    while keepalives < 3 {
        if let WalEvent::Keepalive { .. } = timeout(SOON, stream.next()).await??.context("the end")? {
            keepalives += 1;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_server_that_shuts_down_ends_the_stream_once_all_is_flushed() -> Result<()> {
    let server = Server::start(&[])?;
    let (mut stream, start) = streaming(connect(&server.local()).await?, None).await?;
    let reporter = stream.reporter();
    let stopping = tokio::task::spawn_blocking(move || server.postgres.stop().map(|()| server));
    let mut received = start;
    let error = loop {
        let event = timeout(SOON, stream.next()).await?;
        match event {
            Ok(Some(WalEvent::Wal(wal))) => received = Lsn(wal.start.0 + wal.data.len() as u64),
            Ok(Some(WalEvent::Keepalive { .. })) => {}
            Ok(other) => anyhow::bail!("{other:?}"),
            Err(error) => break error,
        }
        let status = WalStatus { written: Some(received), flushed: Some(received), applied: None };
        // The server may have closed the connection by then.
        if let Err(error) = reporter.report(status).await {
            assert!(matches!(error, ReplicationError::Lost { .. }), "{error:?}");
        }
    };
    // A busy server may end the connection before its own end of the stream.
    let is_shutdown = match &error {
        ReplicationError::Closed { .. } => true,
        ReplicationError::Server(message) => message.code == "57P01",
        _ => false,
    };
    assert!(is_shutdown, "{error:?}");
    stopping.await??;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn wal_that_the_server_does_not_have_is_its_error() -> Result<()> {
    let server = Server::start(&[])?;
    let session = connect(&server.local()).await?;
    let beyond = StreamOptions::new(Lsn(0x7_0000_0000), Timeline::FIRST, clock);
    let mut stream = WalStream::start(session, &beyond).await?;
    let error = timeout(SOON, stream.next()).await?.expect_err("it is beyond the end");
    assert!(error.to_string().contains("ahead of the WAL flush position"), "{error}");
    let session = Session::connect(&config(&server.local(), &[])?, Limits::default()).await?;
    let mut missing = StreamOptions::new(Lsn(0), Timeline::FIRST, clock);
    missing.slot = Some("missing".to_owned());
    let error = WalStream::start(session, &missing).await.map(drop).expect_err("there is no such slot");
    assert_eq!(error.code(), Some("42704"), "{error}");
    Ok(())
}
