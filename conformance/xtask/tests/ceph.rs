//! Tests of the Ceph that other tests rely on: it authenticates, breaks and recovers as those tests assume.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use xtask::{
    Break, Ceph, CephServer, Direction, Environment, Fault, Installation, Scratch, Swift, SwiftOptions,
    descendants, stdout, until,
};

/// The command-line client, with a single try of each request.
fn client(ceph: &Ceph, environment: Environment, arguments: &[&str]) -> Command {
    let mut command = ceph.client();
    command.envs(environment).args(["--retries", "0"]).args(arguments);
    command
}

/// Creates a container `box` with an object `name` of this size.
fn upload(ceph: &Ceph, environment: Environment, name: &str, bytes: usize) -> Result<()> {
    fs::write(ceph.scratch().path().join("ceph").join(name), "x".repeat(bytes))?;
    stdout(&mut client(ceph, environment, &["upload", "box", name])).map(drop)
}

fn download(ceph: &Ceph, environment: Environment, name: &str) -> Result<String> {
    stdout(&mut client(ceph, environment, &["download", "--output", "-", "box", name]))
}

/// A line of shell, in which `swift` is that client.
fn shell(ceph: &Ceph, line: &str) -> Result<Command> {
    let client = ceph.client();
    let tools = Path::new(client.get_program()).parent().context("a program has a directory")?;
    let mut shell = Command::new("sh");
    shell.current_dir(ceph.scratch().path()).args(["-euc", line]).env_clear().envs(ceph.environment_v1());
    shell.env("PATH", format!("{}:/usr/bin:/bin", tools.display()));
    Ok(shell)
}

#[test]
#[ignore = "needs Ceph and Swift: run by cargo xtask test"]
fn both_ways_to_authenticate_store_and_read_straight_and_through_the_wire() -> Result<()> {
    let scratch = Scratch::new(Installation::ensure()?)?;
    let swift = Swift::start(&scratch, SwiftOptions::with_keystone())?;
    let ceph = Ceph::start(&scratch, Some(&swift))?;
    for way in [ceph.environment_v1(), ceph.environment_v3_password(&swift)?] {
        upload(&ceph, way.clone(), "object", 10)?;
        assert_eq!(download(&ceph, way.clone(), "object")?, "x".repeat(10));
        assert_eq!(download(&ceph, way.clone().wired(), "object")?, "x".repeat(10));
        ceph.wire().arm(Fault { direction: Direction::ToClient, after: 0, kind: Break::Cut });
        let _ = download(&ceph, way.wired(), "object");
        assert_eq!(ceph.wire().armed(), 0);
    }
    let account = format!("/swift/v1/{}/box/object", swift.account_v3()?);
    assert!(ceph.requests()?.iter().any(|request| request.method == "GET" && request.path == account));
    Ok(())
}

#[test]
#[ignore = "needs Ceph: run by cargo xtask test"]
fn what_is_killed_frozen_suspended_or_limited_shows_and_recovers() -> Result<()> {
    let ceph = Ceph::start(&Scratch::new(Installation::ensure()?)?, None)?;
    let way = || ceph.environment_v1();
    every_server_works_where_the_guardian_of_the_scratch_directory_finds_it(&ceph)?;
    upload(&ceph, way(), "before", 1000)?;

    ceph.kill(CephServer::Gateway)?;
    assert!(download(&ceph, way(), "before").is_err());
    ceph.mend()?;
    ceph.stop(CephServer::Osd)?;
    ceph.mend()?;
    assert_eq!(download(&ceph, way(), "before")?.len(), 1000);

    ceph.suspend_user()?;
    assert!(download(&ceph, way(), "before").unwrap_err().to_string().contains("401"));
    ceph.enable_user()?;
    assert_eq!(download(&ceph, way(), "before")?.len(), 1000);

    for (objects, bytes) in [(Some(1), None), (None, Some(1000))] {
        ceph.limit_containers(objects, bytes)?;
        assert!(upload(&ceph, way(), "refused", 5000).unwrap_err().to_string().contains("413"));
    }
    ceph.limit_containers(None, None)?;
    upload(&ceph, way(), "accepted", 5000)?;

    let list =
        r#"eval "$(swift auth)"; curl -sSf -H "X-Auth-Token: $OS_AUTH_TOKEN" "$OS_STORAGE_URL/box?limit=10""#;
    let list = || stdout(&mut shell(&ceph, list)?);
    assert_eq!(list()?, "accepted\nbefore");
    ceph.set("rgw_max_listing_results", "1")?;
    let before = ceph.requests()?.len();
    assert_eq!(list()?, "accepted");
    let requests = ceph.requests()?;
    let told = requests[before..].iter().map(|request| format!("{} {}", request.method, request.path));
    assert_eq!(told.collect::<Vec<_>>(), ["GET /auth/1.0", "GET /swift/v1/box?limit=10"]);
    Ok(())
}

fn every_server_works_where_the_guardian_of_the_scratch_directory_finds_it(ceph: &Ceph) -> Result<()> {
    let directory = ceph.scratch().path().join("ceph");
    // A server may just be starting another program.
    until("the four servers work in their directory, and nothing else", || {
        let mut servers = Vec::new();
        for process in descendants(i32::try_from(std::process::id())?)? {
            let works_in = fs::read_link(Path::new("/proc").join(process.pid.to_string()).join("cwd"));
            if works_in.is_ok_and(|works_in| works_in == directory) {
                servers.push(process.name);
            }
        }
        servers.sort();
        Ok(servers == ["ceph-mgr", "ceph-mon", "ceph-osd", "radosgw"])
    })
}
