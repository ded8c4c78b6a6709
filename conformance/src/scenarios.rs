//! The scenarios, one file for each concept.

pub(crate) mod archive;
pub(crate) mod archive_cleanup;
pub(crate) mod backup;
pub(crate) mod backup_start;
pub(crate) mod backup_wal;
pub(crate) mod chains;
pub(crate) mod clocks;
pub(crate) mod damage;
pub(crate) mod damaged_pages;
pub(crate) mod databases;
pub(crate) mod discard;
pub(crate) mod faults;
pub(crate) mod foreign_records;
pub(crate) mod full_storage;
pub(crate) mod histories;
pub(crate) mod hostile;
pub(crate) mod incremental;
pub(crate) mod large_wal;
pub(crate) mod legacy;
pub(crate) mod list;
pub(crate) mod manifest;
pub(crate) mod overtaken;
pub(crate) mod phantoms;
pub(crate) mod preflight;
pub(crate) mod prune;
pub(crate) mod pruned_branches;
pub(crate) mod recovery;
pub(crate) mod repository;
pub(crate) mod restore;
pub(crate) mod restore_options;
pub(crate) mod restore_wal;
pub(crate) mod reuse;
pub(crate) mod slow;
pub(crate) mod store_contract;
pub(crate) mod tablespaces;
pub(crate) mod timelines;
pub(crate) mod unknown;
pub(crate) mod unlisted;
pub(crate) mod uploads;

mod command;
mod crafted;
#[cfg(test)]
mod interleaved;
mod site;
mod snapshot;
mod stray;
