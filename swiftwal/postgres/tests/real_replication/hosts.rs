//! Several hosts, sockets and addresses.

use std::{net::Ipv6Addr, sync::Arc, time::Duration};

use anyhow::Result;
use swiftwal_postgres::replication::{ReplicationError, Session};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, UnixStream},
};
use xtask::{Installation, Scratch, stdout};

use crate::server::{Server, config, connect, limits, refusal};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn the_first_host_that_answers_is_used_and_a_refusal_ends_the_search() -> Result<()> {
    let server = Server::start(&[])?.with_roles()?;
    let closed = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port();
    let good = format!("hostaddr=127.0.0.1,{} port={closed},{}", server.address, server.port());
    connect(&format!("{good} user=trusted")).await?;
    connect(&format!(
        "host=/nonexistent,{} port={} user=postgres",
        server.directory().display(),
        server.port()
    ))
    .await?;

    let error = refusal(&format!("hostaddr=127.0.0.1,127.0.0.1 port={closed}")).await;
    assert!(matches!(&error, ReplicationError::Hosts(errors) if errors.len() == 2), "{error:?}");
    assert!(error.to_string().matches("Connection refused").count() == 2, "{error}");
    let twice = format!("hostaddr={0},{0} port={1}", server.address, server.port());
    let error = refusal(&format!("{twice} user=scram password=wrong")).await;
    assert_eq!(error.code(), Some("28P01"), "{error:?}");
    let error = refusal("host=nonexistent.invalid").await;
    assert!(error.to_string().starts_with("can't connect to nonexistent.invalid:5432"), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn the_server_is_what_target_session_attrs_asks_for() -> Result<()> {
    let scratch = Scratch::new(Installation::ensure()?)?;
    let primary = Server::start_in(&scratch, "primary", &[])?;
    let copy = scratch.path().join("standby");
    let mut pg_basebackup = primary.postgres.client("pg_basebackup");
    stdout(pg_basebackup.args(["-c", "fast", "-R", "-D"]).arg(&copy))?;
    let standby = Server::open(&scratch, &copy)?;

    let directory = scratch.path().display();
    for order in [[&primary, &standby], [&standby, &primary]] {
        let ports = order.map(Server::port).join(",");
        for balance in ["disable", "random"] {
            let both = format!(
                "host={directory},{directory} port={ports} user=postgres load_balance_hosts={balance}"
            );
            for (attribute, expected) in [
                ("read-write", &primary),
                ("primary", &primary),
                ("read-only", &standby),
                ("standby", &standby),
                ("prefer-standby", &standby),
            ] {
                let session = connect(&format!("{both} target_session_attrs={attribute}")).await?;
                let in_recovery = session.parameter("in_hot_standby") == Some("on");
                assert_eq!(in_recovery, std::ptr::eq(expected, &raw const standby), "{attribute}");
            }
        }
    }
    connect(&format!("{} target_session_attrs=prefer-standby", primary.local())).await?;
    let error = refusal(&format!("{} target_session_attrs=standby", primary.local())).await;
    assert!(matches!(error, ReplicationError::Target { .. }), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn an_ipv6_address_is_reached() -> Result<()> {
    let server = Arc::new(Server::start(&[])?);
    let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await?;
    let port = listener.local_addr()?.port();
    let socket = server.directory().join(format!(".s.PGSQL.{}", server.port()));
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = UnixStream::connect(&socket).await?;
            tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
        }
        Ok::<_, std::io::Error>(())
    });
    for host in ["host=::1", "hostaddr=::1"] {
        connect(&format!("{host} port={port} user=postgres sslmode=disable")).await?;
    }
    connect(&format!("postgresql://postgres@[::1]:{port}?sslmode=disable")).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_silent_host_is_given_up_in_time_and_the_next_one_tried() -> Result<()> {
    let server = Server::start(&[])?.with_roles()?;
    let silent = TcpListener::bind("127.0.0.1:0").await?;
    let hosts = format!(
        "hostaddr=127.0.0.1,{} port={},{}",
        server.address,
        silent.local_addr()?.port(),
        server.port()
    );
    connect(&format!("{hosts} user=trusted connect_timeout=1")).await?;
    let alone = config(&format!("hostaddr=127.0.0.1 port={}", silent.local_addr()?.port()), &[])?;
    let error = Session::connect(&alone, limits(Duration::from_millis(200))).await.expect_err("it answers");
    assert!(
        matches!(error, ReplicationError::ConnectTimeout { .. } | ReplicationError::Tls { .. }),
        "{error:?}"
    );
    Ok(())
}
