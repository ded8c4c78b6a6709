//! Compares what prune keeps with a model of what PostgreSQL can reach.
//!
//! The model follows the timelines in the order of time, and never reads a name, a history or a listing.

mod world;

use std::{collections::BTreeSet, num::NonZeroU32};

use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};

use self::world::{Backup, World, worlds};
use super::{PrunePlan, PrunePolicy, plan_prune};

const CASES: u32 = 200;

/// A segment: its timeline and its number.
type Segment = (u32, u64);

/// Returns the segments that recovery from a position can read, whichever timeline it follows.
fn reach(world: &World, timeline: u32, lsn: u64) -> BTreeSet<Segment> {
    let mut reached: BTreeSet<_> = world
        .segments()
        .filter(|(tli, number)| *tli == timeline && *number >= lsn / world::SEGMENT)
        .collect();
    for child in world.timelines.iter().filter(|child| child.parent == timeline && child.begins > lsn) {
        reached.extend(reach(world, child.number, child.begins));
    }
    // A timeline of unknown ancestry counts as a descendant.
    let unknown = world.timelines.iter().filter(|other| other.history_is_lost && other.number > timeline);
    for other in unknown.map(|other| other.number) {
        let is_of_other = |segment: &Segment| segment.0 == other && segment.1 >= lsn / world::SEGMENT;
        reached.extend(world.segments().filter(is_of_other));
    }
    reached
}

/// Returns the timelines whose end recovery from a backup is known to reach.
fn ends(world: &World, timeline: u32, lsn: u64) -> BTreeSet<u32> {
    let children = world.timelines.iter().filter(|child| child.parent == timeline && child.begins > lsn);
    let beyond = children.flat_map(|child| {
        let mut ends = ends(world, child.number, child.begins);
        if child.history_is_lost {
            ends.remove(&child.number);
        }
        ends
    });
    beyond.chain([timeline]).collect()
}

fn check(world: &World, policy: PrunePolicy, plan: &PrunePlan) -> Result<(), TestCaseError> {
    let is_kept = |backup: &Backup| plan.keep_backups.contains(&backup.key());
    let kept: Vec<_> = world.backups.iter().filter(|backup| is_kept(backup)).collect();
    prop_assert_eq!(plan.keep_backups.len() + plan.remove_backups.len(), world.backups.len());
    check_backups(world, policy, &kept)?;

    let mut needed: BTreeSet<Segment> =
        kept.iter().flat_map(|backup| reach(world, backup.timeline, backup.start())).collect();
    if let Some(running) = &world.running {
        needed.extend(reach(world, running.timeline, running.start()));
    }
    let all: BTreeSet<Segment> = world.segments().collect();
    let newest = usize::try_from(policy.keep_wals).unwrap();
    needed.extend(all.iter().rev().take(newest));
    let kept_wal: BTreeSet<_> = plan.keep_wal.iter().filter_map(|wal| world::segment(wal.name)).collect();
    let removed: BTreeSet<_> = plan.remove_wal.iter().filter_map(|wal| world::segment(wal.name)).collect();
    prop_assert_eq!(&kept_wal, &needed, "kept and needed");
    prop_assert_eq!(removed, all.difference(&needed).copied().collect::<BTreeSet<_>>());
    prop_assert!(plan.remove_wal.iter().all(|wal| wal.name.segment().is_some()), "a history is removed");
    Ok(())
}

/// Returns how many of the newest backups of a single timeline hold `count` that count: those without damage, or all if
/// each is damaged.
fn newest_counted(world: &World, count: usize) -> usize {
    let mut backups: Vec<_> = world.backups.iter().collect();
    backups.sort_by_key(|backup| (backup.start(), backup.minute));
    let every_one_is_damaged = backups.iter().all(|backup| backup.is_damaged);
    let mut counted = 0;
    let newest = backups.iter().rev().take_while(|backup| {
        let is_needed = counted < count;
        counted += usize::from(every_one_is_damaged || !backup.is_damaged);
        is_needed
    });
    newest.count()
}

fn check_backups(world: &World, policy: PrunePolicy, kept: &[&Backup]) -> Result<(), TestCaseError> {
    let count = usize::try_from(policy.keep_backups.get()).unwrap();
    // Clocks may jump, but the position in the WAL only grows.
    let newest =
        world.backups.iter().max_by_key(|backup| (backup.timeline, backup.start(), backup.minute)).unwrap();
    prop_assert!(kept.contains(&newest), "the newest backup is removed");
    if world.timelines.len() == 1 {
        prop_assert_eq!(kept.len(), newest_counted(world, count), "on one timeline the count is exact");
    }
    let clean = kept.iter().filter(|backup| !backup.is_damaged).count();
    prop_assert!(clean <= count * world.timelines.len() + world.timelines.len());
    // Where every backup is damaged, they count.
    prop_assert!(clean > 0 || world.backups.iter().all(|backup| backup.is_damaged));
    let ends_of = |backup: &Backup| ends(world, backup.timeline, backup.stop());
    for removed in world.backups.iter().filter(|backup| !kept.contains(backup)) {
        let stand_in = |end: &u32| kept.iter().filter(|kept| ends_of(kept).contains(end)).count() >= count;
        prop_assert!(ends_of(removed).iter().any(stand_in), "no end has {count} others for {removed:?}");
    }
    // The server may be on a timeline that the newest backup doesn't lead to, and that is newer than the others.
    let reached = ends_of(newest).into_iter().max();
    let newer = world.backups.iter().flat_map(ends_of).filter(|end| Some(*end) > reached);
    let after: BTreeSet<u32> = kept.iter().copied().flat_map(ends_of).collect();
    let is_leaf = |end: &u32| !world.timelines.iter().any(|child| child.parent == *end);
    let lost: Vec<_> = newer.filter(is_leaf).filter(|end| !after.contains(end)).collect();
    prop_assert!(lost.is_empty(), "nothing leads to {lost:?} any more");
    Ok(())
}

#[test]
fn what_a_kept_backup_can_reach_stays_and_nothing_else() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let policies = (1..4u32, 0..6u32).prop_map(|(backups, keep_wals)| PrunePolicy {
        keep_backups: NonZeroU32::new(backups).unwrap(),
        keep_wals,
    });
    let outcome = TestRunner::new_with_rng(config, random).run(&(worlds(), policies), |(world, policy)| {
        let plan = runtime.block_on(async { plan_prune(&world.repository().await, &policy).await });
        let plan = plan.map_err(|error| TestCaseError::fail(error.in_full()))?;
        check(&world, policy, &plan)
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}
