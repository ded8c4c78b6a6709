//! Tests of the servers that other tests rely on: they authenticate, break and recover as those tests assume.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use xtask::{
    Break, Daemon, Direction, Environment, Fault, Installation, Scratch, Service, Swift, SwiftOptions,
    descendants, output, stdout, until,
};

fn start(options: SwiftOptions) -> Result<Swift> {
    Swift::start(&Scratch::new(Installation::ensure()?)?, options)
}

/// The command-line client, with a single try of each request.
fn client(swift: &Swift, environment: Environment, arguments: &[&str]) -> Command {
    let mut command = swift.client();
    command.envs(environment).args(["--retries", "0"]).args(arguments);
    command
}

/// Creates a container `box` with an object `name` of this size.
fn upload(swift: &Swift, environment: Environment, name: &str, bytes: usize) -> Result<()> {
    let file = swift.scratch().path().join("swift").join(name);
    fs::write(file, "x".repeat(bytes))?;
    stdout(&mut client(swift, environment, &["upload", "box", name])).map(drop)
}

fn download(swift: &Swift, environment: Environment, name: &str) -> Result<String> {
    stdout(&mut client(swift, environment, &["download", "--output", "-", "box", name]))
}

/// Returns a storage URL and a token for it.
fn token(swift: &Swift, environment: Environment) -> Result<[String; 2]> {
    let printed = stdout(&mut client(swift, environment, &["auth"]))?;
    let values = printed.lines().filter_map(|line| line.split_once('=').map(|(_, value)| value.to_owned()));
    values.collect::<Vec<_>>().try_into().map_err(|_| anyhow!("no token in {printed}"))
}

