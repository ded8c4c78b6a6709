//! Restores during which Swift fails.

use std::fs;

use anyhow::Result;
use xtask::{Direction, Service};

use crate::{place::Place, shared::PLAIN};

/// A position in the middle of the data.
const MIDDLE: u64 = 40 << 20;

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn a_restore_waits_for_a_swift_that_comes_back_and_leaves_nothing_where_it_does_not() -> Result<()> {
    let swift = PLAIN.lease()?;
    let place = Place::new(&swift, "restores")?.wired();
    place.back_up()?;
    let restored = place.directory.join("restored");
    let directory = restored.to_string_lossy();
    for service in [Service::Object(1), Service::Proxy] {
        let start = |place: &Place<'_>| place.start(&["restore", "latest", &directory]);
        let restoring = place.impatient().in_the_middle(Direction::ToClient, MIDDLE, start)?;
        swift.kill(service)?;
        swift.wire().heal();
        restoring.wait()?.expect(1)?;
        assert!(!restored.exists());
        swift.up(service)?;
    }
    for service in [Service::Object(1), Service::Proxy] {
        let start = |place: &Place<'_>| place.start(&["restore", "latest", &directory]);
        let mut restoring = place.in_the_middle(Direction::ToClient, MIDDLE, start)?;
        swift.kill(service)?;
        swift.wire().heal();
        restoring.wait_for_retry()?;
        swift.up(service)?;
        restoring.wait()?.expect(0)?;
        assert!(place.has_restored(&restored)?);
        fs::remove_dir_all(&restored)?;
    }
    Ok(())
}
