//! Limits on the rate and on space.

use std::fs;

use anyhow::Result;
use swiftwal_conformance::SyntheticCluster;
use swiftwal_postgres::SegmentSize;
use xtask::Direction;

use crate::{
    place::Place,
    shared::{NARROW, PLAIN, RATED},
};

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn a_limit_of_rate_is_waited_out() -> Result<()> {
    let swift = RATED.lease()?;
    let place = Place::new(&swift, "rate")?;
    place.archive(0)?;
    // The proxy limits no container whose cached size is zero; this makes it look again.
    place.client(&["post", &place.container])?;
    let names: Vec<_> = (1..3).map(|number| place.segment(number)).collect::<Result<_>>()?;
    let archiving: Vec<_> =
        names.iter().map(|name| place.start(&["archive-wal", name])).collect::<Result<_>>()?;
    let mut has_retried = false;
    for running in archiving {
        has_retried |= running.wait()?.expect(0)?.has_retried();
    }
    assert!(has_retried, "there was no limit");
    for name in &names {
        assert!(place.fetches(name)?);
    }
    Ok(())
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn a_quota_that_is_used_up_is_an_error_that_says_so_at_once() -> Result<()> {
    let swift = PLAIN.lease()?;
    let place = Place::new(&swift, "quota")?;
    place.archive(0)?;
    let name = place.segment(1)?;
    let limit = |quota: &str| place.client(&["post", "-m", quota, &place.container]);
    limit("quota-bytes:1000")?;
    let of_container = place.run(&["archive-wal", &name]);
    limit("quota-bytes:")?;
    swift.limit_account(Some(1000))?;
    let of_account = place.run(&["archive-wal", &name]);
    swift.limit_account(None)?;
    of_container?.expect_over_quota()?;
    of_account?.expect_over_quota()?;
    assert!(place.archives_after_a_refusal(&name)?);
    Ok(())
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn full_disks_are_an_error_and_nothing_is_stored_until_there_is_room() -> Result<()> {
    let swift = PLAIN.lease()?;
    let place = Place::new(&swift, "full")?;
    let stored = place.archive(0)?;
    let name = place.segment(1)?;
    swift.fill_disks()?;
    let refused = place.impatient().run(&["archive-wal", &name]);
    let fetched = place.fetches(&stored);
    swift.free_disks()?;
    let refused = refused?.expect(1)?;
    assert!(refused.reason().contains("503") || refused.reason().contains("507"), "{}", refused.reason());
    assert!(fetched?);
    assert_eq!(place.succeed(&["list-wal"])?, format!("{stored}\n"));
    place.succeed(&["archive-wal", &name])?;
    assert!(place.fetches(&name)?);
    Ok(())
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn a_backup_that_meets_a_quota_or_full_disks_leaves_nothing_that_is_listed() -> Result<()> {
    let swift = PLAIN.lease()?;
    let place = Place::new(&swift, "no-room")?.wired();
    // The next object that is written: a segment, or the manifest.
    let limit = |quota: &str| {
        ["", "_segments"].iter().try_for_each(|suffix| {
            place.client(&["post", "-m", quota, &format!("{}{suffix}", place.container)]).map(drop)
        })
    };
    for disks in [false, true] {
        let backup = place
            .impatient()
            .in_the_middle(Direction::ToServer, 32 << 20, |place| place.start_backup(&[]))?;
        if disks {
            swift.fill_disks()?;
        } else {
            limit("quota-bytes:1000")?;
        }
        swift.wire().heal();
        let refused = backup.wait();
        if disks {
            swift.free_disks()?;
        } else {
            limit("quota-bytes:")?;
        }
        let refused = refused?.expect(1)?;
        let expected = if disks { "50" } else { "quota" };
        assert!(refused.reason().contains(expected), "{}", refused.reason());
        assert_eq!(place.run(&["list-backups"])?.stdout, "");
    }
    place.back_up()?;
    place.succeed(&["prune", "--keep-backups", "1"])?;
    assert!(place.restores("latest")?);
    Ok(())
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn where_nothing_more_can_be_stored_it_can_be_pruned() -> Result<()> {
    let swift = PLAIN.lease()?;
    let place = Place::new(&swift, "overfull")?;
    let quota =
        |bytes: &str| place.client(&["post", "-m", &format!("quota-bytes:{bytes}"), &place.container]);
    for limit in ["container", "account", "disks"] {
        place.back_up()?;
        let kept = place.back_up()?;
        match limit {
            "container" => drop(quota("1000")?),
            "account" => swift.limit_account(Some(1000))?,
            _ => swift.fill_disks()?,
        }
        let pruned = place.impatient().run(&["prune", "--keep-backups", "1"]);
        quota("")?;
        swift.limit_account(None)?;
        swift.free_disks()?;
        pruned?.expect(0)?;
        assert_eq!(place.succeed(&["list-backups"])?, format!("{kept}\n"), "{limit}");
        assert!(place.restores(&kept)?, "{limit}");
    }
    Ok(())
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn what_is_longer_than_the_cluster_takes_objects_is_stored_in_shorter_ones() -> Result<()> {
    let swift = NARROW.lease()?;
    let place = Place::new(&swift, "narrow")?;
    let cluster = SyntheticCluster::new(1).with_segment_size(SegmentSize::new(16 << 20)?);
    let name = cluster.wal_name(1).to_string();
    fs::write(place.directory.join(&name), cluster.segment(1))?;
    for _ in 0..2 {
        let archived = place.run(&["--compression", "none", "archive-wal", &name])?.expect(0)?;
        assert!(!archived.has_retried(), "{}", archived.stderr);
    }
    assert!(place.fetches(&name)?);
    let place = Place::new(&swift, "narrow-backup")?;
    for _ in 0..2 {
        place.back_up()?;
    }
    place.succeed(&["prune", "--keep-backups", "1"])?;
    assert!(place.restores("latest")?);
    Ok(())
}
