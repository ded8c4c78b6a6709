//! The checksum of a data page.
//!
//! Source of the algorithm, a variant of FNV-1a in 32 lanes, and of its constants: PostgreSQL's
//! `src/include/storage/checksum_impl.h`. Source of the page's fields: `src/include/storage/bufpage.h`.

use crate::Lsn;

/// The lanes are independent, so that the compiler can use vector instructions.
const LANES: usize = 32;
const PRIME: u32 = 16_777_619;

const CHECKSUM_AT: usize = 8;
const UPPER_AT: usize = 14;

/// Where each lane begins.
const OFFSETS: [u32; LANES] = [
    0x5B1F_36E9,
    0xB852_5960,
    0x02AB_50AA,
    0x1DE6_6D2A,
    0x79FF_467A,
    0x9BB9_F8A3,
    0x217E_7CD2,
    0x83E1_3D2C,
    0xF8D4_474F,
    0xE39E_B970,
    0x42C6_AE16,
    0x9932_16FA,
    0x7B09_3B5D,
    0x98DA_FF3C,
    0xF718_902A,
    0x0B1C_9CDB,
    0xE58F_764B,
    0x1876_36BC,
    0x5D7B_3BB1,
    0xE73D_E7DE,
    0x92BE_C979,
    0xCCA6_C0B2,
    0x304A_0979,
    0x85AA_43D4,
    0x7831_25BB,
    0x6CA8_EAA2,
    0xE407_EAC6,
    0x4B5C_FC3E,
    0x9FBF_8C76,
    0x15CA_20BE,
    0xF2CA_9FD3,
    0x959B_D756,
];

/// A page whose checksum differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mismatch {
    pub(crate) calculated: u16,
    pub(crate) expected: u16,
}

/// Checks the page that is block `block` of its relation. New pages, which have no checksum, pass, and so do those that
/// were changed after `start`: recovery replaces them.
pub(crate) fn check(page: &[u8], block: u32, start: Lsn) -> Result<(), Mismatch> {
    if u16_at(page, UPPER_AT) == 0 || lsn(page) >= start {
        return Ok(());
    }
    let (calculated, expected) = (checksum(page, block), u16_at(page, CHECKSUM_AT));
    if calculated == expected { Ok(()) } else { Err(Mismatch { calculated, expected }) }
}

/// Returns the checksum of a page, whose size is a multiple of 128 bytes.
fn checksum(page: &[u8], block: u32) -> u16 {
    let (rounds, _) = page.as_chunks::<{ 4 * LANES }>();
    let mut sums = OFFSETS;
    if let Some((first, rest)) = rounds.split_first() {
        let mut first = *first;
        first[CHECKSUM_AT..CHECKSUM_AT + 2].fill(0);
        add(&mut sums, &first);
        rest.iter().for_each(|round| add(&mut sums, round));
    }
    for _ in 0..2 {
        add(&mut sums, &[0; 4 * LANES]);
    }
    let sum = sums.into_iter().fold(block, |sum, lane| sum ^ lane);
    // In 1..=65535, so that it fits; zero is never a checksum.
    u16::try_from(sum % 65_535 + 1).unwrap_or(u16::MAX)
}

#[inline]
fn add(sums: &mut [u32; LANES], round: &[u8; 4 * LANES]) {
    let (values, _) = round.as_chunks::<4>();
    for (sum, value) in sums.iter_mut().zip(values) {
        let mixed = *sum ^ u32::from_ne_bytes(*value);
        *sum = mixed.wrapping_mul(PRIME) ^ (mixed >> 17);
    }
}

fn lsn(page: &[u8]) -> Lsn {
    Lsn(u64::from(u32_at(page, 0)) << 32 | u64::from(u32_at(page, 4)))
}

fn u16_at(page: &[u8], at: usize) -> u16 {
    page.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u16::from_ne_bytes(*bytes))
}

fn u32_at(page: &[u8], at: usize) -> u32 {
    page.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page of any content. The checksums in the tests are those of `page_checksum` in PostgreSQL's pageinspect.
    fn page() -> Vec<u8> {
        (0..8192_u32).map(|at| ((at * 7 + at / 256) % 251) as u8).collect()
    }

    fn page_with(checksum: u16) -> Vec<u8> {
        let mut page = page();
        page[CHECKSUM_AT..CHECKSUM_AT + 2].copy_from_slice(&checksum.to_ne_bytes());
        page
    }

    const LAST: Lsn = Lsn(u64::MAX);

    #[test]
    fn a_page_passes_with_the_checksum_that_postgresql_calculates() {
        for (block, checksum) in [(0, 1648), (1, 1649), (131_079, 1653)] {
            assert_eq!(check(&page_with(checksum), block, LAST), Ok(()));
            let mismatch = Mismatch { calculated: checksum, expected: 7 };
            assert_eq!(check(&page_with(7), block, LAST), Err(mismatch));
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for at in [0, 7, 10, 16, 4000, 8191] {
            let mut page = page_with(1648);
            page[at] ^= 1;
            assert!(check(&page, 0, LAST).is_err(), "{at}");
        }
    }

    #[test]
    fn new_pages_and_those_that_recovery_replaces_are_not_checked() {
        assert_eq!(check(&[0; 8192], 3, LAST), Ok(()));
        let lsn = lsn(&page());
        assert_eq!(check(&page_with(7), 0, lsn), Ok(()));
        assert!(check(&page_with(7), 0, Lsn(lsn.0 + 1)).is_err());
    }
}