/// Returns the status of a PUT of ten bytes, which sends no other request.
fn put([url, token]: &[String; 2], name: &str) -> Result<u16> {
    let (address, path) = url.trim_start_matches("http://").split_once('/').context("a URL has a path")?;
    let mut stream = TcpStream::connect(address)?;
    let head = format!("PUT /{path}/{name} HTTP/1.0\r\nX-Auth-Token: {token}\r\nContent-Length: 10\r\n\r\n");
    stream.write_all(format!("{head}{}", "x".repeat(10)).as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split(' ').nth(1).context("no status")?.parse()?)
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn every_way_to_authenticate_stores_and_reads_straight_and_through_the_wire() -> Result<()> {
    let swift = start(SwiftOptions::with_keystone())?;
    let [v1, password] = [swift.environment_v1(), swift.environment_v3_password()?];
    for way in [v1.clone(), password.clone(), swift.environment_v3_application_credential()?] {
        upload(&swift, way.clone(), "object", 10)?;
        assert_eq!(download(&swift, way, "object")?, "x".repeat(10));
    }
    // Not the application credential: with one, this client requests no interface.
    for way in [v1.wired(), password.wired()] {
        assert_eq!(download(&swift, way.clone(), "object")?, "x".repeat(10));
        swift.wire().arm(Fault { direction: Direction::ToClient, after: 0, kind: Break::Cut });
        // The client may retry; that the fault happened proves that the request went through the relay.
        let _ = download(&swift, way, "object");
        assert_eq!(swift.wire().armed(), 0);
    }
    for stranger in [swift.environment_v1_reader(), swift.environment_v3_reader()?] {
        let refused = download(&swift, stranger, "object").unwrap_err().to_string();
        assert!(refused.contains("403"), "{refused}");
    }
    let wrong = swift.environment_v3_password()?.with("OS_PASSWORD", "wrong");
    assert!(download(&swift, wrong, "object").unwrap_err().to_string().contains("Unauthorized"));

    swift.kill(Service::Keystone)?;
    assert!(download(&swift, swift.environment_v3_password()?, "object").is_err());
    swift.up(Service::Keystone)?;
    assert_eq!(download(&swift, swift.environment_v3_password()?, "object")?, "x".repeat(10));
    Ok(())
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn what_is_killed_frozen_full_or_damaged_shows_and_recovers() -> Result<()> {
    let swift = start(SwiftOptions::default())?;
    let way = || swift.environment_v1();
    upload(&swift, way(), "before", 1000)?;

    let token = token(&swift, way())?;
    swift.kill(Service::Container(1))?;
    assert_eq!(put(&token, "box/unlisted")?, 201);
    swift.up(Service::Container(1))?;
    let list = || stdout(&mut client(&swift, way(), &["list", "box"]));
    assert_eq!(list()?, "before\n");
    swift.once(Daemon::ObjectUpdater)?;
    assert_eq!(list()?, "before\nunlisted\n");

    swift.stop(Service::Object(1))?;
    assert!(download(&swift, way(), "before").is_err());
    swift.cont(Service::Object(1))?;
    assert_eq!(download(&swift, way(), "before")?.len(), 1000);

    swift.fill_disks()?;
    assert!(upload(&swift, way(), "refused", 10).unwrap_err().to_string().contains("503"));
    swift.free_disks()?;
    upload(&swift, way(), "accepted", 10)?;

    assert_eq!(swift.object_files(&swift.account_v1(), "box", "before")?.len(), 1);
    swift.damage(&swift.account_v1(), "box", "before")?;
    let read = output(&mut client(&swift, way(), &["download", "--output", "-", "box", "before"]))?;
    assert_ne!(read.stdout, "x".repeat(1000).into_bytes());
    Ok(())
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn three_replicas_survive_the_loss_of_a_node_and_hold_a_copy_each() -> Result<()> {
    let swift = start(SwiftOptions::three_replicas())?;
    upload(&swift, swift.environment_v1(), "object", 10)?;
    assert_eq!(swift.object_files(&swift.account_v1(), "box", "object")?.len(), 3);
    for service in [Service::Object(2), Service::Container(2), Service::Account(2)] {
        swift.kill(service)?;
    }
    assert_eq!(download(&swift, swift.environment_v1(), "object")?, "x".repeat(10));
    upload(&swift, swift.environment_v1(), "another", 10)
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn requests_of_clients_are_counted_in_their_order() -> Result<()> {
    let swift = start(SwiftOptions::default())?;
    upload(&swift, swift.environment_v1(), "object", 10)?;
    let before = swift.requests()?.len();
    assert!(download(&swift, swift.environment_v1(), "absent").is_err());
    download(&swift, swift.environment_v1(), "object")?;
    let requests = swift.requests()?;
    let told: Vec<String> = requests[before..]
        .iter()
        .map(|request| format!("{} {} {}", request.method, request.status, request.path))
        .collect();
    let expected = [
        "GET 200 /auth/v1.0",
        "GET 404 /v1/AUTH_test/box/absent",
        "GET 200 /auth/v1.0",
        "GET 200 /v1/AUTH_test/box/object",
    ];
    assert_eq!(told, expected);
    Ok(())
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn writes_beyond_the_rate_are_answered_498() -> Result<()> {
    let swift = start(SwiftOptions { seconds_between_writes: Some(3600), ..SwiftOptions::default() })?;
    upload(&swift, swift.environment_v1(), "object", 10)?;
    // The proxy limits no container whose cached size is zero; this makes it look again.
    stdout(&mut client(&swift, swift.environment_v1(), &["post", "box"]))?;
    let token = token(&swift, swift.environment_v1())?;
    until("a write is refused", || Ok(put(&token, "box/another")? == 498))
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn a_token_ends_when_its_life_does() -> Result<()> {
    // Long enough for a client on a busy machine to create a container with it.
    let token_life = Duration::from_secs(10);
    let swift = start(SwiftOptions { token_life, ..SwiftOptions::with_keystone() })?;
    let tokens = [swift.environment_v1(), swift.environment_v3_password()?].map(|way| {
        upload(&swift, way.clone(), "object", 10)?;
        token(&swift, way)
    });
    for token in tokens {
        let token = token?;
        until("the token has ended", || Ok(put(&token, "box/object")? == 401))?;
    }
    Ok(())
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn a_server_that_does_not_start_says_why() -> Result<()> {
    let swift = start(SwiftOptions::default())?;
    let configuration = swift.scratch().path().join("swift/proxy.conf");
    swift.kill(Service::Proxy)?;
    let nonsense = fs::read_to_string(&configuration)?.replace("gatekeeper", "nonsense");
    fs::write(configuration, nonsense)?;
    assert!(swift.up(Service::Proxy).unwrap_err().to_string().contains("nonsense"));
    Ok(())
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn every_server_works_where_the_guardian_of_the_scratch_directory_finds_it() -> Result<()> {
    let swift = start(SwiftOptions::with_keystone())?;
    let scratch = swift.scratch().path();
    let mut servers = 0;
    for process in descendants(i32::try_from(std::process::id())?)? {
        let about = Path::new("/proc").join(process.pid.to_string());
        let started_as = String::from_utf8(fs::read(about.join("cmdline")).unwrap_or_default())?;
        if started_as.contains(".py\0") && started_as.contains(&*scratch.to_string_lossy()) {
            assert_eq!(fs::read_link(about.join("cwd"))?, scratch.join("swift"), "{started_as}");
            servers += 1;
        }
    }
    assert_eq!(servers, 5);
    Ok(())
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn the_limits_are_those_that_were_asked_for() -> Result<()> {
    let swift = start(SwiftOptions { manifest_segments: 3, ..SwiftOptions::default() })?;
    let info = stdout(&mut client(&swift, swift.environment_v1(), &["info", "--json"]))?;
    for limit in ["\"max_manifest_segments\": 3,", "\"max_file_size\": 67108864,", "\"bulk_delete\": {"] {
        assert!(info.contains(limit), "{limit}: {info}");
    }
    Ok(())
}
