//! The storage registry, the repository (what is stored, under which name) and the flows: backup, restore,
//! archive, fetch, prune.
//!
//! This crate knows no storage plug-in and no command line. A program opens a [`Storage`] by a [`Registry`].

mod archive_cleanup;
mod archive_wal;
mod backup;
mod blocking;
mod clock;
mod clocks;
mod cluster;
mod decimal;
mod error;
mod history;
mod index;
mod inventory;
mod key;
mod label;
mod layout;
mod legacy;
mod local;
mod needs;
mod preflight;
mod prune;
mod record;
mod regular_file;
mod repository;
mod restore;
mod restore_wal;
mod segment_check;
mod state_dir;
mod storage;
mod strangers;
mod tar_stream;
mod timelines;
mod understood;
mod wal_object;
mod wal_variant;
mod whole;

pub use archive_cleanup::{CleanupPlan, archive_cleanup, plan_archive_cleanup};
pub use archive_wal::{ArchiveOptions, Archived, archive_wal};
pub use backup::{BackupEvent, BackupOptions, backup};
pub use clock::{Clock, SystemClock};
pub use cluster::{ClusterIdentity, ClusterInfo};
pub use error::{Error, ErrorKind, Result};
pub use inventory::{Inventory, StoredBackup, StoredObject, StoredWal};
pub use key::{BackupKey, KeyBeginning, ParseKeyError};
pub use label::label;
pub use layout::{BackupPart, ObjectName};
pub use preflight::{Finding, preflight};
pub use prune::{PrunePlan, PrunePolicy, plan_prune, prune};
pub use record::{BackupKind, BackupRecord, RecordedObject};
pub use regular_file::{open_regular_file, read_regular_file};
pub use repository::Repository;
pub use restore::{
    ArchiveMode, BackupChoice, ChosenBackup, RecoveryTarget, RestoreEvent, RestoreOptions, RestoreStats,
    TargetAction, TargetTimeline, parse_target_time, restore,
};
pub use restore_wal::restore_wal;
pub use state_dir::{SeenRepository, StateDir};
pub use storage::{
    Backend, OpenError, Options, Prepare, Registry, Storage, StorageClock, StorageSpace, Sweep, TopNames,
};
pub use timelines::{Branch, DiscardPlan, discard_timeline, plan_discard, timelines};
pub use wal_variant::WalVariant;
