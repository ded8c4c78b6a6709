//! The names of all objects. They are those of SwiftWAL 0.2.2, so that its containers are read unchanged;
//! `docs/format.md` is the normative page.

use std::fmt;

use percent_encoding::percent_decode_str;
use swiftwal_compression::Format;
use swiftwal_postgres::{SegmentName, WalName};

use crate::repository::{key::BackupKey, wal_variant::WalVariant};

const BACKUP: &str = "pg_basebackup_";
const LABEL: &str = "backup_label_";
const MANIFEST: &str = "backup_manifest_";
const WAL: &str = "wal_";
const GAP: &str = "gap_";
const PIN: &str = "keep_";
const VERIFICATION: &str = "verify_";
const DRILL: &str = "drill_";

/// The prefix of names that no listing shows.
const HIDDEN: &str = "...";
/// The compression of the index and the manifest, which doesn't depend on the tars'.
pub(crate) const SIDE_FORMAT: Format = Format::Zstd;
/// The directory of the deletion marks.
pub(crate) const DELETING: &str = "...deleting";
/// The directory of the marks of WAL that is being removed.
pub(crate) const REMOVING_WAL: &str = "...removing_wal";
/// The directory of the markers of backups in progress.
pub(crate) const UPLOADING: &str = "...uploading";
/// The directory of the parts of backups of SwiftWAL 0.2.2.
pub(crate) const SEGMENTS: &str = "...seg";
/// The directory of the marks of deletions that SwiftWAL 0.2.2 began.
const TO_DELETE: &str = "...to_delete";

/// An object of a repository, identified by its name. `Display` returns the name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObjectName {
    /// `cluster.json`: the identity of the cluster.
    Cluster,
    /// `wal_<NAME><suffix>`: a WAL file.
    Wal {
        /// PostgreSQL's name of the file.
        name: WalName,
        /// Its compression.
        format: Format,
    },
    /// `wal_<NAME>.<variant><suffix>`: a further content of a `.partial` or `.backup` file.
    WalVariant {
        /// PostgreSQL's name of the file.
        name: WalName,
        /// Which of its contents the object has.
        variant: WalVariant,
        /// Its compression.
        format: Format,
    },
    /// `gap_<segment>.json`: the record of missing WAL that begins with this segment.
    Gap(SegmentName),
    /// An object of a backup.
    Backup {
        /// The backup that it belongs to.
        key: BackupKey,
        /// The part of the backup.
        part: BackupPart,
    },
    /// `...uploading/<claim>/<id>`: a process is writing, or was writing, what `claim` names: a key or, in a container
    /// of SwiftWAL 0.2.2, the name of an object.
    Marker {
        /// The name that is claimed.
        claim: String,
        /// The id of the process that claims it.
        id: String,
    },
    /// `...seg/pg_basebackup_<key>.tgz/<upload>/<number>`: a segment of a backup of SwiftWAL 0.2.2, or of an upload
    /// that it began.
    LegacySegment {
        /// The backup that it belongs to.
        key: BackupKey,
        /// The id of the upload, which is also the id of its marker.
        upload: String,
        /// Its position among the segments.
        number: String,
    },
    /// `...to_delete/<name>`: SwiftWAL 0.2.2 began to delete the backup or the upload that `name` names, and perhaps
    /// never finished.
    LegacyDeletion {
        /// The backup that it belongs to.
        key: BackupKey,
        /// The name of the object to delete, percent-encoded as SwiftWAL 0.2.2 wrote it.
        name: String,
    },
    /// `...deleting/<key>`: the deletion of a backup has begun, and must be finished.
    Deleting(BackupKey),
    /// `...removing_wal/<segment>`: WAL of that timeline is being removed, up to and including that segment.
    RemovingWal(SegmentName),
    /// Anything else that begins with `...`.
    Hidden(String),
    /// A name that this program never writes.
    Foreign(String),
}

