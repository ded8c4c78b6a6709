//! Whether the stored WAL reaches the target.

use jiff::Timestamp;
use swiftwal_postgres::{SegmentName, SegmentSize};

use super::RecoveryTarget;

/// The end of the stored WAL of the timeline to follow.
#[derive(Clone, Copy, Debug)]
pub(super) struct StoredEnd {
    pub(super) last_wal: SegmentName,
    /// By the storage's clock.
    pub(super) stored: Timestamp,
    pub(super) segment_size: SegmentSize,
}

impl StoredEnd {
    /// Returns a notice for before the copy if recovery can't reach `target` with the WAL that is stored now; none if
    /// it can, as far as is known. More WAL may be archived meanwhile.
    pub(super) fn shortfall(self, target: &RecoveryTarget) -> Option<String> {
        let (last, stored) = (self.last_wal, self.stored);
        let target = match target {
            RecoveryTarget::Time(time) if *time > stored => time.to_string(),
            RecoveryTarget::Lsn(lsn) if *lsn > last.next(self.segment_size)?.start(self.segment_size)? => {
                lsn.to_string()
            }
            _ => return None,
        };
        Some(format!(
            "the stored WAL doesn't reach the target {target}: its last segment on this timeline is {last}, stored {stored}. \
             Unless more is archived until then, PostgreSQL stops with \"recovery ended before configured recovery target was \
             reached\" (before version 13, it ends recovery there); choose an earlier target, or archive the rest first"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_behind_the_last_segment_is_told_and_one_before_its_end_is_not() {
        let end = StoredEnd {
            last_wal: "000000010000000000000005".parse().unwrap(),
            stored: "2026-11-23T08:00:00Z".parse().unwrap(),
            segment_size: SegmentSize::default(),
        };
        let lsn = |lsn: &str| RecoveryTarget::Lsn(lsn.parse().unwrap());
        let time = |time: &str| RecoveryTarget::Time(time.parse().unwrap());
        for reached in
            [lsn("0/5000028"), lsn("0/6000000"), time("2026-11-23T08:00:00Z"), RecoveryTarget::Immediate]
        {
            assert_eq!(end.shortfall(&reached), None, "{reached:?}");
        }
        for (far, shown) in
            [(lsn("0/6000001"), "0/6000001"), (time("2026-11-23T08:00:01Z"), "2026-11-23T08:00:01Z")]
        {
            let message = end.shortfall(&far).unwrap();
            assert!(message.contains(shown) && message.contains("000000010000000000000005"), "{message}");
        }
    }
}
