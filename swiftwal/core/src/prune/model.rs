//! Compares what prune keeps with a model of what PostgreSQL can reach.
//!
//! The model follows the timelines in the order of time, and never reads a name, a history or a listing.

mod rules;
mod world;

use std::{collections::BTreeSet, num::NonZeroU32};

use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};

use self::{
    rules::{Model, Rules, rules},
    world::{Backup, World, worlds},
};
use super::{PrunePlan, PrunePolicy, plan_prune};

const CASES: u32 = 300;

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

fn kept<'a>(world: &'a World, plan: &PrunePlan) -> Vec<&'a Backup> {
    world.backups.iter().filter(|backup| plan.keep_backups.contains(&backup.key())).collect()
}

fn numbers(kept: &[&Backup]) -> BTreeSet<i64> {
    kept.iter().map(|backup| backup.number).collect()
}

/// What holds whatever the rules are.
fn check(world: &World, policy: &PrunePolicy, plan: &PrunePlan) -> Result<(), TestCaseError> {
    let kept = kept(world, plan);
    prop_assert_eq!(plan.keep_backups.len() + plan.remove_backups.len(), world.backups.len());
    let reasons: Vec<_> = plan.kept_for.keys().collect();
    prop_assert_eq!(&reasons, &plan.keep_backups, "each kept backup has a reason, and no other one");
    // Clocks may jump, but the position in the WAL only grows.
    let newest =
        world.backups.iter().max_by_key(|backup| (backup.timeline, backup.start(), backup.number)).unwrap();
    prop_assert!(kept.contains(&newest), "the newest backup is removed");
    let parents: BTreeSet<_> = kept.iter().filter_map(|backup| backup.parent).collect();
    prop_assert!(parents.is_subset(&numbers(&kept)), "a parent is removed");
    let of_running = needed_by_running(world);
    prop_assert!(of_running.is_subset(&numbers(&kept)), "the parent of a running backup is removed");
    check_timelines(world, newest, &kept)?;

    let reached = |backup: &&Backup| match plan.only_themselves.contains(&backup.key()) {
        true => BTreeSet::from([(backup.timeline, backup.start() / world::SEGMENT)]),
        false => reach(world, backup.timeline, backup.start()),
    };
    let mut needed: BTreeSet<Segment> = kept.iter().flat_map(reached).collect();
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

/// The server may be on a timeline that the newest backup doesn't lead to, and that is newer than the others.
fn check_timelines(world: &World, newest: &Backup, kept: &[&Backup]) -> Result<(), TestCaseError> {
    let reached = ends_of(world, newest).into_iter().max();
    let newer =
        world.backups.iter().flat_map(|backup| ends_of(world, backup)).filter(|end| Some(*end) > reached);
    let after: BTreeSet<u32> = kept.iter().flat_map(|backup| ends_of(world, backup)).collect();
    let is_leaf = |end: &u32| !world.timelines.iter().any(|child| child.parent == *end);
    let lost: Vec<_> = newer.filter(is_leaf).filter(|end| !after.contains(end)).collect();
    prop_assert!(lost.is_empty(), "nothing leads to {lost:?} any more");
    Ok(())
}

fn ends_of(world: &World, backup: &Backup) -> BTreeSet<u32> {
    ends(world, backup.timeline, backup.stop())
}

/// Returns the number of the full backup at the beginning of a chain.
fn root(world: &World, backup: &Backup) -> i64 {
    world.chain(backup).last().map_or(backup.number, |full| full.number)
}

fn is_damaged(world: &World, backup: &Backup) -> bool {
    world.chain(backup).iter().any(|member| member.is_damaged)
}

/// Returns the full backups of the newest chains of a single timeline, of which `count` count: those with a member without
/// damage, or all if each backup is damaged. A chain is as new as its newest member.
fn newest_chains(world: &World, count: usize) -> BTreeSet<i64> {
    let mut backups: Vec<_> = world.backups.iter().collect();
    backups.sort_by_key(|backup| (backup.start(), backup.number));
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

/// Returns the numbers of the backups that one in progress builds on.
fn needed_by_running(world: &World) -> BTreeSet<i64> {
    let chain = world.running.iter().flat_map(|running| world.chain(running));
    let stored = chain.filter(|member| Some(member.number) != world.running.as_ref().map(|own| own.number));
    stored.map(|member| member.number).collect()
}

/// What holds of a number of the newest backups.
fn check_count(world: &World, count: NonZeroU32, plan: &PrunePlan) -> Result<(), TestCaseError> {
    let count = usize::try_from(count.get()).unwrap();
    let kept = kept(world, plan);
    if world.timelines.len() == 1 {
        let chains = newest_chains(world, count);
        let is_newer_than_clean = |backup: &Backup| {
            let clean = world.backups.iter().filter(|other| !is_damaged(world, other));
            clean.into_iter().all(|other| (backup.start(), backup.number) > (other.start(), other.number))
        };
        let any_clean = world.backups.iter().any(|backup| !is_damaged(world, backup));
        let stays = |backup: &&Backup| {
            chains.contains(&root(world, backup)) || (any_clean && is_newer_than_clean(backup))
        };
        let staying = world.backups.iter().filter(stays).flat_map(|backup| world.chain(backup));
        let staying: BTreeSet<_> = staying.map(|member| member.number).collect();
        let expected: BTreeSet<_> = staying.union(&needed_by_running(world)).copied().collect();
        prop_assert_eq!(&numbers(&kept), &expected, "on one timeline the count is exact");
    }
    let chains =
        |kept: Vec<&Backup>| kept.iter().map(|backup| root(world, backup)).collect::<BTreeSet<_>>().len();
    let clean: Vec<_> = kept.iter().copied().filter(|backup| !is_damaged(world, backup)).collect();
    // Where every backup is damaged, they count.
    prop_assert!(!clean.is_empty() || world.backups.iter().all(|backup| is_damaged(world, backup)));
    prop_assert!(chains(clean) <= count * world.timelines.len() + world.timelines.len() + 1);
    for removed in world.backups.iter().filter(|backup| !kept.contains(backup)) {
        let leading =
            |end: &u32| kept.iter().copied().filter(|kept| ends_of(world, kept).contains(end)).collect();
        let stand_in = |end: &u32| chains(leading(end)) >= count;
        prop_assert!(
            ends_of(world, removed).iter().any(stand_in),
            "no end has {count} others for {removed:?}"
        );
    }
    Ok(())
}

/// What holds of any combination of rules.
fn check_rules(world: &World, rules: &Rules, plan: &PrunePlan) -> Result<(), TestCaseError> {
    let kept = kept(world, plan);
    if world.timelines.len() == 1 {
        let model = Model { world, rules };
        let mut expected: BTreeSet<_> = model.kept().union(&needed_by_running(world)).copied().collect();
        let wanted: Vec<_> =
            world.backups.iter().filter(|backup| expected.contains(&backup.number)).collect();
        let chains = wanted.into_iter().flat_map(|backup| world.chain(backup));
        expected.extend(chains.map(|member| member.number).collect::<Vec<_>>());
        prop_assert_eq!(&numbers(&kept), &expected, "on one timeline the rules are exact");
    }
    check_wal_window(world, rules, plan)?;
    let is_proven = |backup: &&Backup| backup.is_proven;
    prop_assert!(
        kept.iter().any(|backup| backup.is_proven) || !world.backups.iter().any(|backup| is_proven(&backup))
    );
    let removed = || world.backups.iter().filter(|backup| !kept.contains(backup));
    prop_assert!(!removed().any(|backup| backup.is_pinned), "a pinned backup is removed");
    let Some(begins) = rules.begins else { return Ok(()) };
    let counts =
        |backup: &Backup| !is_damaged(world, backup) && (backup.is_proven || !rules.policy.only_verified);
    for removed in removed().filter(|backup| counts(backup)) {
        prop_assert!(removed.ended() <= begins, "{removed:?} is within the window");
        let ends = ends_of(world, removed);
        let reaches = |kept: &&Backup| {
            counts(kept) && kept.ended() <= begins && !ends.is_disjoint(&ends_of(world, kept))
        };
        prop_assert!(kept.iter().any(reaches), "nothing reaches the window's start for {removed:?}");
    }
    Ok(())
}

/// Each moment of the window of the WAL remains reachable, and no more WAL stays.
fn check_wal_window(world: &World, rules: &Rules, plan: &PrunePlan) -> Result<(), TestCaseError> {
    let is_alone = |backup: &Backup| plan.only_themselves.contains(&backup.key());
    let Some(begins) = rules.wal_begins else {
        prop_assert!(plan.only_themselves.is_empty());
        return Ok(());
    };
    let kept = kept(world, plan);
    let counts = |backup: &Backup| {
        let all = world.backups.iter().all(|other| is_damaged(world, other));
        (all || !is_damaged(world, backup)) && (backup.is_proven || !rules.policy.only_verified)
    };
    let position = |backup: &Backup| (backup.timeline, backup.start(), backup.number);
    for backup in &kept {
        let ends = ends_of(world, backup);
        let stands_in = |other: &Backup| {
            position(other) > position(backup)
                && other.ended() <= begins
                && !ends.is_disjoint(&ends_of(world, other))
                && (counts(other) || world.timelines.len() > 1)
        };
        let has_stand_in = kept.iter().any(|other| stands_in(other));
        if is_alone(backup) {
            prop_assert!(backup.ended() <= begins && has_stand_in, "{backup:?} keeps too little WAL");
        } else if world.timelines.len() == 1 {
            prop_assert!(backup.ended() > begins || !has_stand_in, "{backup:?} keeps too much WAL");
        }
    }
    // For each end that a backup from before the window leads to, one of them keeps all WAL.
    let before = || kept.iter().filter(|backup| backup.ended() <= begins);
    for end in before().flat_map(|backup| ends_of(world, backup)) {
        let is_leaf = !world.timelines.iter().any(|child| child.parent == end);
        let mut leading = before().filter(|backup| ends_of(world, backup).contains(&end));
        prop_assert!(!is_leaf || leading.any(|backup| !is_alone(backup)), "no WAL leads to timeline {end}");
    }
    Ok(())
}

/// Compares the plans for many worlds and rules with the model.
fn run<R: std::fmt::Debug>(
    worlds: impl Strategy<Value = World>,
    rules: impl Strategy<Value = R>,
    policy: impl Fn(&R) -> &PrunePolicy,
    check_more: impl Fn(&World, &R, &PrunePlan) -> Result<(), TestCaseError>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let outcome = TestRunner::new_with_rng(config, random).run(&(worlds, rules), |(world, rules)| {
        let policy = policy(&rules);
        let plan = runtime.block_on(async { plan_prune(&world.repository().await, policy).await });
        let plan = plan.map_err(|error| TestCaseError::fail(error.in_full()))?;
        check(&world, policy, &plan)?;
        check_more(&world, &rules, &plan)
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn what_a_kept_backup_can_reach_stays_and_nothing_else() {
    let policies = (1..4u32, 0..6u32).prop_map(|(backups, keep_wals)| PrunePolicy {
        keep_wals,
        ..PrunePolicy::newest(NonZeroU32::new(backups).unwrap())
    });
    let check_more = |world: &World, policy: &PrunePolicy, plan: &PrunePlan| {
        check_count(world, policy.keep_backups.unwrap(), plan)
    };
    run(worlds().prop_map(World::without_marks), policies, |policy| policy, check_more);
}

#[test]
fn what_any_of_the_rules_keeps_stays_and_nothing_else() {
    run(worlds(), rules(), |rules| &rules.policy, check_rules);
}
