//! TLS: each `sslmode`, and client certificates.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use anyhow::{Context, Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256};
use swiftwal_postgres::replication::{Limits, ReplicationError, Session};

use crate::{
    certificates::Authority,
    server::{Server, config, connect, refusal},
};

/// Returns whether the server says that a session is encrypted.
async fn is_encrypted(server: &Server, session: &mut Session) -> Result<bool> {
    let name = session.show("application_name").await?;
    let encrypted = "select ssl from pg_stat_ssl join pg_stat_activity using (pid) where application_name";
    Ok(server.postgres.sql(&format!("{encrypted} = '{name}'"))? == "t")
}

async fn connects_encrypted(server: &Server, role: &str, mode: &str) -> Result<bool> {
    let settings = format!("{} sslmode={mode} application_name={mode}_{role}", server.remote(role));
    let mut session = connect(&settings).await.with_context(|| format!("{mode} {role}"))?;
    let encrypted = is_encrypted(server, &mut session).await?;
    session.end().await?;
    Ok(encrypted)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn each_mode_uses_tls_as_libpq_does() -> Result<()> {
    let server = Server::start(&[])?.with_roles()?;
    // Without a certificate the server has no TLS.
    for mode in ["disable", "allow", "prefer"] {
        assert!(!connects_encrypted(&server, "scram", mode).await?, "{mode}");
    }
    let error = refusal(&format!("{} sslmode=require", server.remote("scram"))).await;
    assert!(error.to_string().ends_with("server does not support SSL, but SSL was required"), "{error}");

    server.certify(&Authority::new(&PKCS_ECDSA_P256_SHA256)?)?;
    for (role, mode, expected) in [
        ("scram", "disable", false),
        ("scram", "allow", false),
        ("encrypted", "allow", true),
        ("scram", "prefer", true),
        ("unencrypted", "prefer", false),
        ("scram", "require", true),
    ] {
        assert_eq!(connects_encrypted(&server, role, mode).await?, expected, "{mode} {role}");
    }
    for (role, mode) in [("encrypted", "disable"), ("unencrypted", "require")] {
        let error = refusal(&format!("{} sslmode={mode}", server.remote(role))).await;
        assert_eq!(error.code(), Some("28000"), "{error}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn the_authority_and_the_name_are_verified() -> Result<()> {
    let server = Server::start(&[])?.with_roles()?;
    let authority = Authority::new(&PKCS_ECDSA_P256_SHA256)?;
    server.certify(&authority)?;
    let ours = server.private_file("ours.crt", &authority.pem())?;
    let other = server.private_file("other.crt", &Authority::new(&PKCS_ECDSA_P256_SHA256)?.pem())?;
    let remote = server.remote("scram");
    let named = |name: &str| remote.replace("host=localhost", &format!("host={name}"));
    for mode in ["verify-ca", "verify-full"] {
        connect(&format!("{remote} sslmode={mode} sslrootcert={}", ours.display())).await?;
        let error = refusal(&format!("{remote} sslmode={mode} sslrootcert={}", other.display())).await;
        assert!(
            error.to_string().ends_with("no authority in sslrootcert has signed the server's certificate"),
            "{error}"
        );
    }
    // With a root certificate, `require` is as strict as `verify-ca`.
    let error = refusal(&format!("{remote} sslmode=require sslrootcert={}", other.display())).await;
    assert!(matches!(error, ReplicationError::Tls { .. }), "{error}");
    connect(&format!("{remote} sslmode=prefer sslrootcert={}", other.display())).await?;

    let ours = ours.display();
    connect(&format!("{} sslmode=verify-ca sslrootcert={ours}", named("elsewhere"))).await?;
    let error = refusal(&format!("{} sslmode=verify-full sslrootcert={ours}", named("elsewhere"))).await;
    assert!(error.to_string().ends_with("the server's certificate isn't for this host"), "{error}");
    let only_address = remote.replace("host=localhost", "");
    let error = refusal(&format!("{only_address} sslmode=verify-full sslrootcert={ours}")).await;
    assert!(error.to_string().contains("host name must be specified"), "{error}");
    let error = refusal(&format!("{remote} sslmode=verify-ca sslrootcert=/nonexistent")).await;
    assert!(error.to_string().contains("root certificate file \"/nonexistent\" does not exist"), "{error}");
    connect(&format!("{} sslmode=verify-full", server.local())).await?;
    let error = refusal(&format!("{remote} sslrootcert=system")).await;
    assert!(matches!(error, ReplicationError::Tls { .. }), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_self_signed_certificate_is_trusted_if_it_is_given() -> Result<()> {
    let server = Server::start(&[])?.with_roles()?;
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // As `openssl req -x509 -subj /CN=localhost` makes it: no other name than the common one.
    params.distinguished_name.push(DnType::CommonName, "localhost");
    let certificate = params.self_signed(&key)?.pem();
    server.use_certificate(&certificate, &key.serialize_pem(), &Authority::new(&PKCS_ECDSA_P256_SHA256)?)?;
    let roots = server.private_file("self.crt", &certificate)?;
    let remote = server.remote("scram");
    connect(&format!("{remote} sslmode=verify-full channel_binding=require sslrootcert={}", roots.display()))
        .await?;
    connect(&format!("{remote} sslmode=require")).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn without_the_list_of_revoked_certificates_nothing_is_verified() -> Result<()> {
    let server = Server::start(&[])?.with_roles()?;
    let authority = Authority::new(&PKCS_ECDSA_P256_SHA256)?;
    server.certify(&authority)?;
    let home = server.scratch.directory("home")?;
    fs::create_dir(home.join(".postgresql"))?;
    fs::write(home.join(".postgresql/root.crt"), authority.pem())?;
    let home = home.display().to_string();
    let connected = async || {
        let settings = config(&format!("{} sslmode=require", server.remote("scram")), &[("HOME", &home)])?;
        Session::connect(&settings, Limits::default()).await
    };
    connected().await?;
    fs::write(format!("{home}/.postgresql/root.crl"), "")?;
    let error = connected().await.map(drop).expect_err("the list is ignored");
    assert!(error.to_string().contains("sslcrl") && error.hint().is_some(), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_wrong_password_is_sent_once_to_a_server_without_tls() -> Result<()> {
    let server = Server::start(&[])?.with_roles()?;
    for mode in ["disable", "allow", "prefer"] {
        let before = server.postgres.log()?.matches("password authentication failed").count();
        refusal(&format!("{} password=wrong sslmode={mode}", server.remote("scram"))).await;
        let after = server.postgres.log()?.matches("password authentication failed").count();
        assert_eq!(after - before, 1, "{mode}");
    }
    Ok(())
}

/// OpenSSL makes certificates of version 1 if no extensions are asked for, as in PostgreSQL's manual.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_certificate_of_version_1_is_good_for_encryption_and_binding_but_not_verified() -> Result<()> {
    let server = Server::start(&[])?.with_roles()?;
    let script = "openssl req -new -nodes -subj /CN=localhost -newkey rsa:2048 -keyout v1.key -out v1.csr && \
        openssl x509 -req -in v1.csr -signkey v1.key -out v1.crt";
    let made = Command::new("sh").args(["-c", script]).current_dir(server.scratch.path()).output()?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let read = |name: &str| fs::read_to_string(server.scratch.path().join(name));
    server.use_certificate(&read("v1.crt")?, &read("v1.key")?, &Authority::new(&PKCS_ECDSA_P256_SHA256)?)?;
    let remote = server.remote("scram");
    for versions in ["ssl_max_protocol_version=TLSv1.2", "ssl_min_protocol_version=TLSv1.3"] {
        connect(&format!("{remote} sslmode=require channel_binding=require {versions}")).await?;
    }
    let roots = server.scratch.path().join("v1.crt");
    let error = refusal(&format!("{remote} sslmode=verify-ca sslrootcert={}", roots.display())).await;
    assert!(error.to_string().contains("has version 1, which can't be verified"), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_client_is_known_by_its_certificate() -> Result<()> {
    let server = Server::start(&[])?.with_roles()?;
    let authority = Authority::new(&PKCS_ECDSA_P256_SHA256)?;
    server.certify(&authority)?;
    let (certificate, key) = authority.issue("certified", &[])?;
    let certificate = server.private_file("client.crt", &certificate.pem())?;
    let key = server.private_file("client.key", &key.serialize_pem())?;
    let with = |role: &str| {
        format!(
            "{} sslmode=require sslcert={} sslkey={}",
            server.remote(role),
            certificate.display(),
            key.display()
        )
    };
    connect(&with("certified")).await?;
    let error = refusal(&format!("{} sslcertmode=disable", with("certified"))).await;
    assert!(error.to_string().contains("connection requires a valid client certificate"), "{error}");

    let error = refusal(&format!("{} sslkey=/nonexistent", with("certified"))).await;
    assert!(error.to_string().contains("certificate present, but not private key file"), "{error}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644))?;
    let error = refusal(&with("certified")).await;
    assert!(error.to_string().contains("has group or world access"), "{error}");
    fs::write(&key, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")?;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
    let error = refusal(&with("certified")).await;
    assert!(error.to_string().contains("sslpassword") && error.hint().is_some(), "{error}");
    Ok(())
}
