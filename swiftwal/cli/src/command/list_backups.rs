//! The subcommand list-backups.

mod pins;
mod table;

use std::collections::BTreeSet;

use serde::Serialize;
use swiftwal_core::{BackupKey, BackupRecord, BackupTree, Error, Inventory, StoredBackup, only_themselves};

use self::pins::{PinEntry, PinsNow};
use crate::{
    failure::{Failure, Finding},
    log, message,
    output::{Size, columns},
    session::Session,
};

/// List the base backups, oldest first.
///
/// Prints the key of each backup. With -v, prints a table with sizes and objects; on a wide terminal, it also shows how
/// long each backup took, its timeline, its version of PostgreSQL, which WAL it needs, and whether it contains that WAL.
/// In the table, an incremental backup is indented below the one that it builds on.
/// It also names the pinned backups, and those that can be restored only to their own end, on standard error.
/// With --json, prints everything that is known about each backup.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  swiftwal -c /etc/swiftwal.toml list-backups -v")]
pub(crate) struct Args {}

/// A backup in `--json`: its objects and, unless SwiftWAL 0.2.2 wrote it, its record or the reason why that can't be
/// read.
#[derive(Serialize)]
struct Entry<'a> {
    #[serde(flatten)]
    stored: &'a StoredBackup,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<BackupRecord>,
    /// The backups that a restore of it needs: the full one first, itself last.
    chain: Vec<BackupKey>,
    /// The member that the chain lacks, without which it can't be restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<BackupKey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Whether it can be restored only to its own end, since the WAL after that was removed or is missing.
    only_itself: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pin: Option<PinEntry<'a>>,
}

/// What is known about backups beside their records.
struct Beside {
    pins: PinsNow,
    /// Those that can be restored only to their own end.
    alone: BTreeSet<BackupKey>,
}

pub(crate) async fn run(session: &Session<'_>) -> Result<(), Failure> {
    let repository = session.open()?;
    let cluster = repository.cluster_if_readable().await?;
    let mut inventory = repository.inventory().await?;
    let ours = cluster.as_ref().ok().and_then(Option::as_ref);
    let records = repository.read_records(&mut inventory, ours).await;
    inventory.foreign.iter().for_each(|notice| log::say(format_args!("{notice}")));
    let unreadable =
        || cluster.as_ref().err().into_iter().chain(records.iter().filter_map(|r| r.as_ref().err()));
    unreadable().for_each(report);
    let mut finding = unreadable().map(Finding::of).max();
    let readable = records.iter().flatten().flatten();
    readable.filter_map(BackupRecord::damage_notice).for_each(|notice| log::say(format_args!("{notice}")));
    let keys = inventory.backups.iter().map(|backup| backup.key);
    let tree = BackupTree::new(keys, records.iter().flatten().flatten());
    tree.notices().for_each(|notice| log::say(format_args!("{notice}")));
    let pins = or_reported(PinsNow::read(&repository, &inventory).await, &mut finding);
    let alone = match session.output.verbose || session.output.json {
        true => only_themselves(&repository, &inventory, records.iter().flatten().flatten()).await,
        false => Ok(BTreeSet::new()),
    };
    let alone = or_reported(alone, &mut finding);
    for key in alone.iter().filter(|_| !session.output.json) {
        log::say(format_args!(
            "backup {key} can be restored only to its own end (--target-immediate): the WAL after it was removed, as by prune \
             --keep-wal-within, or is missing"
        ));
    }
    pins.notices().iter().for_each(|notice| log::say(format_args!("{notice}")));
    if session.output.json {
        print_json(session, &inventory, records, &tree, &Beside { pins, alone })?;
    } else {
        print_text(session, inventory, records, &tree, &pins)?;
    }
    finding.map_or(Ok(()), |finding| Err(Failure::Found(finding)))
}

/// Returns what was read, or reports the failure.
fn or_reported<T: Default>(read: Result<T, Error>, finding: &mut Option<Finding>) -> T {
    read.unwrap_or_else(|error| {
        report(&error);
        *finding = (*finding).max(Some(Finding::of(&error)));
        T::default()
    })
}

fn report(error: &Error) {
    log::say(format_args!("{}", message::chain(error)));
}

fn print_text(
    session: &Session<'_>,
    inventory: Inventory,
    records: Vec<Result<Option<BackupRecord>, Error>>,
    tree: &BackupTree,
    pins: &PinsNow,
) -> Result<(), Failure> {
    for backup in inventory.backups.iter().filter(|backup| backup.main_object().is_none()) {
        log::say(format_args!(
            "backup {key} can't be restored: its data, pg_basebackup_{key}.tar and the ending of its compression, is missing; \
             check the storage, and take a new backup",
            key = backup.key
        ));
    }
    if session.output.verbose {
        for backup in inventory.backups.iter().filter(|backup| backup.legacy && !backup.has_label()) {
            log::say(format_args!(
                "backup {key} of SwiftWAL 0.2.2 may be incomplete: it has no backup_label_{key}.txt; see docs/migrating.md",
                key = backup.key
            ));
        }
        let pins = inventory.backups.iter().filter_map(|backup| pins.entry(backup.key));
        pins.for_each(|pin| log::say(format_args!("{}", pin.notice())));
    }
    if !session.output.verbose {
        let keys = inventory.backups.iter().map(|backup| backup.key);
        return session.output.text(|out| keys.into_iter().try_for_each(|key| writeln!(out, "{key}")));
    }
    let places = tree.in_order();
    let depths: Vec<_> = places.iter().map(|(_, depth)| *depth).collect();
    let records: Vec<_> =
        places.iter().map(|(place, _)| records.get(*place)?.as_ref().ok()?.as_ref()).collect();
    let backups: Vec<_> = places.iter().filter_map(|(place, _)| inventory.backups.get(*place)).collect();
    let mut table = table::original(&backups, &depths, session.object_header());
    if let Some(width) = columns() {
        table.add_while_it_fits(table::from_records(&records, tree.has_chains()), width);
    }
    session.output.text(|out| {
        table.write(out)?;
        let total = backups.iter().map(|backup| backup.stored_bytes()).sum();
        writeln!(out, "\nTotal Size: {}", Size(total))
    })
}

/// Prints every backup, with its record or the reason why that can't be read.
fn print_json(
    session: &Session<'_>,
    inventory: &Inventory,
    records: Vec<Result<Option<BackupRecord>, Error>>,
    tree: &BackupTree,
    beside: &Beside,
) -> Result<(), Failure> {
    let entries: Vec<_> = inventory
        .backups
        .iter()
        .zip(records)
        .map(|(stored, record)| {
            let (chain, missing) = (tree.chain(stored.key), tree.missing(stored.key));
            let (bytes, pin) = (stored.stored_bytes(), beside.pins.entry(stored.key));
            let only_itself = beside.alone.contains(&stored.key);
            let entry = Entry { stored, bytes, record: None, chain, missing, error: None, only_itself, pin };
            match record {
                Ok(record) => Entry { record, ..entry },
                Err(error) => Entry { error: Some(message::chain(&error)), ..entry },
            }
        })
        .collect();
    session.output.json(&entries)
}
