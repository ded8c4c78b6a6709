//! The values of settings: defaults, variables, hosts, and what isn't supported.

use std::time::Duration;

use super::{refusal, resolved};
use crate::replication::conninfo::{
    ChannelBinding, ConnInfo, Keepalive, Place, SslMode, SslNegotiation, TargetSession, TlsVersion,
};

#[test]
fn without_settings_the_defaults_of_libpq_apply() {
    let config = resolved("", &[]);
    assert_eq!((config.user.as_str(), config.database), ("me", None));
    assert_eq!(config.hosts.len(), 1);
    assert_eq!(config.hosts[0].port, 5432);
    assert!(matches!(&config.hosts[0].place, Place::Directory(_)), "{:?}", config.hosts);
    assert_eq!((config.tls.mode, config.tls.negotiation), (SslMode::Prefer, SslNegotiation::Postgres));
    assert_eq!((config.tls.roots, config.tls.client, config.tls.sends_name), (None, None, true));
    assert_eq!((config.tls.oldest, config.tls.newest), (TlsVersion::V12, TlsVersion::V13));
    assert_eq!((config.channel_binding, config.target), (ChannelBinding::Prefer, TargetSession::Any));
    assert_eq!((config.connect_timeout, config.tcp_user_timeout), (None, None));
    assert_eq!(config.keepalive, Some(Keepalive::default()));
    assert_eq!((config.parameters, config.load_balance), (vec![], false));
}

#[test]
fn the_string_wins_over_the_environment_and_an_empty_variable_counts_as_unset() {
    let variables = [("PGUSER", "env"), ("PGHOST", "/run/env"), ("PGPORT", "")];
    let config = resolved("user=string", &variables);
    assert_eq!((config.user.as_str(), config.hosts[0].port), ("string", 5432));
    assert_eq!(config.hosts[0].place, Place::Directory("/run/env".into()));
    assert_eq!(resolved("", &variables).user, "env");
}

