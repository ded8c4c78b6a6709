//! How much of a cluster a backup holds in memory at a time. docs/operations.md has the same formula.

use std::{num::NonZeroUsize, thread::available_parallelism};

/// The most cores that are kept busy with compression. At zstd's level 1, four of them compress two gigabytes in a second,
/// more than a server sends on one connection.
const MOST_CORES: usize = 4;

/// The frames that are in memory beside those that wait between the two halves: the one that the storing half waits for,
/// and the one that the reading half waits to pass on.
const FRAMES_AT_THE_ENDS: usize = 2;

/// Returns how many frames may wait between the reading half and the storing half.
pub(super) fn frames_waiting() -> usize {
    frames_waiting_with(available_parallelism().map_or(1, NonZeroUsize::get))
}

/// Every frame is being compressed, or done: so there is one for each core.
fn frames_waiting_with(cores: usize) -> usize {
    cores.min(MOST_CORES).saturating_sub(FRAMES_AT_THE_ENDS).max(1)
}

#[cfg(test)]
mod tests {
    use swiftwal_postgres::LOCAL_CHUNKS;

    use super::*;
    use crate::{backup::framer::FRAME_BYTES, repository::parts::PARTS_IN_FLIGHT};

    /// For the program itself, and what its allocator keeps.
    const PROGRAM: usize = 32 << 20;

    /// Returns the most memory that a backup with `--method local` needs, if nothing in the cluster can be compressed.
    fn most_bytes(cores: usize, part_bytes: usize) -> usize {
        // Each frame as it was and compressed, and the beginning of the next one.
        let frames = (frames_waiting_with(cores) + FRAMES_AT_THE_ENDS) * 2 + 1;
        // The parts that are sent, and the one that grows.
        PROGRAM + (frames + LOCAL_CHUNKS) * FRAME_BYTES + (PARTS_IN_FLIGHT + 1) * part_bytes
    }

    #[test]
    fn a_backup_needs_128_mib_at_most_however_many_cores_there_are() {
        let most_mib = |cores, part_mib: usize| most_bytes(cores, part_mib << 20) >> 20;
        for cores in 1..=256 {
            for part_mib in [2, 16] {
                let most_mib = most_mib(cores, part_mib);
                assert!(most_mib <= 128, "{most_mib} MiB with {cores} cores and parts of {part_mib} MiB");
            }
        }
        // The figures in docs/operations.md.
        assert_eq!(
            [(2, 2), (2, 16), (256, 2), (256, 16)].map(|(cores, part)| most_mib(cores, part)),
            [78, 120, 86, 128]
        );
    }

    #[test]
    fn every_core_up_to_the_limit_has_a_frame() {
        let frames = [1, 2, 3, 4, 5, 64].map(|cores| frames_waiting_with(cores) + FRAMES_AT_THE_ENDS);
        assert_eq!(frames, [3, 3, 3, 4, 4, 4]);
    }
}
