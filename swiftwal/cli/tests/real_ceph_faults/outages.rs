//! A gateway that is killed or frozen, and an OSD that is frozen, while WAL files and backups are stored and fetched.

use anyhow::Result;
use xtask::{Break, Ceph, CephServer, Direction};

use crate::{place::Place, shared::CEPH};

/// A position in the middle of a segment of 1 MiB that can't be compressed.
const MIDDLE: u64 = 300_000;
/// A position in the middle of a backup.
const MIDDLE_OF_BACKUP: u64 = 40 << 20;

#[derive(Clone, Copy)]
enum Outage {
    Killed,
    Frozen,
    /// The gateway answers nothing as long as the OSD doesn't answer.
    OsdFrozen,
}

impl Outage {
    fn begin(self, ceph: &Ceph) -> Result<()> {
        match self {
            Self::Killed => ceph.kill(CephServer::Gateway),
            Self::Frozen => ceph.stop(CephServer::Gateway),
            Self::OsdFrozen => ceph.stop(CephServer::Osd),
        }
    }
}

/// The same place, for a program that takes ten seconds of silence for a failure instead of a minute.
fn with_short_silence<'a>(place: &Place<'a>) -> Place<'a> {
    place.clone().with(place.settings.clone().with("SWIFT_RETRY_SECONDS", "20"))
}

#[test]
#[ignore = "needs Ceph: run by cargo xtask test"]
fn a_gateway_or_an_osd_that_is_away_for_a_while_is_waited_for() -> Result<()> {
    let ceph = CEPH.lease()?;
    let place = with_short_silence(&Place::new(&ceph, "waited-for")?);
    let stored = place.archive(0)?;
    for (number, outage) in [(1, Outage::Killed), (2, Outage::Frozen), (3, Outage::OsdFrozen)] {
        let name = place.segment(number)?;
        outage.begin(&ceph)?;
        let mut archiving = place.start(&["archive-wal", &name])?;
        let mut fetching = place.start(&["restore-wal", &stored, "fetched"])?;
        archiving.wait_for_retry()?;
        fetching.wait_for_retry()?;
        ceph.mend()?;
        archiving.wait()?.expect(0)?;
        fetching.wait()?.expect(0)?;
        assert!(place.has_fetched(&stored)?);
        assert!(place.fetches(&name)?);
    }
    assert_eq!(place.succeed(&["list-wal"])?.lines().count(), 4);
    Ok(())
}

#[test]
#[ignore = "needs Ceph: run by cargo xtask test"]
fn a_gateway_that_is_killed_in_mid_body_and_comes_back_is_waited_for() -> Result<()> {
    let ceph = CEPH.lease()?;
    let place = Place::new(&ceph, "mid-body")?.wired();
    let stored = place.archive(0)?;
    let name = place.segment(1)?;
    let up = ["archive-wal", &name];
    let down = ["restore-wal", &stored, "fetched"];
    for (direction, arguments) in [(Direction::ToServer, &up[..]), (Direction::ToClient, &down[..])] {
        let mut running = place.in_the_middle(direction, MIDDLE, |place| place.start(arguments))?;
        ceph.kill(CephServer::Gateway)?;
        // Requests in progress fail as well.
        ceph.wire().break_all(Break::Cut);
        running.wait_for_retry()?;
        ceph.mend()?;
        running.wait()?.expect(0)?;
    }
    assert!(place.has_fetched(&stored)?);
    assert!(place.fetches(&name)?);
    Ok(())
}

#[test]
#[ignore = "needs Ceph: run by cargo xtask test"]
fn while_the_gateway_is_gone_nothing_is_acknowledged_and_nothing_is_taken_for_absent() -> Result<()> {
    let ceph = CEPH.lease()?;
    let place = Place::new(&ceph, "gone")?;
    let stored = place.archive(0)?;
    let name = place.segment(1)?;
    ceph.kill(CephServer::Gateway)?;
    let refused = place.impatient().run(&["archive-wal", &name])?.expect(1)?;
    assert!(refused.reason().contains("times"), "{}", refused.reason());
    for wanted in [&stored, &name] {
        place.impatient().run(&["restore-wal", wanted, "fetched"])?.expect(128)?;
    }
    ceph.mend()?;
    place.run(&["restore-wal", &name, "fetched"])?.expect(1)?;
    place.succeed(&["archive-wal", &name])?;
    assert!(place.fetches(&name)?);
    Ok(())
}

#[test]
#[ignore = "needs Ceph: run by cargo xtask test"]
fn a_backup_waits_for_a_gateway_or_an_osd_that_is_away_for_a_while() -> Result<()> {
    let ceph = CEPH.lease()?;
    let place = with_short_silence(&Place::new(&ceph, "away")?.wired());
    for outage in [Outage::Killed, Outage::OsdFrozen] {
        let mut backup =
            place.in_the_middle(Direction::ToServer, MIDDLE_OF_BACKUP, |place| place.start_backup(&[]))?;
        outage.begin(&ceph)?;
        ceph.wire().heal();
        backup.wait_for_retry()?;
        ceph.mend()?;
        backup.wait()?.expect(0)?;
        assert!(place.restores("latest")?);
    }
    // Nothing is left of the requests that were sent twice.
    place.succeed(&["prune", "--keep-backups", "1"])?;
    assert!(place.restores("latest")?);
    Ok(())
}

#[test]
#[ignore = "needs Ceph: run by cargo xtask test"]
fn a_backup_that_the_gateway_left_for_good_is_not_listed_and_the_next_one_succeeds() -> Result<()> {
    let ceph = CEPH.lease()?;
    let place = Place::new(&ceph, "left")?.wired();
    let backup = place
        .impatient()
        .in_the_middle(Direction::ToServer, MIDDLE_OF_BACKUP, |place| place.start_backup(&[]))?;
    ceph.kill(CephServer::Gateway)?;
    ceph.wire().heal();
    backup.wait()?.expect(1)?;
    ceph.mend()?;
    assert_eq!(place.run(&["list-backups"])?.stdout, "");

    place.back_up()?;
    assert_eq!(place.succeed(&["list-backups"])?.lines().count(), 1);
    assert!(place.restores("latest")?);
    Ok(())
}
