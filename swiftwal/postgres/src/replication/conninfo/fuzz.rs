//! The fuzzing target of connection strings, service files and password files.

use std::path::Path;

use super::{
    ConnInfo, Environment,
    passfile::{self, Wanted},
    service,
};

/// Parses the bytes as a connection string, as a service file and as a password file.
pub(crate) fn connection_settings(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let environment = Environment { user: Some("me".to_owned()), ..Environment::default() };
    for info in [ConnInfo::parse(text), service::parse(text, Path::new("services"), "main")] {
        match info.and_then(|info| info.resolve(&environment)) {
            Ok(config) => assert!(!config.hosts.is_empty()),
            Err(error) => assert!(error.to_string().len() < 5000),
        }
    }
    let wanted = Wanted { host: "db1", port: 5432, database: "replication", user: "me" };
    assert!(passfile::find(text, wanted).is_none_or(|password| text.len() > password.expose().len()));
}
