//! Sessions with a scripted server, for what no real one can be made to play.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair};
use rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UnixListener},
    sync::mpsc,
};
use tokio_rustls::TlsAcceptor;

use super::{
    BackupEnd, BackupEvent, BackupOptions, BaseBackup, Limits, ReplicationError, Session, SqlSession,
    conninfo::{ConnInfo, ConnectConfig, Environment},
};

/// As long as a server may scan a large file without data in it.
const PAUSE: Duration = Duration::from_secs(9 * 60);

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[tag][..], &length, body].concat()
}

fn row(values: &[Option<&str>]) -> Vec<u8> {
    let mut body = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
    for value in values {
        let length = value.map_or(-1, |value| i32::try_from(value.len()).unwrap());
        body.extend_from_slice(&length.to_be_bytes());
        body.extend_from_slice(value.unwrap_or_default().as_bytes());
    }
    message(b'D', &body)
}

fn description() -> Vec<u8> {
    message(b'T', &[0, 0])
}

fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

fn accepted() -> Vec<u8> {
    [message(b'R', &[0; 4]), message(b'K', &[0, 0, 0, 1, 0, 0, 0, 2]), ready()].concat()
}

/// Returns the answer of a server that is asked for its version.
fn shown(version: &str) -> Vec<u8> {
    [description(), row(&[Some(version)]), message(b'C', b"SHOW\0"), ready()].concat()
}

/// Returns what a server of this version sends until it is ready.
fn greeting(version: &str) -> Vec<u8> {
    // An older protocol than was asked for, and a parameter.
    let negotiated = message(b'v', &[0, 3, 0, 0, 0, 0, 0, 0]);
    let accepted = [message(b'R', &[0; 4]), message(b'S', b"server_version\0x\0"), ready()].concat();
    [negotiated, accepted, shown(version)].concat()
}

/// Returns what a server of version 15 sends for a base backup.
fn base_backup() -> Vec<u8> {
    let start = [description(), row(&[Some("0/2000028"), Some("1")]), message(b'C', b"SELECT\0")].concat();
    let list = [description(), row(&[None, None, None]), message(b'C', b"SELECT\0")].concat();
    let archive = [message(b'd', b"nbase.tar\0\0"), message(b'd', b"dtar")].concat();
    let manifest = [message(b'd', b"m"), message(b'd', b"d{}")].concat();
    let copy = [message(b'H', &[0, 0, 0]), archive, manifest, message(b'c', b"")].concat();
    let end =
        [description(), row(&[Some("0/2000100"), Some("1")]), message(b'C', b"SELECT\0"), ready()].concat();
    [start, list, copy, end].concat()
}

/// Plays `script` to everyone who connects to a socket in the directory, and then closes the connection.
fn server(script: Vec<u8>) -> (TempDir, ConnectConfig) {
    server_with_pauses(vec![script])
}

/// As [`server`], for a server that is silent for [`PAUSE`] between the parts.
fn server_with_pauses(parts: Vec<Vec<u8>>) -> (TempDir, ConnectConfig) {
    let directory = TempDir::new().unwrap();
    let listener = UnixListener::bind(directory.path().join(".s.PGSQL.5432")).unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            for (number, part) in parts.iter().enumerate() {
                if number > 0 {
                    tokio::time::sleep(PAUSE).await;
                }
                let _ = client.write_all(part).await;
            }
            let _ = client.shutdown().await;
            let _ = tokio::io::copy(&mut client, &mut tokio::io::sink()).await;
        }
    });
    let settings = format!("host={} user=u password=p", directory.path().display());
    (directory, config(&settings))
}

/// Starts a server with TLS that sends `unencrypted` right after it has agreed. Returns the first bytes of each connection.
async fn tls_server(unencrypted: &[u8]) -> (ConnectConfig, mpsc::UnboundedReceiver<[u8; 8]>) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::default().self_signed(&key).unwrap();
    let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings =
        format!("host=127.0.0.1 port={} user=u sslmode=require", listener.local_addr().unwrap().port());
    let agreement = [b"S", unencrypted].concat();
    let (sender, first_messages) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut first = [0; 8];
            client.read_exact(&mut first).await.unwrap();
            let _ = sender.send(first);
            client.write_all(&agreement).await.unwrap();
            let Ok(mut client) = acceptor.accept(client).await else { continue };
            let _ = client.write_all(&[accepted(), shown("150004")].concat()).await;
            let _ = client.shutdown().await;
        }
    });
    (config(&settings), first_messages)
}

