//! Plays prunes and a backup that run at the same time, with their requests in many orders: whatever the order, a listed
//! backup can be restored. One of them may be killed, or the storage may be full for a while. That nothing is lost isn't
//! enough: most of the commands must succeed. Backups that begin at once all succeed.
//!
//! A seed decides the order. A failure shows the seed and the requests.

mod order;
mod turns;

use std::{collections::BTreeSet, future::pending, num::NonZeroU32};

use anyhow::Result;
use swiftwal_backends::registry;
use swiftwal_core::{
    BackupChoice, BackupKey, BackupMode, BackupOptions, Error, PrunePolicy, Refusal, Repository, backup,
    keep, plan_prune, plan_restore, prune,
};

use self::{
    order::Order,
    turns::{Trouble, Turns},
};
use super::{
    site::{Site, options, restore_options, shown, take},
    snapshot::Snapshot,
};
use crate::{Harness, SyntheticCluster, SyntheticSource, faulty::Faults, random::Random, subject::Subject};

/// The names of the processes.
const PROCESSES: [&str; 3] = ["prune 1", "prune 2", "backup"];
/// The number of the newest archived segment.
const LAST: u64 = 10;

/// How many commands have succeeded.
#[derive(Debug, Default)]
struct Successes {
    prunes: usize,
    backups: usize,
}

/// A repository with two chains of a full backup and an incremental one, and what else they need.
struct World {
    site: Site,
    full: Snapshot,
    keys: Vec<BackupKey>,
}

impl World {
    async fn new(name: &'static str) -> Result<Self> {
        let subject = Subject::new(&Harness::new(registry(), move || format!("memory://{name}")))?;
        let site = Site::of(subject, SyntheticCluster::new(1).with_table_bytes(100))?;
        site.archive(1..=LAST).await?;
        let mut keys = Vec::new();
        for (number, mode) in [
            (2, BackupMode::Full),
            (3, BackupMode::Incremental(BackupChoice::Latest)),
            (5, BackupMode::Full),
            (6, BackupMode::Incremental(BackupChoice::Latest)),
        ] {
            let (source, options) = (source(&site, number), BackupOptions { mode, ..options() });
            keys.push(take(&site.repository, &source, &options).await?.key);
            site.wait_hours(1);
        }
        let full = Snapshot::of(&site.subject).await?;
        Ok(Self { site, full, keys })
    }

    /// Opens the repository for one of several processes.
    fn repository(&self, turns: &Turns, process: &'static str) -> Result<Repository> {
        let storage = turns.storage(self.site.subject.storage()?, process);
        Ok(self.site.subject.of_storage(storage, &Faults::none()))
    }

    /// Fails unless each listed backup has its parents, their objects, and the WAL from its start on.
    async fn check(&self) -> Result<(), String> {
        let listed = self.site.repository.inventory().await.map_err(|error| shown(&error))?;
        let wal: BTreeSet<_> = listed.wal.iter().map(|wal| wal.name.to_string()).collect();
        for backup in &listed.backups {
            let choice = BackupChoice::Key(backup.key);
            let restore = plan_restore(
                &self.site.repository,
                choice,
                &self.site.subject.path("pgdata"),
                &restore_options(),
                &|_| {},
            )
            .await;
            let restore =
                restore.map_err(|error| format!("{} can't be restored: {}", backup.key, shown(&error)))?;
            if let Some(shortfall) = restore.shortfall {
                return Err(format!("{}: {shortfall}", backup.key));
            }
            let record = self.site.repository.record(backup.key).await.map_err(|error| shown(&error))?;
            let needed = (1..=LAST).map(|number| self.site.cluster.wal_name(number).to_string());
            let first = record.first_wal.to_string();
            if let Some(missing) = needed.filter(|name| *name >= first).find(|name| !wal.contains(name)) {
                return Err(format!("backup {} needs {missing}, which was removed", backup.key));
            }
        }
        Ok(())
    }
}

fn source(site: &Site, number: u64) -> SyntheticSource {
    site.cluster.backup(number, number).that_sends_a_manifest()
}

async fn prune_to(repository: &Repository, keep_backups: u32) -> Result<(), Error> {
    let keep_backups = NonZeroU32::new(keep_backups).unwrap_or(NonZeroU32::MIN);
    let plan = plan_prune(repository, &PrunePolicy::newest(keep_backups)).await?;
    prune(repository, &plan).await
}

/// Returns the backup that is taken: a full one, one of a standby that starts in segment `restartpoint`, or an incremental one
/// of the newest backup or of one that a prune removes.
fn which(world: &World, dice: &mut Random, restartpoint: u64) -> (u64, BackupMode) {
    match dice.up_to(8) {
        1 => (9, BackupMode::Full),
        2 => (restartpoint, BackupMode::Full),
        3 => (9, BackupMode::Incremental(BackupChoice::Latest)),
        4 => (9, BackupMode::Auto { full_every: None }),
        other => (9, BackupMode::Incremental(BackupChoice::Key(world.keys[other % 2]))),
    }
}

