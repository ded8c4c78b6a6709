//! Which files of the data directory are written when they arrive, and which later or not at all.

use crate::{
    repository::file_names::{CONTROL, CONTROL_BYTES, LABEL},
    restore::claim::MARKER,
};

/// The largest label or `PG_VERSION` that is read into memory.
const MOST_LABEL_BYTES: u64 = 1 << 20;
/// The files of settings that a restore appends to.
const SETTINGS: [&[u8]; 2] = [b"postgresql.auto.conf", b"postgresql.conf"];
/// The largest `tablespace_map` that is read into memory: a line for each tablespace.
const MOST_MAP_BYTES: u64 = 16 << 20;

/// What is done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::restore) enum Treatment {
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
    /// contains its `standby.signal`. A server that was started after an interrupted restore has its marker.
    LeftOut,
}

impl Treatment {
    /// Returns what is done with the file `name` of the data directory.
    pub(in crate::restore) fn of(name: &[u8]) -> Self {
        match name {
            CONTROL => Self::Kept { most_bytes: CONTROL_BYTES },
            b"tablespace_map" => Self::Kept { most_bytes: MOST_MAP_BYTES },
            LABEL | b"PG_VERSION" => Self::WrittenAndKept { most_bytes: MOST_LABEL_BYTES },
            MARKER | b"standby.signal" | b"recovery.signal" | b"recovery.conf" => Self::LeftOut,
            _ => Self::Written,
        }
    }

    pub(in crate::restore) fn is_written(self) -> bool {
        matches!(self, Self::Written | Self::WrittenAndKept { .. })
    }

    /// Whether a file that exists may be kept instead. One whose content is needed is always read from the backup, and so
    /// are the settings, which the restore changes.
    pub(in crate::restore) fn is_reusable(self, name: &[u8]) -> bool {
        self == Self::Written && !SETTINGS.contains(&name)
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
