//! The manifest of a backup, in the version of PostgreSQL's format that the server itself would write. From version 17 on,
//! that is version 2, which names the cluster: a server takes no incremental backup from another one.
//!
//! Source: PostgreSQL's `src/backend/backup/backup_manifest.c`, and
//! <https://www.postgresql.org/docs/current/backup-manifest-format.html>.

use std::{fmt::Write as _, os::unix::ffi::OsStrExt, path::Path};

use bytes::Bytes;
use jiff::{Timestamp, tz::TimeZone};
use ring::digest::{Context, SHA256};

use crate::{Lsn, Timeline};

/// The first major version of PostgreSQL that writes version 2 of the format.
const VERSION_2: u32 = 17;

/// A manifest that is being written.
pub(super) struct Manifest {
    text: String,
    /// Of what was taken.
    digest: Context,
    has_files: bool,
}

/// A file of the backup.
#[derive(Debug, Clone, Copy)]
pub(super) struct ManifestFile<'a> {
    /// Its name in the cluster.
    pub(super) name: &'a Path,
    pub(super) bytes: u64,
    /// In seconds since 1970.
    pub(super) modified: u64,
    pub(super) crc32c: u32,
}

impl Manifest {
    /// Begins the manifest of a server of this major version.
    pub(super) fn new(major_version: &str, system_identifier: u64) -> Self {
        let names_cluster = major_version.parse::<u32>().is_ok_and(|version| version >= VERSION_2);
        let head = match names_cluster {
            true => format!("2,\n\"System-Identifier\": {system_identifier}"),
            false => "1".to_owned(),
        };
        let text = format!("{{ \"PostgreSQL-Backup-Manifest-Version\": {head},\n\"Files\": [");
        Self { text, digest: Context::new(&SHA256), has_files: false }
    }

    /// Adds a file.
    pub(super) fn add(&mut self, file: ManifestFile<'_>) {
        let separator = if self.has_files { ",\n" } else { "\n" };
        self.has_files = true;
        let ManifestFile { name, bytes, modified, crc32c } = file;
        // PostgreSQL writes the bytes as they are in memory.
        let sum = hex(&crc32c.to_ne_bytes());
        let (path, modified) = (path(name), date(modified));
        // Writing to a string doesn't fail.
        let _ = write!(
            self.text,
            "{separator}{{ {path}, \"Size\": {bytes}, \"Last-Modified\": \"{modified}\", \
             \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"{sum}\" }}"
        );
    }

    /// Returns how much text there is to be taken.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// Takes the text so far.
    pub(super) fn take(&mut self) -> Bytes {
        self.digest.update(self.text.as_bytes());
        std::mem::take(&mut self.text).into()
    }

    /// Ends the manifest with the WAL that the backup needs, and returns what hasn't been taken.
    pub(super) fn finish(&mut self, timeline: Timeline, (start, end): (Lsn, Lsn)) -> Bytes {
        let _ = write!(
            self.text,
            "\n],\n\"WAL-Ranges\": [\n{{ \"Timeline\": {timeline}, \"Start-LSN\": \"{start}\", \"End-LSN\": \"{end}\" }}\n],\n"
        );
        self.digest.update(self.text.as_bytes());
        let sum = hex(self.digest.clone().finish().as_ref());
        let _ = writeln!(self.text, "\"Manifest-Checksum\": \"{sum}\"}}");
        std::mem::take(&mut self.text).into()
    }
}

impl std::fmt::Debug for Manifest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Manifest").field("has_files", &self.has_files).finish_non_exhaustive()
    }
}

/// Returns the name, in JSON if it is UTF-8.
fn path(name: &Path) -> String {
    let json = name.to_str().and_then(|name| serde_json::to_string(name).ok());
    match json {
        Some(json) => format!("\"Path\": {json}"),
        None => format!("\"Encoded-Path\": \"{}\"", hex(name.as_os_str().as_bytes())),
    }
}

fn date(seconds: u64) -> String {
    let timestamp = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    let utc = timestamp.unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(TimeZone::UTC);
    utc.strftime("%Y-%m-%d %H:%M:%S GMT").to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    use super::*;

    fn file(name: &Path) -> ManifestFile<'_> {
        ManifestFile { name, bytes: 3, modified: 1_000_000_000, crc32c: crc32c::crc32c(b"abc") }
    }

    #[test]
    fn a_manifest_has_postgresqls_form_and_its_own_checksum() {
        let mut manifest = Manifest::new("16", 7);
        manifest.add(file(Path::new("base/1/\"a\" é")));
        let mut text = manifest.take().to_vec();
        manifest.add(file(Path::new(OsStr::from_bytes(b"b\xff"))));
        text.extend(manifest.finish(Timeline::FIRST, (Lsn(0x200_0028), Lsn(0x200_0100))));
        let text = String::from_utf8(text).unwrap();
        let (signed, end) = text.split_at(text.find("\"Manifest-Checksum\"").unwrap());
        assert_eq!(
            signed,
            "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [\n\
             { \"Path\": \"base/1/\\\"a\\\" é\", \"Size\": 3, \"Last-Modified\": \"2001-09-09 01:46:40 GMT\", \
             \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"b73f4b36\" },\n\
             { \"Encoded-Path\": \"62ff\", \"Size\": 3, \"Last-Modified\": \"2001-09-09 01:46:40 GMT\", \
             \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"b73f4b36\" }\n],\n\
             \"WAL-Ranges\": [\n{ \"Timeline\": 1, \"Start-LSN\": \"0/2000028\", \"End-LSN\": \"0/2000100\" }\n],\n"
        );
        let sum = hex(ring::digest::digest(&SHA256, signed.as_bytes()).as_ref());
        assert_eq!(end, format!("\"Manifest-Checksum\": \"{sum}\"}}\n"));
    }

    #[test]
    fn from_version_17_on_the_manifest_names_the_cluster() {
        for version in ["17", "18", "19"] {
            let text = Manifest::new(version, u64::MAX).take();
            let expected = "{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n\"System-Identifier\": 18446744073709551615,\n\"Files\": [";
            assert_eq!(text, expected);
        }
    }
}
