//! Container servers that are down, and listings that lag behind.

use std::fs;

use anyhow::Result;
use xtask::{Daemon, Direction, LoggedRequest, Service};

use crate::{place::Place, shared::PLAIN};

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn what_is_archived_while_the_container_server_is_down_is_found_before_it_is_listed() -> Result<()> {
    let swift = PLAIN.lease()?;
    let place = Place::new(&swift, "unlisted")?;
    let listed = place.archive(0)?;
    swift.kill(Service::Container(1))?;
    let unlisted = place.segment(1)?;
    place.impatient().run(&["archive-wal", &unlisted])?.expect(0)?;
    assert!(place.impatient().fetches(&unlisted)?);
    swift.up(Service::Container(1))?;

    assert_eq!(place.succeed(&["list-wal"])?, format!("{listed}\n"));
    assert!(place.fetches(&unlisted)?);
    place.succeed(&["archive-wal", &unlisted])?;
    swift.once(Daemon::ObjectUpdater)?;
    assert_eq!(place.succeed(&["list-wal"])?, format!("{listed}\n{unlisted}\n"));
    Ok(())
}

/// A repository that was migrated from SwiftWAL 0.2.2, with gzip as its only compression: no file has the name that is
/// requested first.
#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn wal_of_any_compression_goes_through_while_the_container_server_is_down() -> Result<()> {
    let swift = PLAIN.lease()?;
    let place = Place::new(&swift, "mixed")?;
    let old = place.segment(0)?;
    place.succeed(&["--compression", "gzip", "archive-wal", &old])?;
    place.archive(1)?;
    let new = place.segment(2)?;
    swift.kill(Service::Container(1))?;
    place.impatient().run(&["archive-wal", &new])?.expect(0)?;
    for name in [&old, &new] {
        assert!(place.impatient().fetches(name)?, "{name}");
    }
    place.impatient().run(&["archive-wal", &old])?.expect(0)?;
    swift.up(Service::Container(1))?;
    Ok(())
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn a_container_that_the_proxy_cannot_look_up_is_neither_written_nor_read_nor_taken_for_empty() -> Result<()> {
    let swift = PLAIN.lease()?;
    let place = Place::new(&swift, "unknown")?;
    let stored = place.archive(0)?;
    let name = place.segment(1)?;
    swift.kill(Service::Container(1))?;
    // The proxy's cache of the container is lost with it.
    swift.kill(Service::Proxy)?;
    swift.up(Service::Proxy)?;

    place.impatient().run(&["archive-wal", &name])?.expect(1)?;
    for wanted in [&name, &stored] {
        place.impatient().run(&["restore-wal", wanted, "fetched"])?.expect(128)?;
    }
    for command in [&["list-wal"][..], &["list-backups"], &["prune", "--keep-backups", "1"]] {
        let refused = place.impatient().run(command)?.expect(1)?;
        assert_eq!(refused.stdout, "");
        assert!(refused.reason().contains("503"), "{}", refused.reason());
    }
    swift.up(Service::Container(1))?;
    assert_eq!(place.succeed(&["list-wal"])?, format!("{stored}\n"));
    place.succeed(&["archive-wal", &name])?;
    assert!(place.fetches(&name)?);
    Ok(())
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn a_backup_that_is_not_fully_listed_yet_is_restored_and_kept() -> Result<()> {
    let swift = PLAIN.lease()?;
    let place = Place::new(&swift, "lagging")?;
    place.back_up()?;
    let second = place.back_up()?;
    let unlist = |name: &str| swift.unlist(&swift.account_v1(), &place.container, name);
    unlist(&format!("pg_basebackup_{second}.tar.zst"))?;
    assert!(place.restores("latest")?);
    place.succeed(&["prune", "--keep-backups", "1"])?;
    assert_eq!(place.succeed(&["list-backups"])?, format!("{second}\n"));

    unlist(&format!("pg_basebackup_{second}.json"))?;
    place.run(&["prune", "--keep-backups", "1"])?.expect(1)?;
    assert!(place.restores(&second)?);
    Ok(())
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn a_backup_waits_for_the_container_server_before_anything_of_it_gets_its_name() -> Result<()> {
    let swift = PLAIN.lease()?;
    let place = Place::new(&swift, "unnamed")?.wired();
    let mut backup = place.in_the_middle(Direction::ToServer, 32 << 20, |place| place.start_backup(&[]))?;
    swift.kill(Service::Container(1))?;
    swift.wire().heal();
    backup.wait_for_retry()?;
    let named = |request: &LoggedRequest| {
        let is_object = request.path.contains("/unnamed/pg_basebackup_");
        request.method == "PUT" && is_object && !request.path.contains("_segments/")
    };
    assert!(!swift.requests()?.iter().any(named));
    swift.up(Service::Container(1))?;
    backup.wait()?.expect(0)?;
    assert!(place.restores("latest")?);
    Ok(())
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn what_is_read_before_something_is_listed_or_removed_is_asked_for_once() -> Result<()> {
    let swift = PLAIN.lease()?;
    let place = Place::new(&swift, "counted")?;
    let key = place.back_up()?;
    let record = format!("pg_basebackup_{key}.json");
    fs::write(place.directory.join("00000002.history"), "1\tFF/0\ta later timeline\n")?;
    place.succeed(&["archive-wal", "00000002.history"])?;
    let asked = |arguments: &[&str]| -> Result<Vec<String>> {
        let before = swift.requests()?.len();
        place.succeed(arguments)?;
        let requests = swift.requests()?.split_off(before);
        Ok(requests.into_iter().map(|request| short(&request)).collect())
    };
    // A recently read cluster.json suffices for a listing, but not for a deletion.
    assert_eq!(asked(&["list-wal"])?, ["GET counted"]);
    assert_eq!(asked(&["list-backups"])?, ["GET cluster.json", "GET counted", &format!("GET {record}")]);
    let mut plan = asked(&["prune", "--keep-backups", "1", "--dry-run"])?;
    plan.sort();
    // Only requests can show whether there is a third timeline and whether the kept backup is complete: a listing may
    // lag.
    let histories = ["2.history.zst", "3.history", "3.history.gz", "3.history.lz4", "3.history.zst"];
    let histories = histories.map(|history| format!("wal_0000000{history}"));
    let names = ["cluster.json", "counted", "counted_segments", &record].map(str::to_owned);
    let parts = ["tar.zst", "index.zst"].map(|part| format!("pg_basebackup_{key}.{part}"));
    let parts =
        parts.into_iter().chain([format!("backup_label_{key}.txt"), format!("backup_manifest_{key}.zst")]);
    let mut expected: Vec<_> = names.into_iter().chain(histories).map(|name| format!("GET {name}")).collect();
    expected.extend(parts.map(|name| format!("HEAD {name}")));
    expected.sort();
    assert_eq!(plan, expected);
    Ok(())
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn a_wal_file_that_is_there_takes_one_request_and_a_missing_one_two() -> Result<()> {
    let swift = PLAIN.lease()?;
    let place = Place::new(&swift, "requested")?;
    let stored = place.archive(0)?;
    let missing = place.segment(1)?;
    let asked = |name: &str, code| -> Result<Vec<String>> {
        let before = swift.requests()?.len();
        place.run(&["restore-wal", name, "fetched"])?.expect(code)?;
        Ok(swift.requests()?.split_off(before).iter().map(short).collect())
    };
    assert_eq!(asked(&stored, 0)?, [format!("GET wal_{stored}.zst")]);
    for name in [&missing, "00000002.history"] {
        assert_eq!(asked(name, 1)?, [format!("GET wal_{name}.zst"), "GET requested".to_owned()]);
    }
    Ok(())
}

/// Returns the method and the last part of the path: an object, or a container that was listed.
fn short(request: &LoggedRequest) -> String {
    let path = request.path.split("%3F").next().unwrap_or_default();
    format!("{} {}", request.method, path.trim_end_matches('/').rsplit('/').next().unwrap_or_default())
}