#[test]
fn every_variable_sets_its_keyword() {
    let config = resolved(
        "",
        &[
            ("PGAPPNAME", "backup"),
            ("PGCHANNELBINDING", "disable"),
            ("PGCLIENTENCODING", "auto"),
            ("PGCONNECT_TIMEOUT", "7"),
            ("PGDATABASE", "d"),
            ("PGHOST", "a,b"),
            ("PGHOSTADDR", "127.0.0.1,::1"),
            ("PGLOADBALANCEHOSTS", "random"),
            ("PGOPTIONS", "-c work_mem=1MB"),
            ("PGPASSWORD", "p"),
            ("PGPORT", "1,2"),
            ("PGSSLMAXPROTOCOLVERSION", "TLSv1.2"),
            ("PGSSLMODE", "require"),
            ("PGSSLNEGOTIATION", "direct"),
            ("PGSSLSNI", "0"),
            ("PGTARGETSESSIONATTRS", "prefer-standby"),
        ],
    );
    let parameters =
        [("application_name", "backup"), ("client_encoding", "UTF8"), ("options", "-c work_mem=1MB")];
    assert_eq!(config.parameters, parameters.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!((config.channel_binding, config.load_balance), (ChannelBinding::Disable, true));
    assert_eq!(config.connect_timeout, Some(Duration::from_secs(7)));
    assert_eq!((config.database.as_deref(), config.target), (Some("d"), TargetSession::PreferStandby));
    let hosts: Vec<_> =
        config.hosts.iter().map(|host| (host.name.as_deref(), &host.place, host.port)).collect();
    let [four, six] = ["127.0.0.1", "::1"].map(|address| Place::Address(address.parse().unwrap()));
    assert_eq!(hosts, [(Some("a"), &four, 1), (Some("b"), &six, 2)]);
    assert!(config.hosts.iter().all(|host| host.password.as_ref().is_some_and(|p| p.expose() == "p")));
    assert_eq!((config.tls.mode, config.tls.negotiation), (SslMode::Require, SslNegotiation::Direct));
    assert_eq!((config.tls.sends_name, config.tls.newest), (false, TlsVersion::V12));
    assert_eq!(resolved("", &[("PGREQUIRESSL", "1")]).tls.mode, SslMode::Require);
    assert_eq!(resolved("", &[("PGREQUIRESSL", "1"), ("PGSSLMODE", "allow")]).tls.mode, SslMode::Allow);
}

#[test]
fn hosts_are_sockets_names_or_addresses_with_a_port_each_or_one_for_all() {
    let places = |text| -> Vec<_> {
        resolved(text, &[]).hosts.into_iter().map(|host| (host.place, host.port)).collect()
    };
    let name = |name: &str| Place::Name(name.to_owned());
    assert_eq!(places("host=a,/tmp port=7"), [(name("a"), 7), (Place::Directory("/tmp".into()), 7)]);
    assert_eq!(places("host=a,b port=7,"), [(name("a"), 7), (name("b"), 5432)]);
    assert_eq!(places("host=::1"), [(Place::Address("::1".parse().unwrap()), 5432)]);
    assert_eq!(places("host=@abstract"), [(Place::Directory("@abstract".into()), 5432)]);
    assert_eq!(places("host=a,,b").len(), 3);
    assert_eq!(
        refusal("host=a,b hostaddr=127.0.0.1", &[]),
        "could not match 2 host names to 1 hostaddr values"
    );
    assert_eq!(refusal("host=a,b,c port=1,2", &[]), "could not match 2 port numbers to 3 hosts");
    for port in ["0", "65536", "-1", "x", "5432x"] {
        assert_eq!(refusal(&format!("port={port}"), &[]), format!("invalid port number: \"{port}\""));
    }
    assert_eq!(refusal("hostaddr=localhost", &[]), "could not parse network address \"localhost\"");
}

#[test]
fn keepalive_and_timeouts_are_read_and_zero_stands_for_the_default() {
    let config = resolved(
        "keepalives_idle=10 keepalives_interval=5 keepalives_count=3 tcp_user_timeout=1500 connect_timeout=-1",
        &[],
    );
    let (idle, interval) = (Some(Duration::from_secs(10)), Some(Duration::from_secs(5)));
    assert_eq!(config.keepalive, Some(Keepalive { idle, interval, count: Some(3) }));
    assert_eq!(config.tcp_user_timeout, Some(Duration::from_millis(1500)));
    assert_eq!(config.connect_timeout, None);
    assert_eq!(resolved("keepalives=0 keepalives_idle=10", &[]).keepalive, None);
    assert_eq!(resolved("keepalives_idle=0", &[]).keepalive, Some(Keepalive::default()));
    assert_eq!(
        refusal("connect_timeout=2s", &[]),
        "invalid integer value \"2s\" for connection option \"connect_timeout\""
    );
}

#[test]
fn a_setting_that_is_not_supported_is_named_wherever_it_comes_from() {
    for (text, variables, named) in [
        ("gssencmode=require", &[][..], "gssencmode=require"),
        ("", &[("PGGSSENCMODE", "require")], "gssencmode=require"),
        ("krbsrvname=pg", &[], "krbsrvname=pg"),
        ("require_auth=scram-sha-256", &[], "require_auth"),
        ("sslpassword=hidden", &[], "sslpassword"),
        ("sslcrl=/x", &[], "sslcrl"),
        ("", &[("PGSSLCRLDIR", "/x")], "sslcrldir"),
        ("sslcertmode=require", &[], "sslcertmode=require"),
        ("requirepeer=postgres", &[], "requirepeer"),
        ("scram_client_key=hidden", &[], "scram_client_key"),
        ("min_protocol_version=3.2", &[], "min_protocol_version=3.2"),
        ("replication=database", &[], "replication=database"),
        ("ssl_max_protocol_version=TLSv1.1", &[], "ssl_max_protocol_version=TLSv1.1"),
    ] {
        let expected = format!("the connection setting {named} is not supported by this client");
        assert_eq!(refusal(text, variables), expected);
    }
    let error = ConnInfo::parse("sslcrl=x").unwrap().resolve(&super::environment(&[])).unwrap_err();
    assert!(error.hint().unwrap().contains("--method pg_basebackup"));
}

#[test]
fn a_setting_that_asks_for_nothing_is_accepted() {
    for text in [
        "gssencmode=prefer",
        "gssencmode=disable gssdelegation=0",
        "krbsrvname=postgres",
        "require_auth=''",
        "sslcompression=0 sslcertmode=allow",
        "min_protocol_version=3.0 max_protocol_version=latest",
        "replication=true",
        "ssl_min_protocol_version=TLSv1",
    ] {
        resolved(text, &[]);
    }
}

#[test]
fn a_value_that_libpq_does_not_have_is_refused() {
    for (keyword, value) in [
        ("sslmode", "verify"),
        ("sslnegotiation", "ssl"),
        ("channel_binding", "on"),
        ("target_session_attrs", "master"),
        ("load_balance_hosts", "on"),
        ("sslsni", "yes"),
        ("ssl_min_protocol_version", "1.2"),
    ] {
        let expected = format!("invalid {keyword} value: \"{value}\"");
        assert_eq!(refusal(&format!("{keyword}={value}"), &[]), expected);
    }
    let range = "ssl_min_protocol_version=TLSv1.3 ssl_max_protocol_version=TLSv1.2";
    assert_eq!(refusal(range, &[]), "invalid SSL protocol version range");
}
