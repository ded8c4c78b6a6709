//! Base backups during which Swift fails, or which are killed themselves.

use anyhow::Result;
use xtask::{Direction, Service};

use crate::{place::Place, shared::PLAIN};

/// A position in the middle of the data: some parts are stored by then. The first two are sent twice, since their
/// container must be created.
const MIDDLE: u64 = 72 << 20;

const STORAGE: [Service; 3] = [Service::Object(1), Service::Container(1), Service::Account(1)];

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn a_backup_waits_for_a_swift_that_is_away_for_a_while() -> Result<()> {
    let swift = PLAIN.lease()?;
    let place = Place::new(&swift, "away")?.wired();
    let mut backup =
        place.in_the_middle(Direction::ToServer, MIDDLE, |place| place.start_backup(&["-vv"]))?;
    for service in STORAGE.into_iter().chain([Service::Proxy]) {
        swift.kill(service)?;
    }
    swift.wire().heal();
    // With -vv it reports each one. The pauses between them grow, so this takes some seconds.
    backup.wait_for_retries(5)?;
    for service in STORAGE.into_iter().chain([Service::Proxy]) {
        swift.up(service)?;
    }
    backup.wait()?.expect(0)?;
    assert!(place.restores("latest")?);
    Ok(())
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn a_backup_that_swift_left_for_good_is_not_listed_and_the_next_one_succeeds() -> Result<()> {
    let swift = PLAIN.lease()?;
    let place = Place::new(&swift, "left")?.wired();
    let backup =
        place.impatient().in_the_middle(Direction::ToServer, MIDDLE, |place| place.start_backup(&[]))?;
    swift.kill(Service::Object(1))?;
    swift.wire().heal();
    let failed = backup.wait()?.expect(1)?;
    assert!(failed.reason().contains("503"), "{}", failed.reason());
    swift.up(Service::Object(1))?;
    assert_eq!(place.run(&["list-backups"])?.stdout, "");

    place.back_up()?;
    assert_eq!(place.succeed(&["list-backups"])?.lines().count(), 1);
    assert!(place.restores("latest")?);
    Ok(())
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn a_killed_backup_is_not_listed_and_what_it_stored_is_not_swept_too_early() -> Result<()> {
    let swift = PLAIN.lease()?;
    let place = Place::new(&swift, "killed")?.wired();
    place.in_the_middle(Direction::ToServer, MIDDLE, |place| place.start_backup(&[]))?.kill()?;
    swift.wire().heal();
    assert_eq!(place.run(&["list-backups"])?.stdout, "");
    let left = place.listed("_segments")?;
    assert!(!left.is_empty());

    place.back_up()?;
    place.succeed(&["prune", "--keep-backups", "1"])?;
    let kept = place.listed("_segments")?;
    assert!(left.iter().all(|segment| kept.contains(segment)), "{left:?} {kept:?}");
    assert!(place.listed("")?.iter().any(|name| name.starts_with("...uploading/")));
    assert!(place.restores("latest")?);
    Ok(())
}
