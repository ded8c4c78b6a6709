//! Tests without a server.

use super::*;
use crate::{ConnectOptions, SourceErrorKind, replication::conninfo::Environment};

fn source(variables: &[(&str, &str)]) -> ReplicationSource {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let environment = Environment { variables: variables.collect(), user: Some("me".to_owned()), home: None };
    let host = Some("/nonexistent".to_owned());
    let connect = ConnectOptions { host, port: Some(7), ..ConnectOptions::default() };
    ReplicationSource::new(Connector::new(connect, environment))
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable_and_named() {
    let error = source(&[("PGPORT", "8")]).start(&BaseBackupRequest::new("x")).await.unwrap_err();
    assert_eq!(error.kind(), SourceErrorKind::Unavailable);
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "can't connect to /nonexistent/.s.PGSQL.7");
}

#[tokio::test]
async fn a_setting_that_is_not_supported_leads_to_pg_basebackup() {
    let error = source(&[("PGGSSENCMODE", "require")]).connect().await.map(drop).unwrap_err();
    assert_eq!(error.kind(), SourceErrorKind::Failed);
    assert!(error.hint().unwrap().contains("--method pg_basebackup"), "{error:?}");
}
