//! Servers that are frozen or killed while WAL files are stored and fetched.

use std::fs;

use anyhow::Result;
use xtask::{Break, Direction, Service, Swift};

use crate::{place::Place, shared::PLAIN};

/// A position in the middle of a segment of 1 MiB that can't be compressed.
const MIDDLE: u64 = 300_000;

#[derive(Clone, Copy)]
enum Outage {
    Frozen,
    Killed,
}

impl Outage {
    fn begin(self, swift: &Swift, service: Service) -> Result<()> {
        match self {
            Self::Frozen => swift.stop(service),
            Self::Killed => swift.kill(service),
        }
    }

    fn end(self, swift: &Swift, service: Service) -> Result<()> {
        match self {
            Self::Frozen => swift.cont(service),
            Self::Killed => swift.up(service),
        }
    }
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn an_object_server_that_is_away_for_a_while_is_waited_for() -> Result<()> {
    let swift = PLAIN.lease()?;
    let place = Place::new(&swift, "waited-for")?;
    let stored = place.archive(0)?;
    for (number, outage) in [(1, Outage::Frozen), (2, Outage::Killed)] {
        let name = place.segment(number)?;
        outage.begin(&swift, Service::Object(1))?;
        let mut archiving = place.start(&["archive-wal", &name])?;
        let mut fetching = place.start(&["restore-wal", &stored, "fetched"])?;
        archiving.wait_for_retry()?;
        fetching.wait_for_retry()?;
        outage.end(&swift, Service::Object(1))?;
        archiving.wait()?.expect(0)?;
        fetching.wait()?.expect(0)?;
        assert!(place.has_fetched(&stored)?);
        assert!(place.fetches(&name)?);
    }
    assert_eq!(place.succeed(&["list-wal"])?.lines().count(), 3);
    Ok(())
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn a_proxy_that_goes_away_in_mid_body_and_comes_back_is_waited_for() -> Result<()> {
    let swift = PLAIN.lease()?;
    let place = Place::new(&swift, "mid-body")?.wired();
    let stored = place.archive(0)?;
    for (number, outage) in [(1, Outage::Frozen), (2, Outage::Killed)] {
        let name = place.segment(number)?;
        let up = ["archive-wal", &name];
        let down = ["restore-wal", &stored, "fetched"];
        for (direction, arguments) in [(Direction::ToServer, &up[..]), (Direction::ToClient, &down[..])] {
            let mut running = place.in_the_middle(direction, MIDDLE, |place| place.start(arguments))?;
            outage.begin(&swift, Service::Proxy)?;
            if matches!(outage, Outage::Killed) {
                // Requests in progress fail as well.
                swift.wire().break_all(Break::Cut);
                running.wait_for_retry()?;
            }
            swift.wire().heal();
            outage.end(&swift, Service::Proxy)?;
            running.wait()?.expect(0)?;
        }
        assert!(place.has_fetched(&stored)?);
        assert!(place.fetches(&name)?);
    }
    Ok(())
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn while_a_server_is_gone_nothing_is_acknowledged_and_nothing_is_taken_for_absent() -> Result<()> {
    let swift = PLAIN.lease()?;
    let place = Place::new(&swift, "gone")?;
    let stored = place.archive(0)?;
    for (number, service) in [(1, Service::Object(1)), (2, Service::Proxy)] {
        let name = place.segment(number)?;
        swift.kill(service)?;
        let refused = place.impatient().run(&["archive-wal", &name])?.expect(1)?;
        let reason = refused.reason();
        assert!(reason.contains("times") && reason.contains("gone/"), "{reason}");
        for wanted in [&stored, &name] {
            place.impatient().run(&["restore-wal", wanted, "fetched"])?.expect(128)?;
            assert!(!place.has_rest_of_fetched()?);
        }
        swift.up(service)?;
        place.run(&["restore-wal", &name, "fetched"])?.expect(1)?;
        place.succeed(&["archive-wal", &name])?;
        assert!(place.fetches(&name)?);
    }
    Ok(())
}

/// The calls for files that were archived ahead need no request, and those before that fail during an outage.
#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn what_was_archived_ahead_is_acknowledged_while_swift_is_down() -> Result<()> {
    let swift = PLAIN.lease()?;
    let place = Place::new(&swift, "ahead")?.impatient();
    fs::write(place.directory.join("postmaster.pid"), std::process::id().to_string())?;
    fs::create_dir(place.directory.join("archive_status"))?;
    let names = (0..5).map(|number| place.segment(number)).collect::<Result<Vec<_>>>()?;
    for name in &names {
        fs::write(place.directory.join(format!("archive_status/{name}.ready")), "")?;
    }
    swift.kill(Service::Proxy)?;
    place.run(&["archive-wal", &names[0]])?.expect(1)?;
    swift.up(Service::Proxy)?;
    place.succeed(&["archive-wal", "--ahead", "3", &names[0]])?;
    swift.kill(Service::Proxy)?;
    for name in &names[1..4] {
        place.succeed(&["archive-wal", name])?;
    }
    // Each mark counts once, and the last file has none.
    place.run(&["archive-wal", &names[3]])?.expect(1)?;
    place.run(&["archive-wal", &names[4]])?.expect(1)?;
    swift.up(Service::Proxy)?;
    for name in &names[..4] {
        assert!(place.fetches(name)?);
    }
    assert!(place.archives_after_a_refusal(&names[4])?);
    Ok(())
}
