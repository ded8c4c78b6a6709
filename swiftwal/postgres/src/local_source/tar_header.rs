//! The headers of tar members, byte for byte as the server writes them.
//!
//! Source: `tarCreateHeader` and `print_tar_number` in PostgreSQL's `src/port/tar.c`.

use std::{fs::Metadata, os::unix::fs::MetadataExt};

pub(super) const BLOCK_BYTES: usize = 512;

/// The two empty blocks at the end of a tar.
pub(super) const END_BYTES: usize = 2 * BLOCK_BYTES;

/// The longest name, with a zero byte at its end.
const NAME_BYTES: usize = 100;

/// The name doesn't fit into a header. The server fails, too: a restore needs the name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the name has more than 99 bytes, which a tar of PostgreSQL can't hold")]
pub(super) struct NameTooLong;

/// What a header says beside the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) kind: Kind,
    /// The permissions.
    pub(super) mode: u32,
    pub(super) user: u32,
    pub(super) group: u32,
    /// In seconds since 1970.
    pub(super) modified: u64,
}

/// The type of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File { bytes: u64 },
    Directory,
}

impl Attributes {
    pub(super) fn new(kind: Kind, metadata: &Metadata) -> Self {
        Self {
            kind,
            mode: metadata.mode() & 0o7777,
            user: metadata.uid(),
            group: metadata.gid(),
            modified: metadata.mtime().try_into().unwrap_or_default(),
        }
    }
}

/// Returns the header of a member.
pub(super) fn header(name: &[u8], attributes: Attributes) -> Result<[u8; BLOCK_BYTES], NameTooLong> {
    let Attributes { kind, mode, user, group, modified } = attributes;
    let (bytes, type_flag, slash) = match kind {
        Kind::File { bytes } => (bytes, b'0', &b""[..]),
        Kind::Directory => (0, b'5', &b"/"[..]),
    };
    if name.len() + slash.len() >= NAME_BYTES {
        return Err(NameTooLong);
    }
    let mut block = [0; BLOCK_BYTES];
    let mut put = |at: usize, field: &[u8]| block[at..at + field.len()].copy_from_slice(field);
    put(0, name);
    put(name.len(), slash);
    put(100, &number::<8>(mode.into()));
    put(108, &number::<8>(user.into()));
    put(116, &number::<8>(group.into()));
    put(124, &number::<12>(bytes));
    put(136, &number::<12>(modified));
    put(156, &[type_flag]);
    put(257, b"ustar\x0000");
    put(265, b"postgres");
    put(297, b"postgres");
    put(329, &number::<8>(0));
    put(337, &number::<8>(0));
    // The checksum counts as eight blanks.
    put(148, b"        ");
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    block[148..156].copy_from_slice(&number::<8>(sum));
    Ok(block)
}

/// Returns the number of bytes that fill the last block of a content of `bytes`.
pub(super) fn padding(bytes: u64) -> usize {
    let rest = usize::try_from(bytes % BLOCK_BYTES as u64).unwrap_or_default();
    (BLOCK_BYTES - rest) % BLOCK_BYTES
}

/// Writes a number in octal with a blank at the end, or, if it is too large for that, in binary.
fn number<const N: usize>(number: u64) -> [u8; N] {
    let mut field = [0; N];
    let mut rest = number;
    let is_octal = number.checked_shr(3 * (N as u32 - 1)).unwrap_or(0) == 0;
    let (digits, last) = if is_octal { (&mut field[..N - 1], 3) } else { (&mut field[1..], 8) };
    for digit in digits.iter_mut().rev() {
        *digit = (rest & ((1 << last) - 1)) as u8 + if is_octal { b'0' } else { 0 };
        rest >>= last;
    }
    if is_octal {
        field[N - 1] = b' ';
    } else {
        field[0] = 0x80;
    }
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Attributes =
        Attributes { kind: Kind::File { bytes: 8192 }, mode: 0o600, user: 104, group: 113, modified: 1 };

    #[test]
    fn a_header_is_what_other_programs_read() {
        let block = header(b"global/1260", FILE).unwrap();
        let header = tar::Header::from_byte_slice(&block);
        assert_eq!(&*header.path_bytes(), b"global/1260");
        assert_eq!((header.entry_size().unwrap(), header.mode().unwrap()), (8192, 0o600));
        assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (104, 113, 1));
        assert!(header.as_ustar().is_some());
        let sum = block[..148].iter().chain(&block[156..]).map(|byte| u32::from(*byte)).sum::<u32>() + 256;
        assert_eq!(header.cksum().unwrap(), sum);
    }

    #[test]
    fn a_size_of_8_gib_and_more_is_binary() {
        for bytes in [(8 << 30) - 1, 8 << 30, 1 << 40] {
            let block = header(b"large", Attributes { kind: Kind::File { bytes }, ..FILE }).unwrap();
            assert_eq!(tar::Header::from_byte_slice(&block).entry_size().unwrap(), bytes);
        }
    }

    #[test]
    fn names_of_up_to_99_bytes_fit() {
        assert!(header(&[b'a'; 99], FILE).is_ok());
        assert_eq!(header(&[b'a'; 100], FILE), Err(NameTooLong));
        let directory = Attributes { kind: Kind::Directory, ..FILE };
        assert_eq!(&header(&[b'a'; 98], directory).unwrap()[97..100], b"a/\0");
        assert_eq!(header(&[b'a'; 99], directory), Err(NameTooLong));
    }

    #[test]
    fn the_last_block_is_filled() {
        for (bytes, missing) in [(0, 0), (1, 511), (511, 1), (512, 0), (8193, 511)] {
            assert_eq!(padding(bytes), missing);
        }
    }
}
