mod table;

use futures::{StreamExt, stream};
use serde::Serialize;
use swiftwal_core::{BackupRecord, Error, Inventory, Repository, StoredBackup};

use crate::{
    failure::{Failure, chain},
    log,
    output::{Size, columns},
    session::Session,
};

/// How many records are read at a time.
const CONCURRENT_READS: usize = 8;

/// List the base backups, oldest first.
///
/// With -v, a table of their sizes and objects; on a wide terminal also how long each took, its timeline, its version of
/// PostgreSQL, whether the WAL it needs is inside, and which WAL that is. With --json, everything that is known.
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
    if !session.output.verbose {
        let keys = inventory.backups.iter().map(|backup| backup.key);
        return session.output.text(|out| keys.into_iter().try_for_each(|key| writeln!(out, "{key}")));
    }
    let mut table = table::original(&inventory.backups, session.object_header());
    if let Some(width) = columns() {
        let records = readable_records(&repository, &inventory).await;
        table.add_while_it_fits(table::from_records(&records), width);
    }
    session.output.text(|out| {
        table.write(out)?;
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

/// The record of each backup; none, and a message, where it can't be read.
async fn readable_records(repository: &Repository, inventory: &Inventory) -> Vec<Option<BackupRecord>> {
    let read = read_all(repository, inventory).await;
    read.iter()
        .filter_map(|(_, error)| error.as_ref())
        .for_each(|error| log::say(format_args!("{}", chain(error))));
    read.into_iter().map(|(entry, _)| entry.record).collect()
}

/// Prints all of them, also where a record can't be read; that is a failure then.
async fn print_records(
    session: &Session<'_>,
    repository: &Repository,
    inventory: &Inventory,
) -> Result<(), Failure> {
    let (entries, errors): (Vec<_>, Vec<_>) = read_all(repository, inventory).await.into_iter().unzip();
    session.output.json(&entries)?;
    errors.into_iter().flatten().next().map_or(Ok(()), |error| Err(error.into()))
}

/// Every backup with its record, or with the reason why that can't be read.
async fn read_all<'a>(repository: &Repository, inventory: &'a Inventory) -> Vec<(Entry<'a>, Option<Error>)> {
    let reads = inventory.backups.iter().map(|backup| read(repository, backup));
    stream::iter(reads).buffered(CONCURRENT_READS).collect().await
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
