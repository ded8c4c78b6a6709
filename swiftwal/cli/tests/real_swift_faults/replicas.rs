//! Three replicas, some of which can't be reached.

use anyhow::Result;
use xtask::{Service, Swift};

use crate::{place::Place, shared::THREE};

fn kill_node(swift: &Swift, node: usize) -> Result<()> {
    [Service::Object(node), Service::Container(node), Service::Account(node)]
        .into_iter()
        .try_for_each(|service| swift.kill(service))
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn with_one_node_of_three_down_everything_works() -> Result<()> {
    let swift = THREE.lease()?;
    let place = Place::new(&swift, "one-down")?;
    let stored = place.archive(0)?;
    kill_node(&swift, 2)?;
    let name = place.archive(1)?;
    assert!(place.fetches(&stored)? && place.fetches(&name)?);
    let absent = place.segment(2)?;
    place.run(&["restore-wal", &absent, "fetched"])?.expect(1)?;
    // Objects stored meanwhile are listed by some of the servers, and by all of them once Swift has repaired itself.
    assert!(place.succeed(&["list-wal"])?.starts_with(&stored));
    // It belongs to another cluster, and so needs its own container.
    let place = Place::new(&swift, "one-down-backup")?;
    let key = place.back_up()?;
    assert!(place.restores(&key)?);
    Ok(())
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn with_two_nodes_of_three_down_nothing_is_acknowledged_and_nothing_is_taken_for_absent() -> Result<()> {
    let swift = THREE.lease()?;
    let place = Place::new(&swift, "two-down")?;
    let stored = place.archive(0)?;
    let name = place.segment(1)?;
    kill_node(&swift, 2)?;
    kill_node(&swift, 3)?;
    place.impatient().run(&["archive-wal", &name])?.expect(1)?;
    place.impatient().run(&["restore-wal", &name, "fetched"])?.expect(128)?;
    // One replica is enough to read.
    assert!(place.fetches(&stored)?);
    swift.mend()?;
    place.succeed(&["archive-wal", &name])?;
    assert!(place.fetches(&name)?);
    Ok(())
}