fn config(text: &str) -> ConnectConfig {
    ConnInfo::parse(text).unwrap().resolve(&Environment::default()).unwrap()
}

/// Connects to a server that plays `script`, and takes a base backup.
async fn backup(script: Vec<u8>) -> Result<(Vec<Bytes>, BackupEnd), ReplicationError> {
    let (_directory, config) = server(script);
    backup_of(&config).await
}

async fn backup_of(config: &ConnectConfig) -> Result<(Vec<Bytes>, BackupEnd), ReplicationError> {
    let session = Session::connect(config, Limits::default()).await?;
    let mut backup = BaseBackup::start(session, &BackupOptions::new("x")).await?;
    let mut data = Vec::new();
    loop {
        match backup.next().await? {
            Some(BackupEvent::Data(bytes) | BackupEvent::Manifest(bytes)) => data.push(bytes),
            Some(BackupEvent::End(end)) => return Ok((data, end)),
            Some(_) => {}
            None => panic!("it ended without an end"),
        }
    }
}

async fn refusal(script: Vec<u8>) -> String {
    let (_directory, config) = server(script);
    Session::connect(&config, Limits::default()).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_connection_that_breaks_anywhere_is_never_taken_for_a_backup() {
    let script = [greeting("150004"), base_backup()].concat();
    let (data, end) = backup(script.clone()).await.unwrap();
    assert_eq!(data, [&b"tar"[..], b"{}"]);
    assert_eq!((end.position.lsn.to_string().as_str(), end.damaged), ("0/2000100", None));
    for cut in 0..script.len() {
        let error = backup(script[..cut].to_vec()).await.unwrap_err();
        let is_lost = matches!(error, ReplicationError::Closed { .. } | ReplicationError::Lost { .. });
        assert!(is_lost, "{cut}: {error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_may_be_silent_for_minutes_during_the_copy() {
    let (script, tar) = (base_backup(), message(b'd', b"dtar"));
    let at = script.windows(tar.len()).position(|window| window == tar).unwrap();
    let (before, after) = script.split_at(at);
    let (_directory, config) =
        server_with_pauses(vec![[&greeting("150004"), before].concat(), after.to_vec()]);
    backup_of(&config).await.unwrap();
}

#[tokio::test]
async fn a_backup_that_lacks_a_part_is_void() {
    let script = base_backup();
    for (part, problem) in [
        (row(&[Some("0/2000100"), Some("1")]), "no WAL position"),
        (row(&[Some("0/2000028"), Some("1")]), "no WAL position"),
        (message(b'd', b"nbase.tar\0\0"), "data before an archive"),
        (message(b'c', b""), "archives"),
        (message(b'H', &[0, 0, 0]), "out of order"),
    ] {
        let at = script.windows(part.len()).position(|window| window == part).unwrap();
        let without =
            [greeting("150004"), script[..at].to_vec(), script[at + part.len()..].to_vec()].concat();
        let error = backup(without).await.unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
}

#[tokio::test]
async fn damaged_pages_are_told_only_after_the_end_position() {
    let error = message(b'E', b"SERROR\0CXX001\0Mchecksum\0\0");
    let total = message(b'N', b"SWARNUNG\0C01000\0Mes waren 17 Seiten\0\0");
    let script = base_backup();
    let (before_ready, ready) = script.split_at(script.len() - ready().len());
    let (_, end) = backup([&greeting("150004"), before_ready, &error, ready].concat()).await.unwrap();
    assert_eq!(end.damaged.unwrap().count, 1);
    let (_, end) = backup([&greeting("150004"), before_ready, &total, &error, ready].concat()).await.unwrap();
    let damaged = end.damaged.unwrap();
    assert_eq!((damaged.count, damaged.words.as_str()), (17, "checksum"));

    let end = [description(), row(&[Some("0/2000100"), Some("1")])].concat();
    let at = script.windows(end.len()).position(|window| window == end).unwrap();
    let early = backup([&greeting("150004"), &script[..at], &error, ready].concat()).await.unwrap_err();
    assert_eq!(early.code(), Some("XX001"));
    let other = message(b'E', b"SERROR\0C57014\0Mcancelled\0\0");
    let cancelled = backup([&greeting("150004"), before_ready, &other, ready].concat()).await.unwrap_err();
    assert_eq!(cancelled.code(), Some("57014"));
}

#[tokio::test]
async fn a_server_that_is_too_old_is_named() {
    assert_eq!(
        refusal(greeting("120022")).await,
        "PostgreSQL 12.22 doesn't support this replication client, which needs 13 or later"
    );
}

#[tokio::test]
async fn a_server_that_proves_nothing_is_not_believed() {
    let scram = message(b'R', &[&10_u32.to_be_bytes()[..], b"SCRAM-SHA-256\0\0"].concat());
    let problem = refusal([scram.clone(), accepted()].concat()).await;
    assert!(problem.contains("without its own proof"), "{problem}");
    let wrong_nonce = message(b'R', &[&11_u32.to_be_bytes()[..], b"r=x,s=QSXCR+Q6sek8bf92,i=4096"].concat());
    let problem = refusal([scram.clone(), wrong_nonce].concat()).await;
    assert!(problem.contains("invalid nonce"), "{problem}");
    let early = message(b'R', &[&12_u32.to_be_bytes()[..], b"v=AAAA"].concat());
    assert!(refusal([scram, early.clone()].concat()).await.starts_with("can't authenticate"));
    assert!(refusal(early).await.contains("out of order"));
    assert!(refusal(ready()).await.contains("can't authenticate"));
}

#[tokio::test]
async fn authentication_that_is_not_supported_says_what_to_do() {
    let oauth = [&10_u32.to_be_bytes()[..], b"OAUTHBEARER\0\0"].concat();
    for body in
        [&7_u32.to_be_bytes()[..], &9_u32.to_be_bytes(), &2_u32.to_be_bytes(), &6_u32.to_be_bytes(), &oauth]
    {
        let (_directory, config) = server(message(b'R', body));
        let error = Session::connect(&config, Limits::default()).await.unwrap_err();
        assert!(matches!(error, ReplicationError::Authentication { .. }), "{error:?}");
        assert!(error.hint().is_some_and(|hint| hint.contains("--method pg_basebackup")), "{error:?}");
    }
}

#[tokio::test]
async fn a_missing_password_is_asked_for_under_the_database_that_is_looked_up() {
    let (directory, _) = server(message(b'R', &[0, 0, 0, 3]));
    let settings = format!("host={} user=u dbname=postgres", directory.path().display());
    let info = ConnInfo::parse(&settings).unwrap();
    let replication = info.resolve(&Environment::default()).unwrap();
    let error = Session::connect(&replication, Limits::default()).await.unwrap_err();
    assert!(error.hint().unwrap().contains("with the database \"replication\""), "{error:?}");
    let sql = info.resolve_for_sql(&Environment::default()).unwrap();
    let error = SqlSession::connect(&sql, Limits::default()).await.unwrap_err();
    assert!(error.hint().unwrap().contains("with the database \"postgres\""), "{error:?}");
}

#[tokio::test]
async fn what_follows_the_agreement_on_tls_unencrypted_is_not_taken_for_the_servers() {
    let (config, _) = tls_server(b"").await;
    Session::connect(&config, Limits::default()).await.unwrap();
    let (config, _) = tls_server(&greeting("150004")).await;
    let error = Session::connect(&config, Limits::default()).await.unwrap_err();
    assert!(matches!(error, ReplicationError::Tls { .. }), "{error:?}");
}

#[tokio::test]
async fn a_session_with_tls_is_cancelled_with_tls() {
    let (config, mut first_messages) = tls_server(b"").await;
    let session = Session::connect(&config, Limits::default()).await.unwrap();
    assert!(session.cancel_token().cancel().await.unwrap());
    for _ in 0..2 {
        assert_eq!(first_messages.recv().await.unwrap(), [0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f]);
    }
}

#[tokio::test]
async fn a_server_that_is_no_postgresql_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    for mode in ["disable", "require"] {
        let config = config(&format!("host=127.0.0.1 port={port} user=u sslmode={mode}"));
        let connected =
            tokio::time::timeout(Duration::from_secs(60), Session::connect(&config, Limits::default()));
        assert!(connected.await.expect("it waits").is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_answer_makes_the_client_panic_or_hang(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut script = [greeting("150004"), base_backup()].concat();
        for (at, byte) in changes {
            let at = at.index(script.len());
            script[at] = byte;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let taken = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), backup(script)).await });
        prop_assert!(taken.is_ok());
    }
}
