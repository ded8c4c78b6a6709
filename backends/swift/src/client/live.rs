//! Tests of the client on a real Swift and Keystone, with injected faults.
//!
//! The environment names the servers: each setting of [`Config::from_settings`](crate::Config) with the prefix
//! `SWIFT_TEST_`, for a user with a password (`SWIFT_TEST_OS_AUTH_URL`, `_OS_USERNAME`, `_OS_PASSWORD`,
//! `_OS_PROJECT_NAME`), an application credential of the same user (`_OS_APPLICATION_CREDENTIAL_ID`, `_NAME`,
//! `_SECRET`) and a user of version 1 (`_ST_AUTH`, `_ST_USER`, `_ST_KEY`); and a user of version 1 of a Swift with low
//! limits (`SWIFT_TEST_NARROW_ST_AUTH` and so on), which the crate's README describes, and of Ceph's radosgw
//! (`SWIFT_TEST_CEPH_ST_AUTH` and so on).

mod auth;
mod faults;
pub(crate) mod relay;
mod token;
mod trust;

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use http::{Method, StatusCode};
use object_store::PutPayload;

use self::relay::Relay;
use crate::{
    Config, Error, Timeouts,
    client::{Client, Request, Response},
};

pub(crate) const PASSWORD: &[&str] = &["OS_AUTH_URL", "OS_USERNAME", "OS_PASSWORD", "OS_PROJECT_NAME"];
pub(crate) const V1: &[&str] = &["ST_AUTH", "ST_USER", "ST_KEY"];
/// The settings of a version 1 account on the Swift with low limits.
pub(crate) const NARROW: &[&str] = &["NARROW_ST_AUTH", "NARROW_ST_USER", "NARROW_ST_KEY"];
/// The settings of a version 1 account on Ceph's radosgw.
pub(crate) const CEPH: &[&str] = &["CEPH_ST_AUTH", "CEPH_ST_USER", "CEPH_ST_KEY"];

/// Long enough for the real servers on a busy machine: no test waits for its end.
const PATIENCE: Timeouts = Timeouts {
    connect: Duration::from_secs(60),
    silence: Duration::from_secs(60),
    retry: Duration::from_secs(300),
};

/// Limits that expire within a test. The servers answer sooner than that, also on a busy machine.
const BRIEF: Timeouts = Timeouts {
    connect: Duration::from_secs(5),
    silence: Duration::from_secs(5),
    retry: Duration::from_secs(5),
};

pub(crate) type Settings = HashMap<String, String>;

/// Reads these settings of the test servers from the environment.
#[expect(clippy::disallowed_methods, reason = "a test has no caller that could pass it")]
pub(crate) fn settings(names: &[&str]) -> Settings {
    let value =
        |name: &str| std::env::var(format!("SWIFT_TEST_{name}")).unwrap_or_else(|_| panic!("{name}?"));
    let setting = |name: &str| name.trim_start_matches("NARROW_").trim_start_matches("CEPH_").to_owned();
    names.iter().map(|name| (setting(name), value(name))).collect()
}

fn config(settings: &Settings) -> Config {
    Config::from_settings(settings).unwrap().with_timeouts(PATIENCE)
}

fn client(settings: &Settings) -> Client {
    Client::new(config(settings)).unwrap()
}

/// A client with short time limits.
fn brief(settings: &Settings) -> Client {
    Client::new(config(settings).with_timeouts(BRIEF)).unwrap()
}

/// The same settings, with a relay in front of the identity service.
pub(crate) async fn relayed(settings: &Settings, name: &str) -> (Settings, Relay) {
    let relay = Relay::to(&settings[name]).await;
    let mut settings = settings.clone();
    settings.insert(name.to_owned(), relay.url());
    (settings, relay)
}

/// The settings of the version 1 account with a relay in front of Swift, and the relay.
pub(crate) async fn before_swift() -> (Settings, Relay) {
    before(V1).await
}

/// As [`before_swift`], for any account.
pub(crate) async fn before(account: &[&str]) -> (Settings, Relay) {
    let mut settings = settings(account);
    let session = client(&settings).session().await.unwrap();
    let relay = Relay::to(session.storage_url.as_str()).await;
    settings.insert("OS_STORAGE_URL".to_owned(), relay.url());
    (settings, relay)
}

/// Sends the smallest request that needs a token.
async fn head_account(client: &Client) -> Result<Response, Error> {
    let answer = client.send(Request::new(Method::HEAD, "")).await?;
    assert!(answer.status.is_success(), "{}", answer.status);
    Ok(answer)
}

/// Creates a container with an object of `bytes` bytes, and checks that the object was stored.
async fn put(client: &Client, container: &str, bytes: usize) -> Result<Bytes, Error> {
    let made = client.send(Request::new(Method::PUT, container)).await?;
    assert!(made.status.is_success(), "{}", made.status);
    let body = Bytes::from_iter((0..bytes).map(|n| (n % 251) as u8));
    let request = Request::object(Method::PUT, container, "object").body(PutPayload::from(body.clone()));
    let stored = client.send(request).await?;
    assert_eq!(stored.status, StatusCode::CREATED);
    Ok(body)
}

async fn get(client: &Client, container: &str) -> Result<Bytes, Error> {
    let response = client.send(Request::object(Method::GET, container, "object")).await?;
    assert_eq!(response.status, StatusCode::OK);
    response.bytes(usize::MAX).await
}
