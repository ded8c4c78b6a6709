//! The storage registry, the repository (what is stored, under which name) and the flows: backup, restore,
//! archive, fetch, prune.
//!
//! This crate knows no storage plug-in and no command line. A program opens a [`Storage`] by a [`Registry`].

mod archive_wal;
mod backup;
mod blocking;
mod clock;
mod cluster;
mod decimal;
mod error;
mod index;
mod inventory;
mod key;
mod layout;
mod local;
mod record;
mod repository;
mod restore_wal;
mod segment_check;
mod storage;
mod tar_stream;

pub use archive_wal::{ArchiveOptions, Archived, archive_wal};
pub use backup::{BackupEvent, BackupOptions, abandon, backup};
pub use clock::{Clock, SystemClock};
pub use cluster::{ClusterIdentity, ClusterInfo};
pub use error::{Error, ErrorKind, Result};
pub use inventory::{Inventory, StoredBackup, StoredObject, StoredWal};
pub use key::{BackupKey, ParseKeyError};
pub use layout::{BackupPart, ObjectName};
pub use record::{BackupKind, BackupRecord, RecordedObject};
pub use repository::Repository;
pub use restore_wal::restore_wal;
pub use storage::{Backend, OpenError, Options, Registry, Storage, Sweep};