/// The objects that make up a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BackupPart {
    /// The data directory, or a tablespace, as a tar in independent frames.
    Tar {
        /// The tablespace's oid. None for the data directory.
        tablespace: Option<u32>,
        /// The number of the object among those of the tar, from 1 on. There is only one unless the tar is larger than
        /// the storage's largest object.
        piece: u32,
        /// The compression of the frames.
        format: Format,
    },
    /// `.tgz`: a complete backup of SwiftWAL 0.2.2.
    Legacy,
    /// The backup label, as text.
    Label,
    /// PostgreSQL's own manifest.
    Manifest,
    /// The positions of the files in the tars.
    Index,
    /// The commit record: a backup without one doesn't exist.
    Record,
    /// The pin: the backup is to be kept.
    Pin,
    /// The result of the last verify.
    Verification,
    /// The result of a drill.
    Drill {
        /// When it ended, in the form of a key.
        ended: BackupKey,
    },
}

impl ObjectName {
    /// Returns the single object of a backup of SwiftWAL 0.2.2.
    pub(crate) fn legacy_backup(key: BackupKey) -> Self {
        Self::Backup { key, part: BackupPart::Legacy }
    }

    /// Parses a name. Every text is a name of some kind.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        Self::known(name).unwrap_or_else(|| {
            let kind = if name.starts_with(HIDDEN) { Self::Hidden } else { Self::Foreign };
            kind(name.to_owned())
        })
    }

    fn known(name: &str) -> Option<Self> {
        if name == "cluster.json" {
            return Some(Self::Cluster);
        }
        if let Some(rest) = name.strip_prefix(WAL) {
            let (file, format) = split_format(rest);
            if let Ok(name) = file.parse() {
                return Some(Self::Wal { name, format });
            }
            let (name, variant) = WalVariant::parse_name(file)?;
            return Some(Self::WalVariant { name, variant, format });
        }
        if let Some(rest) = name.strip_prefix(GAP) {
            return Some(Self::Gap(rest.strip_suffix(".json")?.parse().ok()?));
        }
        if let Some(rest) = below(UPLOADING, name) {
            let (claim, id) = rest.split_once('/')?;
            return Some(Self::Marker { claim: claim.to_owned(), id: id.to_owned() });
        }
        if let Some(rest) = below(SEGMENTS, name) {
            let mut parts = rest.split('/').map(str::to_owned);
            let (object, upload, number) = (parts.next()?, parts.next()?, parts.next()?);
            let key = legacy_key(&object).filter(|_| parts.next().is_none())?;
            return Some(Self::LegacySegment { key, upload, number });
        }
        if let Some(rest) = below(TO_DELETE, name) {
            return Some(Self::LegacyDeletion { key: key_to_delete(rest)?, name: rest.to_owned() });
        }
        if let Some(segment) = below(REMOVING_WAL, name) {
            let WalName::Segment(last) = segment.parse().ok()? else { return None };
            return Some(Self::RemovingWal(last));
        }
        let with_key = match below(DELETING, name) {
            Some(key) => Self::Deleting(key.parse().ok()?),
            None => {
                let (key, part) = about_a_backup(name).or_else(|| backup_part(name))?;
                Self::Backup { key: key.parse().ok()?, part }
            }
        };
        // A person may write a key in other ways, but names of objects have only one.
        (with_key.to_string() == name).then_some(with_key)
    }
}

/// Returns what follows `directory/`.
fn below<'a>(directory: &str, name: &'a str) -> Option<&'a str> {
    name.strip_prefix(directory)?.strip_prefix('/')
}

/// Returns the key in the name of a backup of SwiftWAL 0.2.2.
pub(crate) fn legacy_key(object: &str) -> Option<BackupKey> {
    match ObjectName::parse(object) {
        ObjectName::Backup { key, part: BackupPart::Legacy } => Some(key),
        _ => None,
    }
}

/// Returns the backup that the encoded name of something to delete belongs to: it may name the backup, an upload of it,
/// or an interrupted deletion of one of these.
fn key_to_delete(encoded: &str) -> Option<BackupKey> {
    let decoded = percent_decode_str(encoded).decode_utf8().ok()?;
    match ObjectName::parse(&decoded) {
        ObjectName::Backup { key, part: BackupPart::Legacy } | ObjectName::LegacyDeletion { key, .. } => {
            Some(key)
        }
        ObjectName::Marker { claim, .. } => legacy_key(&claim),
        _ => None,
    }
}

