//! Checks the pages of relations while they are read.

use std::{fs::File, os::unix::fs::FileExt};

use super::{
    page::{self, Mismatch},
    plan::Member,
};
use crate::Lsn;

/// How the pages of a cluster are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PageChecks {
    /// Where the backup starts: pages that were changed later are replaced by recovery.
    pub(super) start: Lsn,
    pub(super) page_bytes: usize,
    /// The number of blocks in a segment of a relation.
    pub(super) segment_blocks: u32,
}

/// A page whose checksum is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DamagedPage {
    /// The number of the block in the file.
    pub(super) block: u64,
    pub(super) mismatch: Mismatch,
}

impl PageChecks {
    /// Checks the pages that begin in `data`, which was read at `offset`. Only complete pages are checked.
    ///
    /// A page that isn't completely in `data`, and one that fails, is read from the file: the server may have been
    /// writing it. It counts as damaged if it fails then as well.
    pub(super) fn check(
        &self,
        (file, member): (&File, &Member),
        data: &[u8],
        offset: u64,
    ) -> Vec<DamagedPage> {
        let Some(segment) = member.segment else { return Vec::new() };
        let page_bytes = self.page_bytes as u64;
        let first = offset.div_ceil(page_bytes);
        let last = (member.bytes / page_bytes).min((offset + data.len() as u64).div_ceil(page_bytes));
        let mut damaged = Vec::new();
        let mut again = Vec::new();
        for block in first..last {
            let number = self.number(segment, block);
            let at = usize::try_from(block * page_bytes - offset).unwrap_or(usize::MAX);
            let page = data.get(at..at.saturating_add(self.page_bytes));
            if page.is_some_and(|page| page::check(page, number, self.start).is_ok()) {
                continue;
            }
            again.resize(self.page_bytes, 0);
            let is_there = file.read_exact_at(&mut again, block * page_bytes).is_ok();
            if let (true, Err(mismatch)) = (is_there, page::check(&again, number, self.start)) {
                damaged.push(DamagedPage { block, mismatch });
            }
        }
        damaged
    }

    /// Returns the number of a block in its relation, whose highest is one less than 2^32.
    fn number(&self, segment: u32, block: u64) -> u32 {
        (u64::from(segment) * u64::from(self.segment_blocks) + block) as u32
    }
}
