//! Whether a WAL segment in `pg_wal` is filled to its end.
//!
//! A server that crashed leaves its last segment with a rest that was never written: pages of the older segment whose
//! file was reused, or empty ones. PostgreSQL ends recovery there.

use std::io::{self, Read};

use crate::machine_order::Numbers;
use crate::{HeaderError, Lsn, SegmentHeader, Timeline};

/// How much is read at a time.
const BUFFER_BYTES: usize = 64 << 10;
/// Where the header of a page has its timeline.
const TIMELINE_AT: usize = 4;
/// The size of the header of every page but the first.
const SHORT_HEADER: usize = 24;
/// The size of a record's header, with which the record that ends a segment early is complete.
const RECORD_BYTES: usize = 24;
/// The position of the checksum in a record's header.
const CRC_AT: usize = 20;
/// `xl_info` and `xl_rmid` of the record that ends a segment early: `XLOG_SWITCH` of `RM_XLOG_ID`.
const SWITCH: [u8; 2] = [0x40, 0];
const SWITCH_AT: usize = 16;

/// Checks that each page of a WAL segment is the one of its position, up to the record with which PostgreSQL ends a segment
/// early, if there is one.
///
/// The records aren't checked, so a page that was written only in part isn't noticed.
///
/// Source: `XLogPageHeaderData` and `XLogRecord` in PostgreSQL's `src/include/access`.
#[derive(Debug, Default)]
pub struct PageChain {
    /// The header of the segment, when it has arrived.
    header: Option<SegmentHeader>,
    /// The part of the current page that has arrived.
    page: Vec<u8>,
    /// The two pages before, the newest last: the last record is in them.
    last: [Vec<u8>; 2],
    /// The number of pages before the current one.
    pages: u64,
    /// The timeline of the last page.
    timeline: u32,
    /// Whether the record was found that ends the segment early: what follows doesn't matter.
    has_ended: bool,
}

/// A segment whose pages aren't all there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PageChainError {
    /// It doesn't begin with the header of a segment.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A page isn't the one of its position.
    #[error("the page at {expected} isn't the one that PostgreSQL wrote there: its header names {found}")]
    Page {
        /// Where it is.
        expected: Lsn,
        /// Where it belongs, according to its header.
        found: Lsn,
    },
    /// A page is of another version, or of an older timeline than the page before.
    #[error(
        "the page at {0} isn't the one that PostgreSQL wrote there: it is of another version or timeline"
    )]
    Foreign(Lsn),
    /// It ends too early.
    #[error("it ends in the middle, after {0} complete pages")]
    Cut(u64),
}

impl PageChain {
    /// Takes the next bytes of the segment.
    ///
    /// # Errors
    ///
    /// Those of a page that doesn't belong there. Nothing may be passed after that.
    pub fn push(&mut self, mut data: &[u8]) -> Result<(), PageChainError> {
        while !data.is_empty() && !self.has_ended {
            let page_bytes = match &self.header {
                Some(header) => header.block_size as usize,
                None => SegmentHeader::BYTES,
            };
            let (piece, rest) = data.split_at((page_bytes - self.page.len()).min(data.len()));
            self.page.extend_from_slice(piece);
            data = rest;
            if self.page.len() < page_bytes {
                break;
            }
            match &self.header {
                None => self.header = Some(SegmentHeader::parse(&self.page)?),
                Some(header) => {
                    let header = *header;
                    self.end_page(&header)?;
                }
            }
        }
        Ok(())
    }

    fn end_page(&mut self, header: &SegmentHeader) -> Result<(), PageChainError> {
        let numbers = Numbers::native(&self.page);
        let expected = Lsn(header.page_address.0 + self.pages * u64::from(header.block_size));
        let found = Lsn(SegmentHeader::address_of_page(numbers).unwrap_or_default());
        let timeline = numbers.u32(TIMELINE_AT).unwrap_or_default();
        let is_foreign = numbers.u16(0) != Some(header.magic) || timeline < self.timeline;
        if found != expected || is_foreign {
            if ends_with_switch(&self.last_content()) {
                self.has_ended = true;
                return Ok(());
            }
            return Err(if found == expected {
                PageChainError::Foreign(expected)
            } else {
                PageChainError::Page { expected, found }
            });
        }
        self.timeline = timeline;
        self.pages += 1;
        self.last.rotate_left(1);
        std::mem::swap(&mut self.last[1], &mut self.page);
        self.page.clear();
        Ok(())
    }

    /// Returns the content of the last two pages, without their headers.
    fn last_content(&self) -> Vec<u8> {
        let header = |number: u64| if number == 0 { SegmentHeader::BYTES } else { SHORT_HEADER };
        let numbers = [self.pages.checked_sub(2), self.pages.checked_sub(1)];
        let pages = self.last.iter().zip(numbers);
        pages.filter_map(|(page, number)| page.get(header(number?)..)).flatten().copied().collect()
    }

