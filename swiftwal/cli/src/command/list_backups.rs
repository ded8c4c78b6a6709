//! The subcommand list-backups.

mod table;

use serde::Serialize;
use swiftwal_core::{BackupRecord, Error, Inventory, StoredBackup};

use crate::{
    failure::{Failure, Finding},
    log,
    message::chain,
    output::{Size, columns},
    session::Session,
};

/// List the base backups, oldest first.
///
/// Prints the key of each backup. With -v, prints a table with sizes and objects; on a wide terminal, it also shows how
/// long each backup took, its timeline, its version of PostgreSQL, which WAL it needs, and whether it contains that WAL.
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
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
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
    let finding = unreadable().map(Finding::of).max();
    let readable = records.iter().flatten().flatten();
    readable.filter_map(BackupRecord::damage_notice).for_each(|notice| log::say(format_args!("{notice}")));
    if session.output.json {
        print_json(session, &inventory, records)?;
    } else {
        print_text(session, &inventory, records)?;
    }
    finding.map_or(Ok(()), |finding| Err(Failure::Found(finding)))
}

fn report(error: &Error) {
    log::say(format_args!("{}", chain(error)));
}

fn print_text(
    session: &Session<'_>,
    inventory: &Inventory,
    records: Vec<Result<Option<BackupRecord>, Error>>,
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
    }
    if !session.output.verbose {
        let keys = inventory.backups.iter().map(|backup| backup.key);
        return session.output.text(|out| keys.into_iter().try_for_each(|key| writeln!(out, "{key}")));
    }
    let records: Vec<_> = records.into_iter().map(|record| record.ok().flatten()).collect();
    let mut table = table::original(&inventory.backups, session.object_header());
    if let Some(width) = columns() {
        table.add_while_it_fits(table::from_records(&records), width);
    }
    session.output.text(|out| {
        table.write(out)?;
        let total = inventory.backups.iter().map(StoredBackup::stored_bytes).sum();
        writeln!(out, "\nTotal Size: {}", Size(total))
    })
}

/// Prints every backup, with its record or the reason why that can't be read.
fn print_json(
    session: &Session<'_>,
    inventory: &Inventory,
    records: Vec<Result<Option<BackupRecord>, Error>>,
) -> Result<(), Failure> {
    let entries: Vec<_> = inventory
        .backups
        .iter()
        .zip(records)
        .map(|(stored, record)| {
            let entry = Entry { stored, bytes: stored.stored_bytes(), record: None, error: None };
            match record {
                Ok(record) => Entry { record, ..entry },
                Err(error) => Entry { error: Some(chain(&error)), ..entry },
            }
        })
        .collect();
    session.output.json(&entries)
}
