//! What goes from the reading to the storing half of a backup.

use bytes::Bytes;
use swiftwal_postgres::{BackupLabel, BackupStart, Tablespace};
use tokio::task::JoinHandle;

use crate::repository::index::IndexedMember;

/// What goes from the reading to the storing half, in order.
#[derive(Debug)]
pub(super) enum Item {
    /// The server has begun: nothing may be stored before this was seen to.
    Started(BackupStart),
    /// A tar begins.
    Archive(Option<Tablespace>),
    /// The data directory's tar showed its label.
    Label(BackupLabel),
    /// More of the current tar.
    Frame(PendingFrame),
    /// More of PostgreSQL's manifest.
    Manifest(Bytes),
    /// Every tar is complete. Without this item, the data must not be used.
    End,
}

/// A frame that is being compressed.
#[derive(Debug)]
pub(super) struct PendingFrame {
    pub(super) compressed: JoinHandle<std::io::Result<Vec<u8>>>,
    pub(super) tar_bytes: u64,
    /// The members that end in it.
    pub(super) members: Vec<IndexedMember>,
}