    /// Returns the header of the segment and the timeline of its last page, after everything was pushed.
    ///
    /// # Errors
    ///
    /// If pages are missing.
    pub fn finish(self) -> Result<(SegmentHeader, Option<Timeline>), PageChainError> {
        let Some(header) = self.header else {
            return Err(HeaderError::TooShort { bytes: self.page.len() }.into());
        };
        let pages = header.segment_size.bytes() / u64::from(header.block_size);
        if self.pages < pages && !self.has_ended {
            return Err(PageChainError::Cut(self.pages));
        }
        Ok((header, Timeline::new(self.timeline)))
    }
}

/// Whether the WAL segment that `segment` reads is filled to its end: each page is the one of its position, as
/// [`PageChain`] checks it.
///
/// # Errors
///
/// Those of reading.
pub fn is_complete_segment(mut segment: impl Read) -> io::Result<bool> {
    let mut chain = PageChain::default();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = segment.read(&mut buffer)?;
        if read == 0 {
            return Ok(chain.finish().is_ok());
        }
        if chain.push(&buffer[..read]).is_err() {
            return Ok(false);
        }
    }
}

/// Whether the last record in the content of these pages is the one that ends a segment early.
fn ends_with_switch(content: &[u8]) -> bool {
    let Some(last) = content.iter().rposition(|byte| *byte != 0) else { return false };
    // Records begin at a multiple of 8, and the second half of this one isn't empty.
    let end = (last + 1).next_multiple_of(8);
    let Some(record) = end.checked_sub(RECORD_BYTES).and_then(|start| content.get(start..end)) else {
        return false;
    };
    let numbers = Numbers::native(record);
    numbers.u32(0) == Some(RECORD_BYTES as u32)
        && record[SWITCH_AT..SWITCH_AT + SWITCH.len()] == SWITCH
        && numbers.u32(CRC_AT) == Some(crc32c::crc32c(&record[..CRC_AT]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 8192;
    const SEGMENT: usize = 1 << 20;
    const START: u64 = 5 << 20;

    /// Returns a segment with this many pages, filled with `content`, and empty ones after them.
    fn segment(pages: usize, content: u8) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SEGMENT);
        for number in 0..pages {
            let start = bytes.len();
            bytes.extend(0xD110_u16.to_ne_bytes());
            bytes.extend(if number == 0 { 2_u16 } else { 0 }.to_ne_bytes());
            bytes.extend(1_u32.to_ne_bytes());
            bytes.extend((START + start as u64).to_ne_bytes());
            bytes.extend([0; 8]);
            if number == 0 {
                bytes.extend(7_u64.to_ne_bytes());
                bytes.extend((SEGMENT as u32).to_ne_bytes());
                bytes.extend((PAGE as u32).to_ne_bytes());
            }
            bytes.resize(start + PAGE, content);
        }
        bytes.resize(SEGMENT, 0);
        bytes
    }

    /// Returns the record that ends a segment early.
    fn switch() -> Vec<u8> {
        let mut record = Vec::new();
        record.extend(24_u32.to_ne_bytes());
        record.extend(0_u32.to_ne_bytes());
        record.extend(START.to_ne_bytes());
        record.extend([0x40, 0, 0, 0]);
        record.extend(crc32c::crc32c(&record).to_ne_bytes());
        record
    }

    fn is_complete(segment: &[u8]) -> bool {
        is_complete_segment(segment).unwrap()
    }

    #[test]
    fn every_page_must_be_the_one_of_its_position() {
        let whole = segment(SEGMENT / PAGE, 1);
        assert!(is_complete(&whole));
        assert!(!is_complete(&whole[..SEGMENT - 1]));
        assert!(!is_complete(&whole[..30]));
        assert!(!is_complete(&[0; SEGMENT]));
        // The file of an older segment was reused.
        let mut recycled = whole.clone();
        recycled.copy_within(PAGE..2 * PAGE, SEGMENT - PAGE);
        assert!(!is_complete(&recycled));
    }

    #[test]
    fn other_pages_may_only_follow_the_end_of_the_segment() {
        for pages in [1, 2, SEGMENT / PAGE - 1] {
            let torn = segment(pages, 1);
            assert!(!is_complete(&torn), "{pages}");
            // The record may end anywhere in the last page, and begin in the page before it.
            for end in [PAGE, PAGE - 8, PAGE / 2, 48, 40, 32].map(|end| (pages - 1) * PAGE + end) {
                let page = end.saturating_sub(1) / PAGE * PAGE;
                let header = if page == 0 { 40 } else { 24 };
                let here = (end - page - header.min(end - page)).min(24);
                if here < 24 && page == 0 {
                    continue;
                }
                let mut ended = torn.clone();
                ended[end..].fill(0);
                let (before, rest) = (&switch()[..24 - here], &switch()[24 - here..]);
                ended[page - before.len()..page].copy_from_slice(before);
                ended[end - here..end].copy_from_slice(rest);
                assert!(is_complete(&ended), "{pages}: {end}");
                // The file of an older segment was reused, and the server crashed before it had emptied the rest.
                ended[SEGMENT - 1] = 1;
                assert!(is_complete(&ended), "{pages}: {end}");
                ended[SEGMENT - 1] = 0;
                ended[end - here] ^= 1;
                assert!(!is_complete(&ended), "{pages}: {end}");
            }
        }
    }
}
