use futures::{StreamExt, stream};
use serde::Serialize;
use swiftwal_core::{BackupRecord, Error, Inventory, Repository, StoredBackup};

use crate::{
    failure::{Failure, chain},
    log,
    output::{Size, Table},
    session::Session,
};

/// How many records are read at a time.
const CONCURRENT_READS: usize = 8;

/// List the base backups, oldest first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  swiftwal -c /etc/swiftwal.toml list-backups -v")]
pub(crate) struct Args {}

/// A backup as `--json` shows it: what is stored, and for all but legacy ones the record or why it can't be read.
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
    repository.refuse_unknown().await?;
    let mut inventory = repository.inventory().await?;
    set_strangers_aside(&repository, &mut inventory).await;
    if session.output.json {
        return print_records(session, &repository, &inventory).await;
    }
    for backup in inventory.backups.iter().filter(|backup| backup.main_object().is_none()) {
        log::say(format_args!(
            "backup {key} can't be restored: its data, pg_basebackup_{key}.tar and the ending of its compression, is missing; \
             look at the storage, and take a new backup",
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
    session.output.text(|out| {
        if !session.output.verbose {
            return inventory.backups.iter().try_for_each(|backup| writeln!(out, "{}", backup.key));
        }
        let rows = inventory.backups.iter().map(row).collect();
        Table::new(["Size", "Timestamp", "Swift Object Name"], rows).write(out)?;
        let total = inventory.backups.iter().map(StoredBackup::stored_bytes).sum();
        writeln!(out, "\nTotal Size: {}", Size(total))
    })
}

/// Leaves out, with a message, what is no backup of this repository. A record that can't be read doesn't stop the list.
async fn set_strangers_aside(repository: &Repository, inventory: &mut Inventory) {
    let outcome = repository.set_strangers_aside(inventory).await;
    inventory.strangers.iter().for_each(|stranger| log::say(format_args!("{stranger}")));
    if let Err(error) = outcome {
        log::say(format_args!("{}", chain(&error)));
    }
}

fn row(backup: &StoredBackup) -> [String; 3] {
    let object = backup.main_object().map(|object| object.name.to_string());
    [Size(backup.stored_bytes()).to_string(), backup.key.to_string(), object.unwrap_or_default()]
}

/// Prints all of them, also where a record can't be read; that is a failure then.
async fn print_records(
    session: &Session<'_>,
    repository: &Repository,
    inventory: &Inventory,
) -> Result<(), Failure> {
    let reads = inventory.backups.iter().map(|backup| read(repository, backup));
    let read: Vec<_> = stream::iter(reads).buffered(CONCURRENT_READS).collect().await;
    let (entries, errors): (Vec<_>, Vec<_>) = read.into_iter().unzip();
    session.output.json(&entries)?;
    errors.into_iter().flatten().next().map_or(Ok(()), |error| Err(error.into()))
}

async fn read<'a>(repository: &Repository, stored: &'a StoredBackup) -> (Entry<'a>, Option<Error>) {
    let entry = Entry { stored, bytes: stored.stored_bytes(), record: None, error: None };
    if stored.legacy {
        return (entry, None);
    }
    match repository.record(stored.key).await {
        Ok(record) => (Entry { record: Some(record), ..entry }, None),
        Err(error) => (Entry { error: Some(chain(&error)), ..entry }, Some(error)),
    }
}
