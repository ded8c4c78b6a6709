//! Reads and writes the formats of PostgreSQL: LSNs, WAL file names, timelines, labels, headers, base backups.
//!
//! This crate doesn't access storage. Each type parses what PostgreSQL writes, refuses anything else with an error that
//! names it, and prints the value as PostgreSQL does.

mod backup_label;
pub mod base_backup;
mod chunk_buffer;
mod complete_segment;
mod connect_options;
mod connector;
mod control_file;
mod database;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
pub mod incremental_file;
mod local_source;
mod lsn;
mod machine_order;
mod page;
pub mod pg_basebackup;
mod printable;
mod relation_file;
mod relation_pages;
pub mod replication;
mod replication_source;
mod segment_header;
mod segment_name;
mod segment_size;
mod server_facts;
mod server_time;
mod source_error;
pub mod tar_stream;
#[cfg(test)]
mod test_values;
mod text;
mod timeline;
mod timeline_history;
mod wal_name;
mod wal_server;

pub use backup_label::{BackupLabel, LabelError};
pub use base_backup::{
    BackupStart, BaseBackupEvent, BaseBackupRequest, BaseBackupSource, BaseBackupStream, CHUNK_BYTES,
    Checkpoint, CopyOptions, ExpectedArchive, MaxRate, ParentManifest, ParseCheckpointError,
    ParseMaxRateError, Tablespace,
};
pub use chunk_buffer::{ChunkBuffer, ChunkPool};
pub use complete_segment::{PageChain, PageChainError, is_complete_segment};
pub use connect_options::ConnectOptions;
pub use connector::Connector;
pub use control_file::{ControlFile, ControlFileError};
pub use database::Database;
pub use local_source::{Inspection, LOCAL_CHUNKS, LocalSource, ServerSetup};
pub use lsn::{Lsn, ParseLsnError};
pub use pg_basebackup::PgBasebackup;
pub use printable::{Printable, is_misleading, printable};
pub use relation_pages::{DamagedPage, RelationPages};
pub use replication_source::ReplicationSource;
pub use segment_header::{HeaderError, SegmentHeader};
pub use segment_name::{ParseWalNameError, SegmentName, segments_between};
pub use segment_size::{SegmentSize, SegmentSizeError};
pub use server_facts::{Archiving, NotArchiving, ServerFacts, ServerSession};
pub use source_error::{SourceError, SourceErrorKind};
pub use timeline::{ParseTimelineError, Timeline};
pub use timeline_history::{Ancestor, HistoryError, TimelineHistory};
pub use wal_name::WalName;
pub use wal_server::{WalServer, receiving};
