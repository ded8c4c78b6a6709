//! Every kind of authentication.

use anyhow::Result;
use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use swiftwal_postgres::replication::{Limits, ReplicationError, Session};

use crate::{
    certificates::Authority,
    server::{Server, config, connect, refusal},
};

const INVALID_PASSWORD: &str = "28P01";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn passwords_are_proven_by_scram_and_md5_and_wrong_ones_refused() -> Result<()> {
    let server = Server::start(&[])?.with_roles()?;
    for role in ["scram", "md5", "trusted"] {
        let mut session = connect(&server.remote(role)).await?;
        assert!(session.identify_system().await?.system_identifier > 0, "{role}");
        session.end().await?;
    }
    for role in ["scram", "md5"] {
        let error = refusal(&format!("{} password=wrong", server.remote(role))).await;
        assert_eq!(error.code(), Some(INVALID_PASSWORD), "{error}");
        assert_eq!(
            error.to_string(),
            format!("FATAL: password authentication failed for user \"{role}\" (SQLSTATE 28P01)")
        );
        let error = refusal(&format!("{} password=''", server.remote(role))).await;
        assert!(error.to_string().contains("no password supplied"), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains(".pgpass")), "{error:?}");
    }
    let error = refusal(&server.remote("ident")).await;
    assert!(
        error.code() == Some("28000") && error.to_string().contains("Ident authentication failed"),
        "{error}"
    );
    let error = refusal(&server.remote("nobody")).await;
    assert!(error.code() == Some("28000") && error.to_string().contains("no pg_hba.conf entry"), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_password_in_clear_text_goes_only_over_tls_or_a_socket() -> Result<()> {
    let server = Server::start(&[])?.with_roles()?;
    let authority = Authority::new(&PKCS_ECDSA_P256_SHA256)?;
    server.certify(&authority)?;
    let error = refusal(&format!("{} sslmode=disable", server.remote("clear"))).await;
    assert!(error.to_string().contains("clear text over an unencrypted connection"), "{error}");
    connect(&format!("{} sslmode=require", server.remote("clear"))).await?;
    let local = format!("{} user=clear password=clear", server.local());
    connect(&local).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn scram_is_bound_to_the_channel_if_the_certificate_names_a_hash() -> Result<()> {
    let server = Server::start(&[])?.with_roles()?;
    for (algorithm, binds) in
        [(&PKCS_ECDSA_P256_SHA256, true), (&PKCS_ECDSA_P384_SHA384, true), (&PKCS_ED25519, false)]
    {
        server.certify(&Authority::new(algorithm)?)?;
        let settings = format!("{} sslmode=require", server.remote("scram"));
        for binding in ["disable", "prefer"] {
            connect(&format!("{settings} channel_binding={binding}")).await?;
        }
        let bound = connect(&format!("{settings} channel_binding=require")).await;
        match bound {
            Ok(_) => assert!(binds, "{algorithm:?}"),
            Err(error) => {
                assert!(
                    !binds && error.to_string().contains("names no single hash"),
                    "{algorithm:?}: {error}"
                );
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn required_channel_binding_refuses_everything_else() -> Result<()> {
    let server = Server::start(&[])?.with_roles()?;
    server.certify(&Authority::new(&PKCS_ECDSA_P256_SHA256)?)?;
    let encrypted = "sslmode=require channel_binding=require";
    for (role, settings, problem) in [
        ("scram", "sslmode=disable channel_binding=require", "channel binding required, but SSL not in use"),
        ("md5", encrypted, "not supported by server's authentication request"),
        ("clear", encrypted, "not supported by server's authentication request"),
        ("trusted", encrypted, "server authenticated client without channel binding"),
    ] {
        let error = refusal(&format!("{} {settings}", server.remote(role))).await;
        let is_authentication = matches!(error, ReplicationError::Authentication { .. });
        assert!(is_authentication && error.to_string().contains(problem), "{role}: {error}");
    }
    let socket = format!("{} channel_binding=require", server.local());
    assert!(refusal(&socket).await.to_string().contains("without channel binding"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn settings_come_from_password_file_service_and_environment() -> Result<()> {
    let server = Server::start(&[])?.with_roles()?;
    let (address, port) = (&server.address, server.port());
    let passwords = server.private_file(
        "pgpass",
        &format!("{address}:{port}:postgres:scram:no\n{address}:{port}:replication:scram:scram\n"),
    )?;
    let services =
        server.private_file("services", &format!("[main]\nhost={address}\nport={port}\nuser=scram\n"))?;
    let (passwords, services) = (passwords.display().to_string(), services.display().to_string());
    let variables =
        [("PGPASSFILE", passwords.as_str()), ("PGSERVICEFILE", services.as_str()), ("PGSERVICE", "main")];
    let mut session = Session::connect(&config("", &variables)?, Limits::default()).await?;
    session.identify_system().await?;

    let variables = [
        ("PGHOST", address.as_str()),
        ("PGPORT", &port),
        ("PGUSER", "scram"),
        ("PGPASSWORD", "scram"),
        ("PGAPPNAME", "a test"),
        ("PGOPTIONS", "-c work_mem=7MB"),
    ];
    let mut session = Session::connect(&config("", &variables)?, Limits::default()).await?;
    assert_eq!(
        (session.show("application_name").await?.as_str(), session.show("work_mem").await?.as_str()),
        ("a test", "7MB")
    );
    let uri = format!("postgresql://scram:scram@{address}:{port}/?sslmode=disable");
    connect(&uri).await?;
    Ok(())
}
