//! The cluster's WAL, and the small files that PostgreSQL archives beside it.

use swiftwal_postgres::{Lsn, SegmentHeader, SegmentName, Timeline, WalName};

use super::SyntheticCluster;
use crate::random::Random;

const LONG_HEADER: u16 = 0x0002;
const BLOCK_BYTES: u32 = 8192;

impl SyntheticCluster {
    /// Returns the name of the segment with this number on the cluster's timeline, counted from 0.
    #[must_use]
    pub fn segment_name(&self, number: u64) -> SegmentName {
        SegmentName::containing(self.timeline(), self.lsn(number, 0), self.segment_size())
    }

    /// Returns the name of that segment as an archived file.
    #[must_use]
    pub fn wal_name(&self, number: u64) -> WalName {
        WalName::Segment(self.segment_name(number))
    }

    /// Returns the LSN of the byte at `offset` of that segment.
    #[must_use]
    pub fn lsn(&self, number: u64, offset: u64) -> Lsn {
        Lsn(number * self.segment_size().bytes() + offset)
    }

    /// Returns the bytes of that segment.
    #[must_use]
    pub fn segment(&self, number: u64) -> Vec<u8> {
        self.segment_begun_on(self.timeline(), number)
    }

    /// As [`segment`](Self::segment), with `timeline` in the first page: the first segment of a new timeline begins
    /// with pages of the old one.
    #[must_use]
    pub fn segment_begun_on(&self, timeline: Timeline, number: u64) -> Vec<u8> {
        let mut bytes = self.page_header(timeline, number);
        let stream = number << 32 | u64::from(self.timeline().get());
        let rest = self.segment_size().bytes() as usize - bytes.len();
        bytes.extend(Random::new(self.system_identifier(), stream).bytes(rest));
        bytes
    }

    /// As [`segment`](Self::segment), with a header on every page, as PostgreSQL writes it.
    #[must_use]
    pub fn segment_of_pages(&self, number: u64) -> Vec<u8> {
        let mut bytes = self.segment(number);
        let long = self.page_header(self.timeline(), number);
        for (page, offset) in
            bytes.chunks_mut(BLOCK_BYTES as usize).zip((0..).step_by(BLOCK_BYTES as usize)).skip(1)
        {
            page[..24].copy_from_slice(&long[..24]);
            page[2..4].fill(0); // no flags
            page[8..16].copy_from_slice(&self.lsn(number, offset).0.to_ne_bytes());
        }
        bytes
    }

    /// Returns the header of the first page of a segment, with which it begins.
    #[must_use]
    pub fn segment_header(&self, number: u64) -> Vec<u8> {
        self.page_header(self.timeline(), number)
    }

    /// Source: `XLogLongPageHeaderData` in PostgreSQL's `src/include/access/xlog_internal.h`.
    fn page_header(&self, timeline: Timeline, number: u64) -> Vec<u8> {
        let mut header = Vec::with_capacity(SegmentHeader::BYTES);
        header.extend(self.version().wal_magic().to_ne_bytes());
        header.extend(LONG_HEADER.to_ne_bytes());
        header.extend(timeline.get().to_ne_bytes());
        header.extend(self.lsn(number, 0).0.to_ne_bytes());
        header.extend([0; 8]); // no record continues here
        header.extend(self.system_identifier().to_ne_bytes());
        header.extend((self.segment_size().bytes() as u32).to_ne_bytes());
        header.extend(BLOCK_BYTES.to_ne_bytes());
        header
    }

    /// Returns the name and the text of the history file of the cluster's timeline, which left `from` where that
    /// segment begins.
    #[must_use]
    pub fn history(&self, from: &[(Timeline, u64)]) -> (WalName, String) {
        let lines = from.iter().map(|(timeline, number)| {
            format!("{timeline}\t{}\tno recovery target specified\n", self.lsn(*number, 0))
        });
        (WalName::History(self.timeline()), lines.collect())
    }

    /// Returns the name and the text of the file that PostgreSQL archives after a base backup that began in that
    /// segment.
    #[must_use]
    pub fn backup_history(&self, number: u64) -> (WalName, String) {
        let segment = self.segment_name(number);
        let text = format!("START WAL LOCATION: {} (file {segment})\n", self.lsn(number, 0x28));
        (WalName::Backup { segment, offset: 0x28 }, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_carries_the_header_that_fits_its_name() {
        let cluster = SyntheticCluster::new(1);
        let bytes = cluster.segment(7);
        assert_eq!(bytes.len() as u64, cluster.segment_size().bytes());
        let header = SegmentHeader::parse(&bytes).unwrap();
        assert_eq!(header.system_identifier, cluster.system_identifier());
        assert_eq!(header.major_version(), Some(15));
        header.check_name(cluster.segment_name(7)).unwrap();
    }

    #[test]
    fn each_segment_of_each_timeline_has_its_own_content_and_always_the_same() {
        let cluster = SyntheticCluster::new(1);
        let forked = cluster.promoted();
        assert_eq!(cluster.segment(7), SyntheticCluster::new(1).segment(7));
        assert_ne!(cluster.segment(7)[64..], cluster.segment(8)[64..]);
        assert_ne!(cluster.segment(7)[64..], forked.segment(7)[64..]);
    }
}
