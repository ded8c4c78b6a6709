//! Reads numbers in files that PostgreSQL writes in its machine's byte order.

/// The bytes of a file, read in this machine's order or in the opposite one.
#[derive(Clone, Copy)]
pub(crate) struct Numbers<'a> {
    bytes: &'a [u8],
    swapped: bool,
}

impl<'a> Numbers<'a> {
    /// Reads `bytes` in this machine's order.
    pub(crate) fn native(bytes: &'a [u8]) -> Self {
        Self { bytes, swapped: false }
    }

    /// Reads `bytes` in the opposite order.
    pub(crate) fn swapped(bytes: &'a [u8]) -> Self {
        Self { bytes, swapped: true }
    }

    /// Returns the number at `offset`. Here and below, `None` if it lies beyond the end.
    pub(crate) fn u16(self, offset: usize) -> Option<u16> {
        self.array(offset).map(u16::from_ne_bytes)
    }

    pub(crate) fn u32(self, offset: usize) -> Option<u32> {
        self.array(offset).map(u32::from_ne_bytes)
    }

    pub(crate) fn u64(self, offset: usize) -> Option<u64> {
        self.array(offset).map(u64::from_ne_bytes)
    }

    fn array<const N: usize>(self, offset: usize) -> Option<[u8; N]> {
        let mut bytes: [u8; N] = self.bytes.get(offset..offset + N)?.try_into().ok()?;
        if self.swapped {
            bytes.reverse();
        }
        Some(bytes)
    }
}
