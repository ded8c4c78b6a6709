//! The limits of a storage on objects and parts.

/// How large the objects of a storage may be, and in what parts they are written.
///
/// A tar that is larger than the largest object is stored as several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How much of a large object is written as one part, and read by one request. A few are in memory at a time.
    pub part_bytes: usize,
    /// The largest WAL file, before compression, that is held in memory for one put. A larger one is written in parts,
    /// unless it compresses to little.
    pub put_bytes: u64,
    /// The most parts of one object.
    pub max_parts: u64,
    /// The most bytes of one object.
    pub max_object_bytes: u64,
}

impl Limits {
    /// PostgreSQL's usual WAL segment takes one put, whatever its content.
    pub const PUT_BYTES: u64 = 16 << 20;

    /// The most bytes of one object that is written in parts. A part is never smaller than `part_bytes`, the last one
    /// excepted.
    #[must_use]
    pub fn largest_object(&self) -> u64 {
        self.max_object_bytes.min(self.max_parts.saturating_mul(self.part_bytes as u64))
    }
}

/// Parts of 8 MiB, and no limit that is known.
impl Default for Limits {
    fn default() -> Self {
        Self {
            part_bytes: 8 << 20,
            put_bytes: Self::PUT_BYTES,
            max_parts: u64::MAX,
            max_object_bytes: u64::MAX,
        }
    }
}