/// Plays one order of the requests of two prunes and a backup. Describes what is wrong afterwards.
///
/// Where the storage is full, the backup begins as soon as there is room. Only one prune runs then: another one could make
/// room for a complete backup between the last look of the first one and its next deletion.
async fn play(world: &World, seed: u64, trouble: Trouble, successes: &mut Successes) -> Result<(), String> {
    let mut dice = Random::new(seed, 0);
    let keep = if dice.up_to(2) == 1 { [1, 2] } else { [1, 1] };
    let is_full = matches!(trouble, Trouble::Full { .. });
    // On a full storage, the first removed segment is what makes room.
    let (start, mode) = which(world, &mut dice, if is_full { 4 } else { 1 });
    let (options, source) = (BackupOptions { mode, ..options() }, source(&world.site, start));
    let turns = Turns::with(trouble);
    let [first, second, third] = PROCESSES.map(|process| world.repository(&turns, process).unwrap());
    let order = match is_full {
        true => Order::of_two(dice, [PROCESSES[0], PROCESSES[2]]),
        false => Order::of(dice, PROCESSES),
    };
    let first = async {
        let pruned = turns.process(PROCESSES[0], Box::pin(prune_to(&first, keep[0]))).await;
        turns.make_room();
        pruned
    };
    let second = async {
        match is_full {
            true => None,
            false => turns.process(PROCESSES[1], Box::pin(prune_to(&second, keep[1]))).await,
        }
    };
    let third = async {
        if is_full {
            turns.has_room().await;
        }
        turns.process(PROCESSES[2], Box::pin(backup(&third, &source, &options, &|_| {}, pending()))).await
    };
    let work = async { tokio::join!(first, second, third) };
    let (first, second, taken) = turns.play(order, work).await;
    let outcomes = [first, second, taken.map(|taken| taken.map(drop))];
    let succeeded = outcomes.each_ref().map(|outcome| usize::from(matches!(outcome, Some(Ok(())))));
    successes.prunes += succeeded[0] + succeeded[1];
    successes.backups += succeeded[2];
    let errors = outcomes.iter().flatten().filter_map(|outcome| outcome.as_ref().err());
    let unexpected = errors.into_iter().find(|error| !is_expected(error));
    let wrong = match (world.check().await, unexpected) {
        (Err(wrong), _) => wrong,
        (Ok(()), Some(error)) => format!("an unexpected error: {}", shown(error)),
        (Ok(()), None) => {
            return world.full.put_back(&world.site.subject).await.map_err(|error| error.to_string());
        }
    };
    let requests = turns.passed();
    Err(format!(
        "seed {seed}, {trouble:?}, prunes to {keep:?}, backup in {start} {mode:?}: {wrong}\n{outcomes:#?}\n{requests}"
    ))
}

/// Whether one of several commands may fail so because of the others.
fn is_expected(error: &Error) -> bool {
    matches!(
        error,
        Error::Refused(Refusal::Overtaken { .. })
            // The requested parent was removed before the backup began, or is being removed.
            | Error::UnknownBackup { .. }
            | Error::Refused(Refusal::NotIncremental { .. })
            // WAL that the backup needs was removed before it began.
            | Error::TimedOut(_)
    )
}

/// Plays these orders, each with its own trouble.
async fn play_all(
    name: &'static str,
    seeds: impl Iterator<Item = u64>,
    trouble: impl Fn(&mut Random) -> Trouble,
) -> Successes {
    let world = World::new(name).await.unwrap();
    let mut successes = Successes::default();
    for seed in seeds {
        let trouble = trouble(&mut Random::new(seed, 1));
        play(&world, seed, trouble, &mut successes).await.unwrap_or_else(|wrong| panic!("{wrong}"));
    }
    successes
}

#[tokio::test(start_paused = true)]
async fn whatever_the_order_of_the_requests_of_two_prunes_and_a_backup_what_is_listed_can_be_restored() {
    // Among them are orders in which earlier versions lost a parent, and WAL.
    let Successes { prunes, backups } = play_all("interleaved", 850..1200, |_| Trouble::None).await;
    assert!(prunes > 500 && backups > 180, "only {prunes} prunes and {backups} backups succeeded");
}

#[tokio::test(start_paused = true)]
async fn what_is_listed_can_be_restored_though_a_prune_or_a_backup_is_killed() {
    let Successes { prunes, backups } = play_all("killed", 0..200, |dice| {
        let process = PROCESSES[dice.up_to(PROCESSES.len()) - 1];
        Trouble::Killed { process, requests: dice.up_to(50) - 1 }
    })
    .await;
    assert!(prunes > 180 && backups > 80, "only {prunes} prunes and {backups} backups succeeded");
}

