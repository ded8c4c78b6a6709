//! The storage registry, the repository (what is stored, under which name) and the flows: backup, restore,
//! archive, fetch, prune.
//!
//! This crate contains no backend and no command line. A program opens a [`Storage`] through a [`Registry`].
//!
//! The modules form layers. Each imports only from the layers below it, by path (`conformance/tests/modules/layers.rs`
//! checks this):
//!
//! - At the top one module for each flow: `backup`, `restore`, `archive_wal`, `receive_wal`, `restore_wal`,
//!   `prune`, `keep`, `delete`, `archive_cleanup`, `discard_timeline`, `info`, `label`, `verify`. A flow never imports
//!   another flow.
//! - `repository`: the stored objects and what is derived from them: names, records, the inventory, timelines,
//!   markers, what a backup needs.
//! - `storage`: the backend interface.
//! - `local`: files and clocks of this machine.

mod archive_cleanup;
mod archive_wal;
mod backup;
mod delete;
mod discard_timeline;
mod error;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod info;
mod keep;
mod label;
mod local;
mod prune;
mod receive_wal;
mod repository;
mod restore;
mod restore_wal;
mod storage;
mod verify;

pub use archive_cleanup::{CleanupPlan, archive_cleanup, plan_archive_cleanup};
pub use archive_wal::{Ahead, ArchiveOptions, Archived, archive_ahead, archive_wal};
pub use backup::{BackupEvent, BackupMode, BackupOptions, backup};
pub use delete::{DeletePlan, delete, plan_delete};
pub use discard_timeline::{DiscardPlan, discard_timeline, plan_discard};
pub use error::{Error, ErrorKind, OpenError, Overdue, Refusal, Result, causes};
pub use info::{
    BackupInfo, Hole, Info, Kept, PassedProof, ReadyFiles, RecoveryWindow, RestoreForecast, TimelineInfo,
    info,
};
pub use keep::{keep, unkeep};
pub use label::label;
pub use local::clock::{Clock, SystemClock};
pub use local::elapsed::Elapsed;
pub use local::regular_file::{open_regular_file, read_regular_file};
pub use local::server_process::ServerProcess;
pub use local::staged_file::publish_for_everyone;
pub use local::state_dir::StateDir;
pub use local::user::user_name;
pub use prune::{CalendarRules, KeptFor, PrunePlan, PrunePolicy, Reasons, plan_prune, prune};
pub use receive_wal::{Activity, ReceiveOptions, Supervisor, drain_spool, receive_wal};
pub use repository::Repository;
pub use repository::backup::ChosenBackup;
pub use repository::backup_tree::BackupTree;
pub use repository::canary::Canary;
pub use repository::choice::BackupChoice;
pub use repository::cluster::{ClusterIdentity, ClusterInfo};
pub use repository::gap::WalGap;
pub use repository::inventory::{Inventory, StoredBackup, StoredObject, StoredWal};
pub use repository::key::{BackupKey, KeyBeginning, ParseKeyError};
pub use repository::layout::{BackupPart, ObjectName};
pub use repository::only_itself::only_themselves;
pub use repository::pin::{Pin, Pins};
pub use repository::preflight::{Finding, incremental_obstacle, preflight};
pub use repository::proof::{Proof, ProofKind, Proofs, Verdict};
pub use repository::record::{BackupKind, BackupRecord, RecordedObject};
pub use repository::seen::SeenRepository;
pub use repository::timelines::{Branch, timelines};
pub use repository::wal_variant::WalVariant;
pub use restore::{
    ArchiveMode, ExistingFiles, PlannedMember, PlannedTablespace, RecoveryTarget, RestoreEvent,
    RestoreOptions, RestorePlan, RestoreStats, Reuse, TargetAction, TargetTimeline, parse_target_time,
    plan_restore, restore,
};
pub use restore_wal::{
    DataDirectory, PrefetchOptions, Prefetcher, Spool, prefetch_wal, restore_received_wal, restore_wal,
    restore_wal_hashed,
};
pub use storage::{
    Absent, Backend, CreateInParts, Hints, LearnLimits, Limits, Options, Prepare, Registry, Storage,
    StorageClock, StorageSpace, Sweep, TopNames,
};
pub use verify::{
    Damage, VerifiedBackup, VerifiedDetails, VerifiedWal, VerifyChoice, VerifyEvent, VerifyOptions,
    VerifyReport, verify,
};
