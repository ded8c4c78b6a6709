//! The commands that return at once, and cancelling.

use std::time::Duration;

use anyhow::{Context, Result};
use rcgen::PKCS_ECDSA_P256_SHA256;
use swiftwal_postgres::{
    Timeline,
    replication::{BackupOptions, BaseBackup, ReplicationError, SlotOptions},
};
use xtask::until;

use crate::{
    certificates::Authority,
    server::{Server, connect, refusal},
};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn the_server_says_who_it_is_and_how_it_is_set() -> Result<()> {
    let server = Server::start(&[])?;
    let mut session = connect(&server.local()).await?;
    let identity = session.identify_system().await?;
    let expected = server.postgres.sql("select system_identifier from pg_control_system()")?;
    assert_eq!(identity.system_identifier.to_string(), expected);
    assert_eq!(identity.timeline, Timeline::FIRST);
    assert!(identity.flushed.0 > 0);
    assert_eq!(session.show("wal_segment_size").await?, "16MB");
    assert_eq!(session.show("block_size").await?, "8192");
    assert_eq!(session.show("segment_size").await?, "1GB");
    assert_eq!(session.version().to_string(), session.show("server_version_num").await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn after_an_error_of_the_server_the_session_goes_on() -> Result<()> {
    let server = Server::start(&[])?;
    let mut session = connect(&server.local()).await?;
    let error = session.show("no_such_setting").await.expect_err("there is no such setting");
    assert_eq!(error.code(), Some("42704"), "{error}");
    let error = session.timeline_history(Timeline::FIRST).await.expect_err("there is no such file");
    assert!(matches!(error, ReplicationError::Server(_)), "{error}");
    assert_eq!(session.show("wal_level").await?, "replica");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn slots_are_created_read_and_dropped() -> Result<()> {
    let server = Server::start(&[])?;
    let mut session = connect(&server.local()).await?;
    session.create_slot("idle", SlotOptions::default()).await?;
    session.create_slot("keeps", SlotOptions { reserve_wal: true, temporary: false }).await?;
    session.create_slot("temporary", SlotOptions { reserve_wal: true, temporary: true }).await?;
    assert_eq!(session.read_slot("missing").await?, None);
    assert_eq!(session.read_slot("idle").await?.context("a slot")?.restart, None);
    let keeps = session.read_slot("keeps").await?.context("a slot")?;
    let restart =
        server.postgres.sql("select restart_lsn from pg_replication_slots where slot_name = 'keeps'")?;
    assert_eq!(keeps.restart.map(|lsn| lsn.to_string()), Some(restart));
    assert_eq!(keeps.timeline, Some(Timeline::FIRST));
    let error = session.create_slot("keeps", SlotOptions::default()).await.expect_err("it exists");
    assert_eq!(error.code(), Some("42710"), "{error}");
    let error = session.create_slot("a b", SlotOptions::default()).await.expect_err("no such name");
    assert_eq!(error.code(), Some("42602"), "{error}");
    let error = session.create_slot("a\" PHYSICAL", SlotOptions::default()).await.expect_err("no such name");
    assert!(error.to_string().contains("can't be the name of a slot"), "{error}");
    session.drop_slot("keeps").await?;
    assert_eq!(session.read_slot("keeps").await?, None);
    session.end().await?;
    assert_eq!(server.postgres.sql("select string_agg(slot_name, ' ') from pg_replication_slots")?, "idle");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_promoted_server_has_a_history() -> Result<()> {
    let server = Server::start(&[])?;
    server.postgres.stop()?;
    std::fs::write(server.postgres.data().join("standby.signal"), "")?;
    server.postgres.start()?;
    server.postgres.promote()?;
    let mut session = connect(&server.local()).await?;
    let identity = session.identify_system().await?;
    assert_eq!(identity.timeline.get(), 2);
    let history = session.timeline_history(identity.timeline).await?;
    assert_eq!(history, std::fs::read(server.postgres.data().join("pg_wal/00000002.history"))?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn another_connection_cancels_what_a_session_waits_for() -> Result<()> {
    // A spread checkpoint takes minutes: the backup waits for it.
    let server =
        Server::start(&["checkpoint_timeout = 1h", "checkpoint_completion_target = 0.9"])?.with_roles()?;
    server.certify(&Authority::new(&PKCS_ECDSA_P256_SHA256)?)?;
    server.postgres.pgbench_init(1)?;
    for settings in [server.local(), format!("{} sslmode=require", server.remote("scram"))] {
        let session = connect(&settings).await?;
        let token = session.cancel_token();
        let options = BackupOptions::new("cancelled");
        let backup = tokio::spawn(async move { BaseBackup::start(session, &options).await });
        let waiting = "select count(*) from pg_stat_progress_basebackup where phase = 'waiting for checkpoint to finish'";
        until("the backup waits", || Ok(server.postgres.sql(waiting)? == "1"))?;
        assert!(token.cancel().await?);
        let error =
            tokio::time::timeout(Duration::from_secs(60), backup).await??.expect_err("it was cancelled");
        assert_eq!(error.code(), Some("57014"), "{error}");
        until("it is gone", || Ok(server.postgres.sql("select count(*) from pg_stat_replication")? == "0"))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_server_without_room_says_so_and_has_room_after_the_end_of_a_session() -> Result<()> {
    let server = Server::start(&["max_wal_senders = 1"])?;
    for _ in 0..20 {
        let first = connect(&server.local()).await?;
        let error = refusal(&server.local()).await;
        assert_eq!(error.code(), Some("53300"), "{error}");
        // When it returns, there is room.
        first.end().await?;
    }
    Ok(())
}
