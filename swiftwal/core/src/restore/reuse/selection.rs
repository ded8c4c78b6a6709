//! Selects the frames of each tar that are fetched.

use std::{collections::BTreeSet, ops::Range};

use swiftwal_postgres::{incremental_file::complete_name, tar_stream::MemberKind};

use super::{
    compare::Compared,
    content::is_needed,
    file::{IndexedFile, Members},
};
use crate::{
    error::{Error, Result},
    repository::fetch::{SelectedFrames, StoredTar},
    restore::{chain::FileName, extract::OlderTar},
};

/// A tar, the result of its comparison, and the frames to fetch.
#[derive(Debug)]
pub(super) struct SelectedTar {
    pub(super) tar: StoredTar,
    pub(super) members: Members,
    pub(super) compared: Compared,
    pub(super) selected: SelectedFrames,
}

impl SelectedTar {
    /// Selects what is needed of a tar by the comparison.
    pub(super) fn new(mut tar: StoredTar, members: Members, compared: Compared) -> Result<Self> {
        let object = tar.name();
        let needed = members.again().files().filter_map(|file| match file {
            Ok(file) if file.has_content() && is_needed(compared.needed.as_deref(), file.number) => {
                Some(file.content(&object))
            }
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        });
        let selected = tar.select(needed)?;
        Ok(Self { tar, members, compared, selected })
    }

    /// Selects what is needed of a tar of an older backup: the files in `combined`, from which those are removed that it
    /// has completely, and what is needed to check the chain.
    pub(super) fn of_older(
        tar: StoredTar,
        members: Members,
        combined: &mut BTreeSet<FileName>,
    ) -> Result<Self> {
        let (tablespace, mut needed) = (tar.tablespace, Vec::new());
        for file in members.again().files() {
            let IndexedFile { number, member, .. } = file?;
            let complete = complete_name(&member.name, tablespace.is_some());
            let is_incremental = complete.is_some();
            let is_kept = OlderTar::keeps(tablespace, &member.name);
            let name = (tablespace, complete.unwrap_or(member.name));
            let is_combined = if is_incremental { combined.contains(&name) } else { combined.remove(&name) };
            if is_combined || is_kept {
                needed.push(number);
            }
        }
        Self::new(tar, members, Compared { needed: Some(needed), ..Compared::default() })
    }

    /// Adds the files that are combined, since this tar of the newest backup has only blocks of them.
    pub(super) fn add_combined(&self, combined: &mut BTreeSet<FileName>) -> Result<()> {
        for file in self.members.again().files() {
            let file = file?;
            let is_restored = !file.is_left_out() && is_needed(self.compared.needed.as_deref(), file.number);
            if file.is_incremental() && is_restored {
                combined.insert((self.tar.tablespace, file.name().to_owned()));
            }
        }
        Ok(())
    }
}

impl IndexedFile {
    /// Returns where the file's content is in the tar `object`.
    pub(super) fn content(&self, object: &str) -> Result<Range<u64>> {
        debug_assert_eq!(self.member.kind, MemberKind::File);
        let end = self.member.offset.checked_add(self.member.bytes);
        let end = end.ok_or_else(|| Error::damaged(object, "its index has a file of an impossible size"))?;
        Ok(self.member.offset..end)
    }
}
