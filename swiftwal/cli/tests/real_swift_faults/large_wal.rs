//! WAL segments that are too large for one put: large objects of Swift.

use std::fs;

use anyhow::Result;
use swiftwal_conformance::SyntheticCluster;
use swiftwal_postgres::SegmentSize;
use xtask::Direction;

use crate::{place::Place, shared::PLAIN};

/// A position in the middle of the segment.
const MIDDLE: u64 = 40 << 20;

/// Writes a segment of 64 MiB into the directory, and returns its name.
fn large_segment(place: &Place<'_>, number: u64) -> Result<String> {
    let cluster = SyntheticCluster::new(1).with_segment_size(SegmentSize::new(64 << 20)?);
    let name = cluster.wal_name(number).to_string();
    fs::write(place.directory.join(&name), cluster.segment(number))?;
    Ok(name)
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn a_large_segment_has_no_name_until_all_of_it_is_stored_and_goes_with_its_parts() -> Result<()> {
    let swift = PLAIN.lease()?;
    let place = Place::new(&swift, "large-wal")?.wired();
    for number in [1, 2] {
        let name = large_segment(&place, number)?;
        let arguments = ["--compression", "none", "archive-wal", &name];
        place.in_the_middle(Direction::ToServer, MIDDLE, |place| place.start(&arguments))?.kill()?;
        swift.wire().heal();
        assert!(!place.listed("")?.iter().any(|object| object.contains(&name)), "it has a name already");
        assert!(!place.listed("_segments")?.is_empty(), "parts were stored");

        let before = place.listed("_segments")?.len();
        place.succeed(&arguments)?;
        let parts = place.listed("_segments")?.len();
        assert_eq!(parts - before, 16, "of 4 MiB each");
        place.succeed(&arguments)?;
        assert_eq!(place.listed("_segments")?.len(), parts, "the same again leaves nothing");
        assert!(place.fetches(&name)?);
    }
    let newer = large_segment(&place, 2)?;
    place.succeed(&["archive-cleanup", "--ignore-backups", &newer])?;
    assert_eq!(place.succeed(&["list-wal"])?, format!("{newer}\n"));
    let left = place.listed("_segments")?;
    let of_older = large_segment(&place, 1)?;
    // A prune removes the parts of the killed upload after a day.
    let named = left.iter().filter(|segment| segment.contains(&of_older)).count();
    assert!(named < 16, "the parts of the removed segment are there: {left:?}");
    assert!(place.fetches(&newer)?);
    Ok(())
}
