//! Which files of the data directory are written when they arrive, and which later or not at all.

use crate::restore::destination::{CONTROL, LABEL};

/// The size of `global/pg_control` in every version: PostgreSQL's `PG_CONTROL_FILE_SIZE`.
const CONTROL_BYTES: u64 = 8192;
/// The largest label or `PG_VERSION` that is read into memory.
const MOST_LABEL_BYTES: u64 = 1 << 20;
/// The largest `tablespace_map` that is read into memory: a line for each tablespace.
const MOST_MAP_BYTES: u64 = 16 << 20;

/// What is done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Treatment {
    Written,
    /// It is written, and its content is kept as well.
    WrittenAndKept {
        most_bytes: u64,
    },
    /// It is written later: pg_control must come last of all, and tablespace_map may have to be changed.
    Kept {
        most_bytes: u64,
    },
    /// The recovery settings of the original server must not affect this one. A backup that was taken from a standby
    /// contains its `standby.signal`.
    LeftOut,
}

impl Treatment {
    /// Returns what is done with the file `name` of the data directory.
    pub(super) fn of(name: &[u8]) -> Self {
        match name {
            CONTROL => Self::Kept { most_bytes: CONTROL_BYTES },
            b"tablespace_map" => Self::Kept { most_bytes: MOST_MAP_BYTES },
            LABEL | b"PG_VERSION" => Self::WrittenAndKept { most_bytes: MOST_LABEL_BYTES },
            b"standby.signal" | b"recovery.signal" | b"recovery.conf" => Self::LeftOut,
            _ => Self::Written,
        }
    }

    pub(super) fn is_written(self) -> bool {
        matches!(self, Self::Written | Self::WrittenAndKept { .. })
    }

    pub(super) fn is_kept(self) -> bool {
        matches!(self, Self::WrittenAndKept { .. } | Self::Kept { .. })
    }

    pub(super) fn most_bytes(self) -> u64 {
        match self {
            Self::WrittenAndKept { most_bytes } | Self::Kept { most_bytes } => most_bytes,
            Self::Written | Self::LeftOut => u64::MAX,
        }
    }
}
