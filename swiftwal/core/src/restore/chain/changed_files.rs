//! The files of which the newest backup has only some blocks, until they are complete.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use swiftwal_postgres::incremental_file::complete_name;

use super::changed_file::ChangedFile;
use crate::repository::manifest::Algorithm;

/// A file of the data directory, or of a tablespace, by its path there.
pub(in crate::restore) type FileName = (Option<u32>, Vec<u8>);

/// The incremental files of the newest backup. The threads that write them share it.
#[derive(Debug, Default)]
pub(in crate::restore) struct ChangedFiles {
    files: Mutex<BTreeMap<FileName, Slot>>,
}

#[derive(Debug)]
struct Slot {
    /// The newest backup has the number 0, its parent 1, and so on: the last one in which the file was found.
    backup: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    Incomplete(ChangedFile),
    /// A thread is writing it.
    Taken,
    Complete(CompleteFile),
}

/// A file that has all its blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::restore) struct CompleteFile {
    pub(in crate::restore) bytes: u64,
    /// Its checksum for PostgreSQL's manifest, once it is known.
    pub(in crate::restore) checksum: Option<(Algorithm, Vec<u8>)>,
}

impl CompleteFile {
    /// Whether its checksum by `algorithm` is known.
    pub(in crate::restore) fn has_checksum(&self, algorithm: Algorithm) -> bool {
        self.checksum.as_ref().is_some_and(|(known, _)| *known == algorithm)
    }
}

/// A stored file of an older backup.
#[derive(Debug)]
pub(in crate::restore) enum OlderFile {
    /// It has blocks that may be missing, or all of them.
    Wanted { name: FileName, file: ChangedFile, is_incremental: bool },
    /// Nothing of it belongs to the result.
    Unwanted,
    /// The backup has another file of the same name.
    Twice,
}

impl ChangedFiles {
    /// Adds a file with the blocks that the newest backup has.
    pub(super) fn add(&self, name: FileName, file: ChangedFile) {
        self.files().insert(name, Slot { backup: 0, state: State::Incomplete(file) });
    }

    /// Takes the file that the member `name` of an older backup belongs to. It must be put back, or completed.
    pub(in crate::restore) fn take(&self, backup: u32, tablespace: Option<u32>, name: &[u8]) -> OlderFile {
        let complete = complete_name(name, tablespace.is_some());
        let is_incremental = complete.is_some();
        let name = (tablespace, complete.unwrap_or_else(|| name.to_owned()));
        let mut files = self.files();
        let Some(slot) = files.get_mut(&name) else { return OlderFile::Unwanted };
        if slot.backup == backup {
            return OlderFile::Twice;
        }
        match mem::replace(&mut slot.state, State::Taken) {
            State::Incomplete(file) => {
                slot.backup = backup;
                OlderFile::Wanted { name, file, is_incremental }
            }
            other => {
                slot.state = other;
                OlderFile::Unwanted
            }
        }
    }

    /// Puts a file back that is still incomplete.
    pub(super) fn put_back(&self, name: &FileName, file: ChangedFile) {
        self.set(name, State::Incomplete(file));
    }

    /// Records that a file is complete.
    pub(super) fn complete(&self, name: &FileName, file: CompleteFile) {
        self.set(name, State::Complete(file));
    }

    fn set(&self, name: &FileName, state: State) {
        if let Some(slot) = self.files().get_mut(name) {
            slot.state = state;
        }
    }

    /// Returns a file that is incomplete although every backup down to the number `backup` has been read, and that this
    /// one lacks. PostgreSQL puts only blocks into a backup if its parent has the file.
    pub(in crate::restore) fn missing_in(&self, backup: u32) -> Option<FileName> {
        let files = self.files();
        let missing = files.iter().find(|(_, slot)| slot.backup != backup && !slot.is_complete());
        missing.map(|(name, _)| name.clone())
    }

    /// Returns a file that isn't complete.
    pub(in crate::restore) fn incomplete(&self) -> Option<FileName> {
        self.files().iter().find(|(_, slot)| !slot.is_complete()).map(|(name, _)| name.clone())
    }

    /// Returns the complete files, in the order of their names, and forgets all.
    pub(in crate::restore) fn take_complete(&self) -> BTreeMap<FileName, CompleteFile> {
        let files = mem::take(&mut *self.files());
        let complete = files.into_iter().filter_map(|(name, slot)| match slot.state {
            State::Complete(file) => Some((name, file)),
            State::Incomplete(_) | State::Taken => None,
        });
        complete.collect()
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<FileName, Slot>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    fn is_complete(&self) -> bool {
        matches!(self.state, State::Complete(_))
    }
}
