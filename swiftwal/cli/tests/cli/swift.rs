//! A minimal server in place of Swift: the messages about requests, and the end of every wait.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use crate::site::{Ran, Site, ran, run};

const EMPTY_LIST: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Trans-Id: tx0042\r\n\
                          Content-Length: 2\r\n\r\n[]";

/// Serves each connection with `serve`, in a thread that ends with the test. Returns the account's URL.
fn account(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/v1/AUTH_a", listener.local_addr().unwrap());
    thread::spawn(move || {
        for connection in listener.incoming() {
            let serve = serve.clone();
            thread::spawn(move || serve(connection.unwrap()));
        }
    });
    url
}

/// Returns the first line of the next request; None when the client has disconnected.
fn request(reader: &mut impl BufRead) -> Option<String> {
    let mut lines = reader.lines();
    let first = lines.next()?.ok()?;
    lines.map_while(Result::ok).find(String::is_empty)?;
    Some(first)
}

fn command(site: &Site, account: &str, arguments: &[&str]) -> Command {
    let mut command = site.bare_command(arguments);
    command.env("OS_STORAGE_URL", account).env("OS_TOKEN", "secret-token").env("SWIFTWAL_CONTAINER", "pg");
    command
}

/// An account with an empty container.
fn empty_account() -> String {
    account(|connection| {
        let mut reader = BufReader::new(&connection);
        while let Some(line) = request(&mut reader) {
            let absent = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nX-Trans-Id: tx0041\r\n\r\n";
            let answer = match () {
                () if line.starts_with("GET /v1/AUTH_a/pg?") => EMPTY_LIST,
                () if line.starts_with("HEAD /v1/AUTH_a/pg ") => "HTTP/1.1 204 No Content\r\n\r\n",
                () => absent,
            };
            (&connection).write_all(answer.as_bytes()).unwrap();
        }
    })
}

#[test]
fn a_proxy_of_the_environment_is_named_if_it_fails_and_not_used_for_excepted_hosts() {
    let (site, account) = (Site::new(), empty_account());
    let run_with = |variables: &[(&str, &str)]| {
        let mut command = command(&site, &account, &["list-wal"]);
        run(command.env("SWIFT_RETRY_SECONDS", "0").envs(variables.iter().copied()))
    };
    let proxy = ("http_proxy", "http://me:hunter2@127.0.0.1:1");
    let failed = run_with(&[proxy]);
    assert_eq!(failed.code, 1, "{failed:?}");
    for told in [
        "no usable connection",
        "the proxy http://127.0.0.1:1 (http_proxy) failed: ",
        "; check http_proxy, or name the host in NO_PROXY to reach it without a proxy\n",
    ] {
        assert!(failed.stderr.contains(told) && !failed.stderr.contains("hunter2"), "{failed:?}");
    }
    let direct = run_with(&[proxy, ("NO_PROXY", "localhost 127.0.0.1")]);
    assert_eq!((direct.code, direct.stderr.contains("proxy")), (run_with(&[]).code, false), "{direct:?}");
}

#[test]
fn with_vv_each_request_is_told_and_nothing_of_the_connections_beneath() {
    let (site, account) = (Site::new(), empty_account());
    let Ran { stderr, .. } = run(&mut command(&site, &account, &["-vv", "list-wal"]));
    let told = |begins: &str, with: &str| {
        let line = stderr.lines().find(|line| line.contains(begins));
        let line = line.unwrap_or_else(|| panic!("{begins}: {stderr}"));
        assert!(line.contains(with) && line.ends_with(" ms"), "{line}");
    };
    told("GET /v1/AUTH_a/pg?", ": 200, tx0042, ");
    told("GET /v1/AUTH_a/pg/cluster.json", ": 404, tx0041, ");
    for noise in ["secret-token", "pool", "connecting", "idle"] {
        assert!(!stderr.contains(noise), "{noise}: {stderr}");
    }
    let quiet = run(&mut command(&site, &account, &["-v", "list-wal"]));
    assert!(!quiet.stderr.contains("GET"), "{quiet:?}");
}

/// Without a limit neither would ever end, or each only after a minute of silence for each retry.
#[test]
fn a_server_that_gets_nowhere_is_given_up_within_the_time_for_retries() {
    let site = Site::new();
    let mute = account(|connection| {
        let mut reader = BufReader::new(&connection);
        while request(&mut reader).is_some() {}
    });
    let trickling = account(|connection| {
        let mut reader = BufReader::new(&connection);
        while request(&mut reader).is_some() {
            let head = EMPTY_LIST.replace(": 2\r", ": 1000000\r");
            let mut sent = (&connection).write_all(head.as_bytes());
            while sent.is_ok() {
                thread::sleep(Duration::from_secs(1));
                sent = (&connection).write_all(b" ");
            }
        }
    });
    let started = [mute, trickling].map(|account| {
        let mut command = command(&site, &account, &["list-wal"]);
        command.env("SWIFT_RETRY_SECONDS", "5").stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    });
    for child in started {
        // It takes ten seconds on any machine; the limit is for a program that never ends.
        let ran = ran(within(Duration::from_secs(600), child));
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.stderr.contains("no progress for 10 s"), "{ran:?}");
    }
}

/// Returns the output of the child process, if it ends in time.
fn within(limit: Duration, mut child: std::process::Child) -> std::process::Output {
    let deadline = std::time::Instant::now() + limit;
    while child.try_wait().unwrap().is_none() {
        if std::time::Instant::now() > deadline {
            child.kill().unwrap();
            panic!("it still runs: {:?}", child.wait_with_output());
        }
        thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}