/// Parses the names of the files that are written about a backup after it was taken.
fn about_a_backup(name: &str) -> Option<(&str, BackupPart)> {
    let name = name.strip_suffix(".json")?;
    if let Some(rest) = name.strip_prefix(DRILL) {
        let (key, ended) = rest.split_once('_')?;
        return Some((key, BackupPart::Drill { ended: ended.parse().ok()? }));
    }
    let pin = name.strip_prefix(PIN).map(|key| (key, BackupPart::Pin));
    pin.or_else(|| Some((name.strip_prefix(VERIFICATION)?, BackupPart::Verification)))
}

fn backup_part(name: &str) -> Option<(&str, BackupPart)> {
    if let Some(rest) = name.strip_prefix(LABEL) {
        return Some((rest.strip_suffix(".txt")?, BackupPart::Label));
    }
    if let Some(rest) = name.strip_prefix(MANIFEST) {
        return Some((rest.strip_suffix(".zst")?, BackupPart::Manifest));
    }
    let (key, rest) = name.strip_prefix(BACKUP)?.split_once('.')?;
    let part = match rest {
        "json" => BackupPart::Record,
        "tgz" => BackupPart::Legacy,
        "index.zst" => BackupPart::Index,
        tar => {
            let (tar, format) = split_format(tar);
            let (tar, piece) = match tar.rsplit_once("tar.") {
                Some((tar, piece)) => (tar, piece.parse().ok()?),
                None => (tar.strip_suffix("tar")?, 1),
            };
            let tablespace = match tar {
                "" => None,
                oid => Some(oid.strip_suffix('.')?.parse().ok()?),
            };
            BackupPart::Tar { tablespace, piece, format }
        }
    };
    Some((key, part))
}

