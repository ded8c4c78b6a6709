//! Connections that break in the middle of a body.

use anyhow::Result;
use xtask::{Break, Direction, Fault};

use crate::{
    place::Place,
    shared::{PLAIN, THREE},
};

/// A position in the middle of a segment of 1 MiB that can't be compressed.
const MIDDLE: u64 = 300_000;

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn a_connection_that_breaks_in_mid_body_or_before_its_answer_costs_a_retry() -> Result<()> {
    let swift = PLAIN.lease()?;
    let place = Place::new(&swift, "broken")?.wired();
    let mut number = 0;
    place.archive(number)?;
    for kind in [Break::Cut, Break::Reset] {
        // The last one: Swift has stored the file, and its response is lost.
        let faults = [(Direction::ToServer, 0), (Direction::ToServer, MIDDLE), (Direction::ToClient, 0)];
        for (direction, after) in faults {
            swift.wire().arm(Fault { direction, after, kind });
            number += 1;
            let name = place.archive(number)?;
            assert_eq!(swift.wire().armed(), 0);
            swift.wire().arm(Fault { direction: Direction::ToClient, after: MIDDLE, kind });
            assert!(place.fetches(&name)?);
            assert_eq!(swift.wire().armed(), 0);
        }
    }
    assert_eq!(place.succeed(&["list-wal"])?.lines().count(), 7);
    Ok(())
}

/// On a Swift that few other tests need, since it takes a minute: half of the time for retries.
#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn a_connection_that_stands_still_is_given_up_while_there_is_time_to_make_another() -> Result<()> {
    let swift = THREE.lease()?;
    let place = Place::new(&swift, "still")?.wired();
    let stored = place.archive(0)?;
    let name = place.segment(1)?;
    let up = ["archive-wal", &name];
    let down = ["restore-wal", &stored, "fetched"];
    let archiving = place.in_the_middle(Direction::ToServer, MIDDLE, |place| place.start(&up))?;
    let fetching = place.in_the_middle(Direction::ToClient, MIDDLE, |place| place.start(&down))?;
    let archived = archiving.wait()?.expect(0)?;
    assert!(archived.stderr.contains("no progress for 60 s"), "{}", archived.stderr);
    fetching.wait()?.expect(0)?;
    assert!(place.has_fetched(&stored)?);
    assert!(place.fetches(&name)?);
    Ok(())
}
