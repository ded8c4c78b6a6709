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

/// Returns the minute of the full backup at the beginning of a chain.
fn root(world: &World, backup: &Backup) -> i64 {
    world.chain(backup).last().map_or(backup.minute, |full| full.minute)
}

fn is_damaged(world: &World, backup: &Backup) -> bool {
    world.chain(backup).iter().any(|member| member.is_damaged)
}

/// Returns the full backups of the newest chains of a single timeline, of which `count` count: those with a member without
/// damage, or all if each backup is damaged. A chain is as new as its newest member.
fn newest_chains(world: &World, count: usize) -> BTreeSet<i64> {
    let mut backups: Vec<_> = world.backups.iter().collect();
    backups.sort_by_key(|backup| (backup.start(), backup.minute));
    let every_one_is_damaged = backups.iter().all(|backup| is_damaged(world, backup));
    let mut wanted = BTreeSet::new();
    let mut counted = 0;
    for backup in backups.iter().rev() {
        let chain = root(world, backup);
        if counted < count && wanted.insert(chain) {
            let mut members = backups.iter().filter(|other| root(world, other) == chain);
            counted += usize::from(every_one_is_damaged || members.any(|other| !is_damaged(world, other)));
        }
    }
    wanted
}

/// Returns the minutes of the backups that one in progress builds on.
fn needed_by_running(world: &World) -> BTreeSet<i64> {
    let chain = world.running.iter().flat_map(|running| world.chain(running));
    let stored = chain.filter(|member| Some(member.minute) != world.running.as_ref().map(|own| own.minute));
    stored.map(|member| member.minute).collect()
}

fn check_backups(world: &World, policy: PrunePolicy, kept: &[&Backup]) -> Result<(), TestCaseError> {
    let count = usize::try_from(policy.keep_backups.get()).unwrap();
    let minutes: BTreeSet<_> = kept.iter().map(|backup| backup.minute).collect();
    // Clocks may jump, but the position in the WAL only grows.
    let newest =
        world.backups.iter().max_by_key(|backup| (backup.timeline, backup.start(), backup.minute)).unwrap();
    prop_assert!(kept.contains(&newest), "the newest backup is removed");
    let parents: BTreeSet<_> = kept.iter().filter_map(|backup| backup.parent).collect();
    prop_assert!(parents.is_subset(&minutes), "a parent is removed");
    prop_assert!(needed_by_running(world).is_subset(&minutes), "the parent of a running backup is removed");
    if world.timelines.len() == 1 {
        let chains = newest_chains(world, count);
        let newest = world.backups.iter().filter(|backup| chains.contains(&root(world, backup)));
        let expected: BTreeSet<_> = newest.map(|backup| backup.minute).collect();
        let expected: BTreeSet<_> = expected.union(&needed_by_running(world)).copied().collect();
        prop_assert_eq!(&minutes, &expected, "on one timeline the count is exact");
    }
    let chains =
        |kept: Vec<&Backup>| kept.iter().map(|backup| root(world, backup)).collect::<BTreeSet<_>>().len();
    let clean: Vec<_> = kept.iter().copied().filter(|backup| !is_damaged(world, backup)).collect();
    // Where every backup is damaged, they count.
    prop_assert!(!clean.is_empty() || world.backups.iter().all(|backup| is_damaged(world, backup)));
    prop_assert!(chains(clean) <= count * world.timelines.len() + world.timelines.len() + 1);
    let ends_of = |backup: &Backup| ends(world, backup.timeline, backup.stop());
    for removed in world.backups.iter().filter(|backup| !kept.contains(backup)) {
        let leading = |end: &u32| kept.iter().copied().filter(|kept| ends_of(kept).contains(end)).collect();
        let stand_in = |end: &u32| chains(leading(end)) >= count;
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