/// Splits `name` into the name without the suffix of its compression, and that compression.
fn split_format(name: &str) -> (&str, Format) {
    [Format::Zstd, Format::Gzip, Format::Lz4]
        .into_iter()
        .find_map(|format| name.strip_suffix(format.suffix()).map(|stem| (stem, format)))
        .unwrap_or((name, Format::None))
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster => f.write_str("cluster.json"),
            Self::Wal { name, format } => write!(f, "{WAL}{name}{}", format.suffix()),
            Self::WalVariant { name, variant, format } => {
                write!(f, "{WAL}{name}.{variant}{}", format.suffix())
            }
            Self::Gap(first) => write!(f, "{GAP}{first}.json"),
            Self::Marker { claim, id } => write!(f, "{UPLOADING}/{claim}/{id}"),
            Self::LegacySegment { key, upload, number } => {
                write!(f, "{SEGMENTS}/{BACKUP}{key}.tgz/{upload}/{number}")
            }
            Self::LegacyDeletion { name, .. } => write!(f, "{TO_DELETE}/{name}"),
            Self::Deleting(key) => write!(f, "{DELETING}/{key}"),
            Self::RemovingWal(last) => write!(f, "{REMOVING_WAL}/{last}"),
            Self::Hidden(name) | Self::Foreign(name) => f.write_str(name),
            Self::Backup { key, part } => match part {
                BackupPart::Tar { tablespace, piece, format } => {
                    write!(f, "{BACKUP}{key}.")?;
                    if let Some(oid) = tablespace {
                        write!(f, "{oid}.")?;
                    }
                    f.write_str("tar")?;
                    if *piece > 1 {
                        write!(f, ".{piece:04}")?;
                    }
                    f.write_str(format.suffix())
                }
                BackupPart::Legacy => write!(f, "{BACKUP}{key}.tgz"),
                BackupPart::Label => write!(f, "{LABEL}{key}.txt"),
                BackupPart::Manifest => write!(f, "{MANIFEST}{key}.zst"),
                BackupPart::Index => write!(f, "{BACKUP}{key}.index.zst"),
                BackupPart::Record => write!(f, "{BACKUP}{key}.json"),
                BackupPart::Pin => write!(f, "{PIN}{key}.json"),
                BackupPart::Verification => write!(f, "{VERIFICATION}{key}.json"),
                BackupPart::Drill { ended } => write!(f, "{DRILL}{key}_{ended}.json"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_the_format_is_known_and_given_back() {
        for name in [
            "cluster.json",
            "wal_00000001000000000000005C.zst",
            "wal_00000001000000000000005C.gz",
            "wal_00000001000000000000005C.lz4",
            "wal_00000001000000000000005C",
            "wal_00000001000000000000005C.partial",
            "wal_00000001000000000000005C.partial.0011223344556677.zst",
            "wal_00000001000000000000005C.00000028.backup.0011223344556677",
            "wal_00000002.history.zst",
            "wal_00000001000000000000005C.partial.zst",
            "wal_00000001000000000000005C.partial.received.zst",
            "gap_00000001000000000000005C.json",
            "wal_00000001000000000000005C.00000020.backup.zst",
            "pg_basebackup_20130828T1810Z.tar.zst",
            "pg_basebackup_20130828T181042Z.tar",
            "pg_basebackup_20130828T1810Z.16384.tar.lz4",
            "pg_basebackup_20130828T1810Z.tgz",
            "backup_label_20130828T1810Z.txt",
            "backup_manifest_20130828T1810Z.zst",
            "pg_basebackup_20130828T1810Z.tar.0002.zst",
            "pg_basebackup_20130828T1810Z.16384.tar.12345",
            "pg_basebackup_20130828T1810Z.index.zst",
            "pg_basebackup_20130828T1810Z.json",
            "keep_20130828T1810Z.json",
            "verify_20130828T181042Z.json",
            "drill_20130828T1810Z_20130829T030001Z.json",
            "...uploading/20130828T1810Z/7b9c",
            "...deleting/20130828T1810Z",
            "...removing_wal/00000001000000000000005C",
            "...uploading/pg_basebackup_20130828T1810Z.tgz/4d2e",
            "...seg/pg_basebackup_20130828T1810Z.tgz/4d2e/000001",
            "...to_delete/pg_basebackup_20130828T1810Z.tgz",
        ] {
            let parsed = ObjectName::parse(name);
            assert!(!matches!(parsed, ObjectName::Foreign(_) | ObjectName::Hidden(_)), "{name}");
            assert_eq!(parsed.to_string(), name);
        }
    }

    #[test]
    fn what_the_program_never_writes_is_foreign() {
        for name in [
            "notes.txt",
            "wal_",
            "gap_00000001000000000000005C",
            "wal_00000001000000000000005C.bz2",
            "pg_basebackup_20130828t1810z.json",
            "pg_basebackup_20130828T1810.json",
            "pg_basebackup_20130828T1810Z.tar.zst.old",
            "pg_basebackup_20130828T1810Z.016384.tar",
            "keep_20130828T1810.json",
            "verify_20130828T1810Z_20130829T030001Z.json",
            "drill_20130828T1810Z_20130829t030001z.json",
        ] {
            assert_eq!(ObjectName::parse(name), ObjectName::Foreign(name.to_owned()));
        }
    }

    #[test]
    fn what_begins_with_three_dots_is_hidden() {
        for name in
            ["...to_delete/x", "...seg/x/4d2e/000001", "...seg/pg_basebackup_20130828T1810Z.tgz/4d2e/1/2"]
        {
            assert_eq!(ObjectName::parse(name), ObjectName::Hidden(name.to_owned()));
        }
    }

    #[test]
    fn a_deletion_of_the_original_tells_its_backup_however_often_it_was_interrupted() {
        for name in [
            "pg_basebackup_20130828T1810Z.tgz",
            "...uploading%2Fpg_basebackup_20130828T1810Z.tgz%2F4d2e",
            "...to_delete%2Fpg_basebackup_20130828T1810Z.tgz",
            "...to_delete%2F...uploading%252Fpg_basebackup_20130828T1810Z.tgz%252F4d2e",
        ] {
            let object = format!("...to_delete/{name}");
            let expected =
                ObjectName::LegacyDeletion { key: "20130828T1810Z".parse().unwrap(), name: name.to_owned() };
            let parsed = ObjectName::parse(&object);
            assert_eq!(parsed, expected);
            assert_eq!(parsed.to_string(), object);
        }
    }
}
