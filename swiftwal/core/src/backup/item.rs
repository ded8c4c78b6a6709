//! The items that the reading half of a backup sends to the storing half.

use bytes::Bytes;
use swiftwal_postgres::{BackupLabel, BackupStart, Tablespace};
use tokio::task::JoinHandle;

use crate::repository::index::IndexedMember;

/// One item that the reading half sends to the storing half, in order.
#[derive(Debug)]
pub(super) enum Item {
    /// The server has begun. Nothing may be stored before the backup was checked.
    Started(BackupStart),
    /// A tar begins.
    Archive(Option<Tablespace>),
    /// The label was found in the data directory's tar.
    Label(BackupLabel),
    /// The next frame of the current tar.
    Frame(PendingFrame),
    /// The next bytes of PostgreSQL's manifest.
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
