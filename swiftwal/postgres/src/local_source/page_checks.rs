//! Checks the pages of relations while they are read.

use std::{fs::File, io, os::unix::fs::FileExt, thread, time::Duration};

use super::plan::Member;
use crate::{
    Lsn,
    page::{self, Mismatch},
};

/// How often a page that fails is read again, and the pause in between: a server writes a page at once.
const READINGS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(5);

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
    /// A page that isn't completely in `data`, and one that fails, is read from the file, a few times: the server may
    /// be writing it. It counts as damaged if it always fails; otherwise what was read last replaces it in `data`.
    pub(super) fn check(
        &self,
        (file, member): (&File, &Member),
        data: &mut [u8],
        offset: u64,
    ) -> io::Result<Vec<DamagedPage>> {
        let Some(segment) = member.segment else { return Ok(Vec::new()) };
        let page_bytes = self.page_bytes as u64;
        let first = offset.div_ceil(page_bytes);
        let last = (member.bytes / page_bytes).min((offset + data.len() as u64).div_ceil(page_bytes));
        let mut damaged = Vec::new();
        let mut again = vec![0; self.page_bytes];
        for block in first..last {
            let number = self.number(segment, block);
            let at = usize::try_from(block * page_bytes - offset).unwrap_or(usize::MAX);
            let page = data.get(at..at.saturating_add(self.page_bytes));
            if page.is_some_and(|page| page::check(page, number, self.start).is_ok()) {
                continue;
            }
            match self.read_until_right(file, block, number, &mut again)? {
                Some(mismatch) => damaged.push(DamagedPage { block, mismatch }),
                None => {
                    let place = data.get_mut(at..).unwrap_or_default();
                    let bytes = place.len().min(self.page_bytes);
                    place[..bytes].copy_from_slice(&again[..bytes]);
                }
            }
        }
        Ok(damaged)
    }

    /// Reads a page until it is right, or has failed too often. A page beyond the end of the file, which became shorter,
    /// is right: it is zeros.
    fn read_until_right(
        &self,
        file: &File,
        block: u64,
        number: u32,
        page: &mut [u8],
    ) -> io::Result<Option<Mismatch>> {
        let mut failed = None;
        for _ in 0..READINGS {
            if failed.is_some() {
                thread::sleep(PAUSE);
            }
            match file.read_exact_at(page, block * self.page_bytes as u64) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    page.fill(0);
                    return Ok(None);
                }
                read => read?,
            }
            match page::check(page, number, self.start) {
                Ok(()) => return Ok(None),
                Err(mismatch) => failed = Some(mismatch),
            }
        }
        Ok(failed)
    }

    /// Returns the number of a block in its relation, whose highest is one less than 2^32.
    fn number(&self, segment: u32, block: u64) -> u32 {
        (u64::from(segment) * u64::from(self.segment_blocks) + block) as u32
    }
}
