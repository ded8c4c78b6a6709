//! The options that make a backup incremental.

use std::{num::NonZeroU32, str::FromStr};

use swiftwal_core::{BackupMode, Error, ParseKeyError, Repository, Result};

use crate::values::{BackupArg, whole};

/// The options that make a backup incremental.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ModeArgs {
    /// Take an incremental backup: only the blocks that have changed since the backup KEY, or since the newest backup
    /// that can be used. With auto, take a full backup if there is none. It needs PostgreSQL 17 or later with
    /// summarize_wal = on, and uses --method replication
    #[arg(long, value_name = "KEY|auto", num_args = 0..=1, require_equals = true, default_missing_value = "latest")]
    incremental: Option<Incremental>,
    /// Take one backup in N as a full one, and those in between as incremental ones, as --incremental=auto does: a chain
    /// has at most N backups
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=u32::MAX.into()), allow_negative_numbers = true)]
    full_every: Option<u32>,
}

/// The value of `--incremental`.
#[derive(Clone, Debug)]
enum Incremental {
    Auto,
    On(BackupArg),
}

impl FromStr for Incremental {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        if text.eq_ignore_ascii_case("auto") { Ok(Self::Auto) } else { text.parse().map(Self::On) }
    }
}

impl ModeArgs {
    /// Whether the backup may be incremental.
    pub(super) fn may_be_incremental(&self) -> bool {
        self.incremental.is_some() || self.full_every.is_some()
    }

    /// Fails if the options contradict each other.
    pub(super) fn check(&self) -> Result<()> {
        match (&self.incremental, self.full_every) {
            (Some(Incremental::On(parent)), Some(_)) if !parent.is_latest() => Err(Error::Usage(
                "--full-every chooses the parent itself; leave out either that option or the key of --incremental"
                    .to_owned(),
            )),
            _ => Ok(()),
        }
    }

    /// Returns the mode of a backup into `repository`, which is asked only if a key isn't complete.
    pub(super) async fn mode(self, repository: &Repository) -> Result<BackupMode> {
        let full_every = self.full_every.and_then(NonZeroU32::new);
        Ok(match self.incremental {
            _ if full_every.is_some() => BackupMode::Auto { full_every },
            None => BackupMode::Full,
            Some(Incremental::Auto) => BackupMode::Auto { full_every: None },
            Some(Incremental::On(parent)) => BackupMode::Incremental(parent.resolve(repository).await?),
        })
    }
}
