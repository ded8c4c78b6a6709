//! Restores a chain of incremental backups, streamed, the newest first.
//!
//! The newest backup is extracted as any other, except that its incremental files become complete files with holes.
//! Then each older backup of the chain is read once, and what it has of the missing blocks is written into the holes.
//! So each block is written once, and no backup of the chain is on disk as a whole. The result is what PostgreSQL's
//! `pg_combinebackup` makes.
//!
//! In memory are the name of each incremental file of the newest backup, about 150 bytes more, and a bit for each of its
//! blocks below the truncation length as soon as one of them has been found.

mod block_writer;
mod changed_file;
mod changed_files;

pub(super) use self::{
    block_writer::{BlockWriter, WriteBlocksError},
    changed_file::ChangedFile,
    changed_files::{ChangedFiles, CompleteFile, FileName, OlderFile},
};

#[cfg(test)]
mod tests;
