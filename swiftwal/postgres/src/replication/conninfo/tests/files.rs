//! Service files, password files and certificates.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use tempfile::TempDir;

use crate::replication::conninfo::{ConnInfo, ConnInfoError, ConnectConfig, Environment, Roots, SslMode};

fn home(files: &[(&str, &str)]) -> TempDir {
    let home = TempDir::new().unwrap();
    for (name, text) in files {
        let path = home.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    }
    home
}

fn resolve(text: &str, home: &Path, variables: &[(&str, &str)]) -> Result<ConnectConfig, ConnInfoError> {
    let mut environment = super::environment(variables);
    environment.home = Some(home.to_owned());
    ConnInfo::parse(text)?.resolve(&environment)
}

fn password(text: &str, home: &TempDir) -> Option<String> {
    let config = resolve(text, home.path(), &[]).unwrap();
    config.hosts[0].password.as_ref().map(|password| password.expose().to_owned())
}

const SERVICES: &str =
    "# services\n[other]\nuser=other\n\n [main] \n host=/run/main\nport=7\npassword=a = b \n[last]\n";

#[test]
fn a_service_is_read_from_the_home_directory_and_ranks_between_string_and_environment() {
    let home = home(&[(".pg_service.conf", SERVICES)]);
    let variables = [("PGSERVICE", "main"), ("PGPORT", "9"), ("PGUSER", "env")];
    let config = resolve("", home.path(), &variables).unwrap();
    assert_eq!((config.hosts[0].port, config.user.as_str()), (7, "env"));
    assert_eq!(config.hosts[0].name.as_deref(), Some("/run/main"));
    assert_eq!(config.hosts[0].password.as_ref().unwrap().expose(), "a = b");
    assert_eq!(resolve("port=8 service=main", home.path(), &[]).unwrap().hosts[0].port, 8);
    assert_eq!(resolve("service=other", home.path(), &[("PGSERVICE", "main")]).unwrap().user, "other");
    assert_eq!(resolve("service=last", home.path(), &variables).unwrap().hosts[0].port, 9);
}

#[test]
fn the_named_service_file_is_read_before_that_of_the_system() {
    let home = home(&[("mine", "[a]\nport=1\n"), ("etc/pg_service.conf", "[a]\nport=2\n[b]\nport=3\n")]);
    let path = |name: &str| home.path().join(name).display().to_string();
    let (mine, etc) = (path("mine"), path("etc"));
    let variables = [("PGSERVICEFILE", mine.as_str()), ("PGSYSCONFDIR", etc.as_str())];
    let port = |text| resolve(text, home.path(), &variables).unwrap().hosts[0].port;
    assert_eq!((port("service=a"), port("service=b")), (1, 3));
    assert_eq!(resolve("service=a", home.path(), &variables[1..]).unwrap().hosts[0].port, 2);
    let missing = resolve("service=c", home.path(), &variables).unwrap_err().to_string();
    assert_eq!(missing, "definition of service \"c\" not found");
    let unreadable = resolve("service=a servicefile=/nonexistent", home.path(), &[]).unwrap_err().to_string();
    assert_eq!(unreadable, "can't read /nonexistent");
}

#[test]
fn a_damaged_or_nested_service_is_refused_with_its_line() {
    for (line, problem) in [
        ("port", "syntax error"),
        ("prot=1", "invalid connection option \"prot\""),
        ("service=a", "nested service specifications not supported"),
        ("ldap://x", "a service in LDAP is not supported"),
    ] {
        let home = home(&[(".pg_service.conf", &format!("[bad]\n{line}\n[good]\nport=1\n"))]);
        let complaint = resolve("service=bad", home.path(), &[]).unwrap_err().to_string();
        assert!(complaint.starts_with(problem) && complaint.ends_with("line 2"), "{complaint}");
        resolve("service=good", home.path(), &[]).unwrap();
    }
}

#[test]
fn a_service_with_an_unsupported_setting_is_refused() {
    let home = home(&[(".pg_service.conf", "[a]\nsslcrl=/x\n")]);
    let complaint = resolve("service=a", home.path(), &[]).unwrap_err().to_string();
    assert!(complaint.contains("sslcrl is not supported"), "{complaint}");
}

#[test]
fn the_first_line_of_the_password_file_that_fits_counts() {
    let home = home(&[(
        ".pgpass",
        "#h:5432:replication:u:comment\nh:5432:postgres:u:database\nh:5433:*:u:port\nh:5432:replication:u:right\n\
         *:*:*:*:last\n",
    )]);
    assert_eq!(password("host=h user=u", &home).as_deref(), Some("right"));
    assert_eq!(password("host=h user=u port=5433", &home).as_deref(), Some("port"));
    assert_eq!(password("host=h user=v", &home).as_deref(), Some("last"));
    assert_eq!(password("host=h user=u password=given", &home).as_deref(), Some("given"));
}

#[test]
fn colons_and_backslashes_are_escaped_in_the_password_file() {
    let home = home(&[(
        ".pgpass",
        "\\:\\:1:*:*:u\\\\v:p\\:q\\\\\nodd\n\\*:*:*:star:no\nh:*:*:star:a:b\nfe80::1:*:*:u:no\nh:*:*:empty:\n",
    )]);
    assert_eq!(password("hostaddr=::1 user='u\\\\v'", &home).as_deref(), Some("p:q\\"));
    assert_eq!(password("host=h user=star", &home).as_deref(), Some("a"));
    assert_eq!(password("host=h user=empty", &home), None);
    assert_eq!(password("host=fe80::1 user=u", &home), None);
}

