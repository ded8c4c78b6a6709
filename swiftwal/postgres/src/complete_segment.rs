//! Whether a WAL segment in `pg_wal` is filled to its end.
//!
//! A server that crashed leaves its last segment with a rest that was never written: pages of the older segment whose
//! file was reused, or empty ones. PostgreSQL ends recovery there.

use std::io::{self, Read};

use crate::SegmentHeader;
use crate::machine_order::Numbers;

/// The size of the header of every page but the first.
const SHORT_HEADER: usize = 24;
/// The size of a record's header, with which the record that ends a segment early is complete.
const RECORD_BYTES: usize = 24;
/// The position of the checksum in a record's header.
const CRC_AT: usize = 20;
/// `xl_info` and `xl_rmid` of the record that ends a segment early: `XLOG_SWITCH` of `RM_XLOG_ID`.
const SWITCH: [u8; 2] = [0x40, 0];
const SWITCH_AT: usize = 16;

/// Whether the WAL segment that `segment` reads is filled to its end: each page is the one of its position, up to the record
/// with which PostgreSQL ends a segment early, if there is one.
///
/// The records aren't checked, so a page that was written only in part isn't noticed.
///
/// # Errors
///
/// Those of reading.
///
/// Source: `XLogPageHeaderData` and `XLogRecord` in PostgreSQL's `src/include/access`.
pub fn is_complete_segment(mut segment: impl Read) -> io::Result<bool> {
    let mut first = vec![0; SegmentHeader::BYTES];
    if !fill(&mut segment, &mut first)? {
        return Ok(false);
    }
    let Ok(header) = SegmentHeader::parse(&first) else { return Ok(false) };
    let mut segment = first.as_slice().chain(segment);
    let page_bytes = u64::from(header.block_size);
    let mut page = vec![0; header.block_size as usize];
    // The content of the last two pages, in which the last record is.
    let mut last = Vec::new();
    for number in 0..header.segment_size.bytes() / page_bytes {
        if !fill(&mut segment, &mut page)? {
            return Ok(false);
        }
        let numbers = Numbers::native(&page);
        let is_here =
            SegmentHeader::address_of_page(numbers) == Some(header.page_address.0 + number * page_bytes);
        if !is_here || numbers.u16(0) != Some(header.magic) {
            // What follows that record doesn't matter. It is empty, unless the server crashed before it had written that.
            return Ok(ends_with_switch(&last));
        }
        last.drain(..last.len().saturating_sub(page.len() - SHORT_HEADER));
        last.extend(&page[if number == 0 { SegmentHeader::BYTES } else { SHORT_HEADER }..]);
    }
    Ok(true)
}

/// Fills the buffer. Returns whether there was enough.
fn fill(segment: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match segment.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
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
