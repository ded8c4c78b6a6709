//! Connection strings and URIs.

use proptest::prelude::*;

use super::refusal;
use crate::replication::conninfo::ConnInfo;

/// Returns the settings in a string.
fn settings(text: &str) -> Vec<(&'static str, String)> {
    ConnInfo::parse(text).unwrap().values.into_iter().collect()
}

#[test]
fn keyword_value_strings_are_read_as_libpq_reads_them() {
    for (text, expected) in [
        ("", &[][..]),
        (" \t\n", &[]),
        ("host=db1", &[("host", "db1")]),
        ("host = db1  port\t=\n5433", &[("host", "db1"), ("port", "5433")]),
        ("password='it\\'s \\\\ so' user=u", &[("password", "it's \\ so"), ("user", "u")]),
        ("password=a\\ b", &[("password", "a b")]),
        ("password=a'b'c", &[("password", "a'b'c")]),
        ("password='' user=u", &[("password", ""), ("user", "u")]),
        ("password='a'user=u", &[("password", "a"), ("user", "u")]),
        ("user=first user=last", &[("user", "last")]),
        ("user=", &[("user", "")]),
        // What follows an empty value is the value.
        ("host= port=5", &[("host", "port=5")]),
        ("requiressl=1", &[("sslmode", "require")]),
        ("requiressl=0", &[("sslmode", "prefer")]),
    ] {
        let expected: Vec<_> = expected.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        assert_eq!(settings(text), expected, "{text}");
    }
}

#[test]
fn uris_are_read_as_libpq_reads_them() {
    // From libpq's own test, t/001_uri.pl.
    for (text, expected) in [
        (
            "postgresql://uri-user:secret@host:12345/db",
            &[
                ("dbname", "db"),
                ("host", "host"),
                ("password", "secret"),
                ("port", "12345"),
                ("user", "uri-user"),
            ][..],
        ),
        ("postgresql://uri-user@host/", &[("host", "host"), ("user", "uri-user")]),
        ("postgresql://host:/db", &[("dbname", "db"), ("host", "host")]),
        ("postgres://", &[]),
        ("postgres:///", &[]),
        ("postgresql://?user=uri-user", &[("user", "uri-user")]),
        ("postgresql://uri%2Duser@host", &[("host", "host"), ("user", "uri-user")]),
        (
            "postgresql://host/db?u%73er=someotheruser",
            &[("dbname", "db"), ("host", "host"), ("user", "someotheruser")],
        ),
        ("postgresql://[::1]", &[("host", "::1")]),
        ("postgresql://[2001:db8::1234]:5433", &[("host", "2001:db8::1234"), ("port", "5433")]),
        ("postgres://%2Fpath%2Fto%2Fsocket/db", &[("dbname", "db"), ("host", "/path/to/socket")]),
        ("postgres://@host", &[("host", "host")]),
        ("postgres://:@host/", &[("host", "host")]),
        ("postgres://a:p%40ss@/", &[("password", "p@ss"), ("user", "a")]),
        ("postgresql://a:1,b:2/d", &[("dbname", "d"), ("host", "a,b"), ("port", "1,2")]),
        ("postgresql://a,b", &[("host", "a,b"), ("port", ",")]),
        ("postgresql://h?ssl=true&host=%2Fs", &[("host", "/s"), ("sslmode", "require")]),
        ("postgresql://h/d@e", &[("dbname", "d@e"), ("host", "h")]),
    ] {
        let expected: Vec<_> = expected.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        assert_eq!(settings(text), expected, "{text}");
    }
}

#[test]
fn what_libpq_refuses_is_refused_in_its_words() {
    for (text, expected) in [
        ("host", "missing \"=\" after \"host\" in connection info string"),
        ("host db1", "missing \"=\" after \"host\" in connection info string"),
        ("host='db1", "unterminated quoted string in connection info string"),
        ("hots=db1", "invalid connection option \"hots\""),
        ("HOST=db1", "invalid connection option \"HOST\""),
        ("a\x1b[2J=1", "invalid connection option \"a\\x1b[2J\""),
        ("postgresql://h?zzz=1", "invalid URI query parameter: \"zzz\""),
        ("postgresql://h?user", "missing key/value separator \"=\" in URI query parameter: \"user\""),
        ("postgresql://h?user=a=b", "extra key/value separator \"=\" in URI query parameter: \"user\""),
        ("postgresql://%zz", "invalid percent-encoded token in the URI"),
        ("postgresql://%", "invalid percent-encoded token in the URI"),
        ("postgresql://%00", "forbidden value %00 in percent-encoded value"),
        ("postgresql://%ff", "a percent-encoded value in the URI isn't UTF-8"),
        (
            "postgresql://[::1",
            "end of string reached when looking for matching \"]\" in IPv6 host address in URI: \"[::1\"",
        ),
        ("postgresql://[]", "IPv6 host address may not be empty in URI: \"[]\""),
        ("postgresql://[::1]x", "unexpected text after the IPv6 host address in URI: \"[::1]x\""),
    ] {
        assert_eq!(refusal(text, &[]), expected, "{text}");
    }
}

#[test]
fn no_password_is_shown_by_debug_or_by_an_error() {
    for text in [
        "password=hidden host",
        "password='hidden",
        "postgresql://u:hidden%@h",
        "postgresql://u:hidden@h?x=1",
    ] {
        let complaint = ConnInfo::parse(text).unwrap_err();
        assert!(!format!("{complaint} {complaint:?}").contains("hidden"), "{complaint:?}");
    }
    let info = ConnInfo::parse("password=hidden scram_client_key=hidden2").unwrap();
    assert!(!format!("{info:?}").contains("hidden"), "{info:?}");
    let config = super::resolved("password=hidden", &[("PGPASSWORD", "hidden")]);
    assert!(!format!("{config:?}").contains("hidden"), "{config:?}");
    assert!(!format!("{:?}", super::environment(&[("PGPASSWORD", "hidden")])).contains("hidden"));
}

/// Writes a value as libpq's manual says.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn percent_encoded(value: &str) -> String {
    value.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

proptest! {
    #[test]
    fn no_string_makes_the_parser_panic(text: String) {
        let _ = ConnInfo::parse(&text);
        let _ = ConnInfo::parse(&format!("postgresql://{text}"));
    }

    #[test]
    fn every_value_survives_quoting_and_percent_encoding(user in "[^\0]+", password in "[^\0]+", database in "[^\0]+") {
        let expected = vec![("dbname", database.clone()), ("password", password.clone()), ("user", user.clone())];
        let text = format!("user={} password = {}dbname={}", quoted(&user), quoted(&password), quoted(&database));
        prop_assert_eq!(settings(&text), expected.clone());
        let [user, password, database] = [user, password, database].map(|value| percent_encoded(&value));
        prop_assert_eq!(settings(&format!("postgres://{user}:{password}@/{database}")), expected.clone());
        prop_assert_eq!(settings(&format!("postgres://?user={user}&password={password}&dbname={database}")), expected);
    }
}

#[test]
fn what_is_written_for_libpq_is_parsed_again() {
    let text = r"host=a user='it\'s' options='-c a=b\\ c' dbname=''";
    let info = ConnInfo::parse(text).unwrap();
    assert_eq!(info.connection_string(), r"dbname='' host='a' options='-c a=b\\ c' user='it\'s'");
    assert_eq!(ConnInfo::parse(&info.connection_string()).unwrap(), info);
}