#[test]
fn localhost_in_the_password_file_stands_for_the_default_socket_directory_only() {
    let home = home(&[(".pgpass", "localhost:*:*:*:local\n/elsewhere:*:*:*:there\n")]);
    for text in ["", "host=localhost", "host=/tmp", "host=/var/run/postgresql"] {
        assert_eq!(password(text, &home).as_deref(), Some("local"), "{text}");
    }
    assert_eq!(password("host=/elsewhere", &home).as_deref(), Some("there"));
    assert_eq!(password("host=/other", &home), None);
    assert_eq!(password("host=name hostaddr=127.0.0.1", &home), None);
}

#[test]
fn each_host_has_its_own_password() {
    let home = home(&[(".pgpass", "a:*:*:*:one\nb:2:*:*:two\n")]);
    let config = resolve("host=a,b,c port=2", home.path(), &[]).unwrap();
    let passwords: Vec<_> =
        config.hosts.iter().map(|host| host.password.as_ref().map(|p| p.expose())).collect();
    assert_eq!(passwords, [Some("one"), Some("two"), None]);
}

#[test]
fn a_password_file_that_others_may_read_is_not_used_and_warned_of() {
    let home = home(&[("pass", "*:*:*:*:secret\n")]);
    let path = home.path().join("pass");
    let text = format!("passfile={}", path.display());
    assert_eq!(password(&text, &home).as_deref(), Some("secret"));
    for mode in [0o640, 0o604, 0o602] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let config = resolve(&text, home.path(), &[]).unwrap();
        assert_eq!(config.hosts[0].password, None);
        assert!(config.warnings[0].contains("group or world access"), "{:?}", config.warnings);
    }
    let directory = format!("passfile={}", home.path().display());
    let config = resolve(&directory, home.path(), &[]).unwrap();
    assert!(config.warnings[0].contains("not a plain file"), "{:?}", config.warnings);
    assert_eq!(resolve("passfile=/nonexistent", home.path(), &[]).unwrap().warnings, [""; 0]);
    let pipe = home.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let config = resolve(&format!("passfile={}", pipe.display()), home.path(), &[]).unwrap();
    assert!(config.warnings[0].contains("not a plain file"), "{:?}", config.warnings);
}

#[test]
fn roots_are_used_to_verify_and_by_require_if_there_are_some() {
    let (empty, home) = (home(&[]), home(&[(".postgresql/root.crt", "")]));
    let roots = |text: &str, home: &TempDir| resolve(text, home.path(), &[]).unwrap().tls.roots;
    let default = |home: &TempDir| Some(Roots::File(home.path().join(".postgresql/root.crt")));
    for mode in ["sslmode=verify-ca", "sslmode=verify-full"] {
        // That the file is missing matters only when TLS begins: a Unix socket doesn't need it.
        assert_eq!(roots(mode, &empty), default(&empty));
        assert_eq!(roots(&format!("{mode} sslrootcert=/x"), &home), Some(Roots::File("/x".into())));
    }
    assert_eq!(roots("sslmode=require", &empty), None);
    assert_eq!(roots("sslmode=require sslrootcert=/nonexistent", &home), None);
    assert_eq!(roots("sslmode=require", &home), default(&home));
    assert_eq!(roots("sslmode=prefer", &home), None);
}

#[test]
fn the_systems_roots_verify_everything() {
    let home = home(&[]);
    let tls = resolve("sslrootcert=system", home.path(), &[]).unwrap().tls;
    assert_eq!((tls.mode, tls.roots), (SslMode::VerifyFull, Some(Roots::System)));
    let complaint =
        resolve("sslrootcert=system sslmode=verify-ca", home.path(), &[]).unwrap_err().to_string();
    assert!(
        complaint.starts_with("weak sslmode \"verify-ca\" may not be used with sslrootcert=system"),
        "{complaint}"
    );
    let complaint = resolve("sslnegotiation=direct", home.path(), &[]).unwrap_err().to_string();
    assert!(
        complaint.starts_with("weak sslmode \"prefer\" may not be used with sslnegotiation=direct"),
        "{complaint}"
    );
}

#[test]
fn a_list_of_revoked_certificates_is_noticed() {
    let (empty, home) = (home(&[]), home(&[(".postgresql/root.crl", "")]));
    let revoked = |home: &TempDir| resolve("", home.path(), &[]).unwrap().tls.revoked;
    assert_eq!((revoked(&empty), revoked(&home)), (None, Some(home.path().join(".postgresql/root.crl"))));
}

#[test]
fn a_client_certificate_is_used_if_it_exists() {
    let home = home(&[(".postgresql/postgresql.crt", "")]);
    let client = |text: &str| resolve(text, home.path(), &[]).unwrap().tls.client;
    assert_eq!(client("").unwrap().key, home.path().join(".postgresql/postgresql.key"));
    assert_eq!(client("sslkey=/other.key").unwrap().key, Path::new("/other.key"));
    assert_eq!((client("sslcertmode=disable"), client("sslcert=/nonexistent")), (None, None));
    let environment = Environment { home: None, ..super::environment(&[]) };
    assert_eq!(ConnInfo::default().resolve(&environment).unwrap().tls.client, None);
}

#[test]
fn a_connection_for_sql_has_the_password_of_its_database() {
    let home = home(&[(".pgpass", "*:*:replication:me:first\n*:*:app:me:second\n*:*:me:me:third\n")]);
    let mut environment = super::environment(&[]);
    environment.home = Some(home.path().to_owned());
    let password = |text| {
        let config = ConnInfo::parse(text).unwrap().resolve_for_sql(&environment).unwrap();
        config.hosts[0].password.as_ref().map(|password| password.expose().to_owned())
    };
    assert_eq!(password("user=me dbname=app").as_deref(), Some("second"));
    // Without a name, the database is that of the role.
    assert_eq!(password("user=me").as_deref(), Some("third"));
    assert_eq!(password("user=me dbname=replication").as_deref(), Some("first"));
}
