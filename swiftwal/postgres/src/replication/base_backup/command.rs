//! The command that requests a base backup, in the grammar of the server's version.

use std::time::Duration;

use crate::replication::{
    error::ReplicationError,
    session::{Session, quoted_text},
};

/// The first version with options in parentheses.
const OPTION_LIST: u32 = 150_000;

/// The first version with incremental backups.
const INCREMENTAL: u32 = 170_000;

/// The options of a base backup.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupOptions {
    /// The text of the `LABEL` line in the backup label.
    pub label: String,
    /// Whether the checkpoint is made at once, rather than spread over minutes.
    pub fast_checkpoint: bool,
    /// Whether the server examines every file first, to announce the sizes, and reports its progress.
    pub progress: bool,
    /// Whether the archive of the data directory contains the WAL from start to end.
    pub include_wal: bool,
    /// The most that the server sends, in KiB per second: from 32 to 1048576.
    pub max_rate_kib: Option<u32>,
    /// Whether the archive contains `tablespace_map` instead of links.
    pub tablespace_map: bool,
    /// Whether the server sends a manifest, with these checksums.
    pub manifest: Option<ManifestChecksums>,
    /// Whether the server verifies the checksums of the pages, if the cluster has them.
    pub verify_checksums: bool,
    /// Whether only changes since the backup whose manifest was uploaded are sent; version 17 and later.
    pub incremental: bool,
    /// How long the server may take until it begins to send.
    pub start_limit: Duration,
    /// How long the server may send nothing once it has begun. It sends nothing while it scans a large file without changes,
    /// or waits for a slow disk; a host that is gone is noticed earlier, by the TCP keepalive.
    pub silence_limit: Duration,
}

/// The checksums of the files in a manifest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ManifestChecksums {
    /// None.
    None,
    /// CRC-32C: the server's default.
    #[default]
    Crc32c,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl BackupOptions {
    /// Creates the options of a backup with this label, a manifest and verified checksums, without WAL.
    pub fn new(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            fast_checkpoint: false,
            progress: false,
            include_wal: false,
            max_rate_kib: None,
            tablespace_map: false,
            manifest: Some(ManifestChecksums::default()),
            verify_checksums: true,
            incremental: false,
            start_limit: super::START_LIMIT,
            silence_limit: super::SILENCE_LIMIT,
        }
    }
}

impl ManifestChecksums {
    fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Crc32c => "CRC32C",
            Self::Sha224 => "SHA224",
            Self::Sha256 => "SHA256",
            Self::Sha384 => "SHA384",
            Self::Sha512 => "SHA512",
        }
    }
}

pub(super) fn command(session: &Session, options: &BackupOptions) -> Result<String, ReplicationError> {
    match session.version() {
        ..INCREMENTAL if options.incremental => Err(session.unsupported("incremental backups")),
        ..OPTION_LIST => old_grammar(options),
        _ => option_list(options),
    }
}

fn option_list(options: &BackupOptions) -> Result<String, ReplicationError> {
    let mut list = vec![format!("LABEL {}", quoted_text(&options.label)?), "WAIT false".to_owned()];
    let switches = [
        (options.fast_checkpoint, "CHECKPOINT 'fast'"),
        (options.progress, "PROGRESS"),
        (options.include_wal, "WAL"),
        (options.tablespace_map, "TABLESPACE_MAP"),
        (!options.verify_checksums, "VERIFY_CHECKSUMS false"),
        (options.incremental, "INCREMENTAL"),
    ];
    list.extend(switches.iter().filter(|(is_on, _)| *is_on).map(|(_, text)| (*text).to_owned()));
    list.extend(options.max_rate_kib.map(|rate| format!("MAX_RATE {rate}")));
    if let Some(checksums) = options.manifest {
        list.push("MANIFEST 'yes'".to_owned());
        list.push(format!("MANIFEST_CHECKSUMS '{}'", checksums.name()));
    }
    Ok(format!("BASE_BACKUP ({})", list.join(", ")))
}

fn old_grammar(options: &BackupOptions) -> Result<String, ReplicationError> {
    let mut list = vec![format!("LABEL {}", quoted_text(&options.label)?), "NOWAIT".to_owned()];
    let switches = [
        (options.fast_checkpoint, "FAST"),
        (options.progress, "PROGRESS"),
        (options.include_wal, "WAL"),
        (options.tablespace_map, "TABLESPACE_MAP"),
        (!options.verify_checksums, "NOVERIFY_CHECKSUMS"),
    ];
    list.extend(switches.iter().filter(|(is_on, _)| *is_on).map(|(_, text)| (*text).to_owned()));
    list.extend(options.max_rate_kib.map(|rate| format!("MAX_RATE {rate}")));
    if let Some(checksums) = options.manifest {
        list.push(format!("MANIFEST 'yes' MANIFEST_CHECKSUMS '{}'", checksums.name()));
    }
    Ok(format!("BASE_BACKUP {}", list.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> BackupOptions {
        BackupOptions {
            fast_checkpoint: true,
            progress: true,
            include_wal: true,
            max_rate_kib: Some(32),
            tablespace_map: true,
            manifest: Some(ManifestChecksums::Sha256),
            verify_checksums: false,
            incremental: true,
            ..BackupOptions::new("it's")
        }
    }

    #[test]
    fn from_version_15_on_the_options_stand_in_parentheses() {
        assert_eq!(
            option_list(&all()).unwrap(),
            "BASE_BACKUP (LABEL 'it''s', WAIT false, CHECKPOINT 'fast', PROGRESS, WAL, TABLESPACE_MAP, VERIFY_CHECKSUMS \
             false, INCREMENTAL, MAX_RATE 32, MANIFEST 'yes', MANIFEST_CHECKSUMS 'SHA256')"
        );
        let least = BackupOptions { manifest: None, ..BackupOptions::new("") };
        assert_eq!(option_list(&least).unwrap(), "BASE_BACKUP (LABEL '', WAIT false)");
    }

    #[test]
    fn before_version_15_they_are_words() {
        assert_eq!(
            old_grammar(&all()).unwrap(),
            "BASE_BACKUP LABEL 'it''s' NOWAIT FAST PROGRESS WAL TABLESPACE_MAP NOVERIFY_CHECKSUMS MAX_RATE 32 MANIFEST \
             'yes' MANIFEST_CHECKSUMS 'SHA256'"
        );
    }

    #[test]
    fn a_label_with_a_zero_byte_is_refused() {
        assert!(option_list(&BackupOptions::new("a\0b")).is_err());
    }
}