#[tokio::test(start_paused = true)]
async fn what_is_listed_can_be_restored_though_a_full_storage_refuses_the_marks() {
    // Among them are orders in which an earlier version lost a parent, and WAL.
    let seeds = (0..100).chain(750..850);
    let Successes { prunes, backups } =
        play_all("full", seeds, |dice| Trouble::Full { deletions: dice.up_to(16) }).await;
    assert!(prunes > 140 && backups > 60, "only {prunes} prunes and {backups} backups succeeded");
}

/// Plays one order of the requests of two prunes and a keep. Returns whether the backup was pinned, and how many prunes
/// succeeded.
async fn play_keep(world: &World, seed: u64, trouble: Trouble) -> Result<(bool, usize), String> {
    const KEEP: [&str; 3] = ["prune 1", "prune 2", "keep"];
    let mut dice = Random::new(seed, 0);
    let pinned = world.keys[dice.up_to(2) - 1];
    let turns = Turns::with(trouble);
    let [first, second, third] = KEEP.map(|process| world.repository(&turns, process).unwrap());
    let work = async {
        tokio::join!(
            turns.process(KEEP[0], Box::pin(prune_to(&first, 1))),
            turns.process(KEEP[1], Box::pin(prune_to(&second, 1))),
            turns.process(KEEP[2], Box::pin(keep(&third, BackupChoice::Key(pinned), None, None))),
        )
    };
    let (first, second, kept) = turns.play(Order::of(dice, KEEP), work).await;
    let outcomes = [first, second, kept.map(|kept| kept.map(drop))];
    let is_kept = matches!(outcomes[2], Some(Ok(())));
    let prunes = outcomes[..2].iter().filter(|outcome| matches!(outcome, Some(Ok(())))).count();
    let is_listed = world.site.listed().await.map_err(|error| error.to_string())?.contains(&pinned);
    let unexpected = outcomes.iter().flatten().filter_map(|outcome| outcome.as_ref().err());
    let unexpected = unexpected.into_iter().find(|error| !is_expected(error));
    let wrong = match (world.check().await, unexpected) {
        (Err(wrong), _) => wrong,
        (Ok(()), Some(error)) => format!("an unexpected error: {}", shown(error)),
        (Ok(()), None) if is_kept && !is_listed => format!("backup {pinned} was pinned, and is gone"),
        (Ok(()), None) => {
            let back = world.full.put_back(&world.site.subject).await;
            return back.map(|()| (is_kept, prunes)).map_err(|error| error.to_string());
        }
    };
    Err(format!("seed {seed}, {trouble:?}: {wrong}\n{outcomes:#?}\n{}", turns.passed()))
}

#[tokio::test(start_paused = true)]
async fn whatever_the_order_of_the_requests_of_two_prunes_and_a_keep_a_pinned_backup_stays() {
    let world = World::new("pinned").await.unwrap();
    let (mut pinned, mut pruned) = (0, 0);
    for seed in 0..300 {
        let mut dice = Random::new(seed, 1);
        let process = ["prune 1", "prune 2", "keep"][dice.up_to(3) - 1];
        let killed = Trouble::Killed { process, requests: dice.up_to(50) - 1 };
        let trouble = if seed % 3 == 0 { killed } else { Trouble::None };
        let (is_kept, prunes) =
            play_keep(&world, seed, trouble).await.unwrap_or_else(|wrong| panic!("{wrong}"));
        pinned += usize::from(is_kept);
        pruned += prunes;
    }
    assert!(pinned > 60 && pruned > 200, "only {pinned} backups were pinned and {pruned} prunes succeeded");
}

/// Plays one order of the requests of three backups that begin at the same time.
async fn play_backups(world: &World, seed: u64) -> Result<(), String> {
    const BACKUPS: [&str; 3] = ["backup 1", "backup 2", "backup 3"];
    let turns = Turns::with(Trouble::LateCreates);
    let repositories = BACKUPS.map(|process| world.repository(&turns, process).unwrap());
    let sources = [7, 8, 9].map(|start| source(&world.site, start));
    let options = options();
    let backups = repositories
        .iter()
        .zip(&sources)
        .map(|(repository, source)| Box::pin(backup(repository, source, &options, &|_| {}, pending())));
    let order = Order::of(Random::new(seed, 0), BACKUPS);
    let taken = turns.play(order, futures::future::join_all(backups)).await;
    let keys: BTreeSet<_> = taken.iter().flatten().map(|record| record.key).collect();
    let wrong = match world.check().await {
        Ok(()) if keys.len() == BACKUPS.len() => {
            return world.full.put_back(&world.site.subject).await.map_err(|error| error.to_string());
        }
        Ok(()) => "not each backup has a key of its own".to_owned(),
        Err(wrong) => wrong,
    };
    Err(format!("seed {seed}: {wrong}\n{taken:#?}\n{}", turns.passed()))
}

#[tokio::test(start_paused = true)]
async fn backups_that_begin_at_once_all_succeed_where_the_storage_lets_two_create_the_same_object() {
    let world = World::new("at-once").await.unwrap();
    for seed in 0..100 {
        play_backups(&world, seed).await.unwrap_or_else(|wrong| panic!("{wrong}"));
    }
}
