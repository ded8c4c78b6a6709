//! Parses PostgreSQL's manifest as a stream: PostgreSQL writes each file in a line of its own.

use std::io;

use serde::Deserialize;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

use super::{
    ManifestText,
    checksum::Algorithm,
    line::{BEGINNINGS, ListedName, invalid, object_in},
    listed_name,
};
use crate::repository::index::MemberName;

/// The longest line: a path has at most 4096 bytes, twice as many in hexadecimal digits.
const MOST_LINE_BYTES: u64 = 64 << 10;
/// A file that the manifest lists.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its path below the data directory.
    pub(super) name: Vec<u8>,
    pub(super) bytes: u64,
    pub(super) algorithm: Algorithm,
    pub(super) checksum: Vec<u8>,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "Path")]
    path: Option<String>,
    #[serde(rename = "Encoded-Path")]
    encoded_path: Option<String>,
    #[serde(rename = "Size")]
    bytes: u64,
    #[serde(rename = "Checksum-Algorithm")]
    algorithm: Option<String>,
    #[serde(rename = "Checksum")]
    checksum: Option<String>,
}

/// The files of a manifest.
pub(super) struct Entries<R> {
    text: R,
    line: Vec<u8>,
    kept: Option<ManifestText>,
    /// Why a line couldn't be kept.
    pub(super) unwritable: Option<io::Error>,
}

impl<R: AsyncBufRead + Send + Unpin> Entries<R> {
    /// Reads `text`, and keeps its lines in `kept`.
    pub(super) fn new(text: R, kept: Option<ManifestText>) -> Self {
        Self { text, line: Vec::new(), kept, unwritable: None }
    }

    /// Returns the lines that were kept.
    pub(super) fn finish(self) -> Option<ManifestText> {
        self.kept
    }

    /// Returns the next file, except those of `pg_wal`; none at the end.
    ///
    /// # Errors
    ///
    /// [`InvalidData`](io::ErrorKind::InvalidData) for a line that PostgreSQL doesn't write.
    pub(super) async fn next(&mut self) -> io::Result<Option<Entry>> {
        loop {
            self.line.clear();
            let mut limited = (&mut self.text).take(MOST_LINE_BYTES + 1);
            let read = limited.read_until(b'\n', &mut self.line).await?;
            if read as u64 > MOST_LINE_BYTES {
                return Err(invalid("it has a line that is too long"));
            }
            if read == 0 {
                return Ok(None);
            }
            if let Err(error) = self.kept.as_mut().map_or(Ok(()), |kept| kept.add(&self.line)) {
                let kind = error.kind();
                self.unwritable = Some(error);
                return Err(kind.into());
            }
            if BEGINNINGS.iter().any(|beginning| self.line.starts_with(beginning))
                && let Some(entry) = entry(&self.line)?
            {
                return Ok(Some(entry));
            }
        }
    }
}

/// Returns the file in a line; none if it isn't compared.
fn entry(line: &[u8]) -> io::Result<Option<Entry>> {
    let listed: Listed = serde_json::from_slice(object_in(line))?;
    let name = ListedName { path: listed.path, encoded_path: listed.encoded_path }.name()?;
    let algorithm = listed.algorithm.as_deref().map_or(Some(Algorithm::None), Algorithm::named);
    let algorithm = algorithm.ok_or_else(|| invalid("it has a checksum of an unknown kind"))?;
    let checksum = MemberName::from_hex(&listed.checksum.unwrap_or_default()).map(|bytes| bytes.0);
    let checksum = checksum.ok_or_else(|| invalid("it has a checksum that isn't hexadecimal"))?;
    Ok(listed_name(None, &name).map(|name| Entry { name, bytes: listed.bytes, algorithm, checksum }))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(text: &str) -> io::Result<Vec<Entry>> {
        let mut entries = Entries::new(text.as_bytes(), None);
        let mut read = Vec::new();
        while let Some(entry) = entries.next().await? {
            read.push(entry);
        }
        Ok(read)
    }

    /// The lines are those of a real server.
    #[tokio::test]
    async fn files_are_read_as_postgresql_lists_them() {
        let text = r#"{ "PostgreSQL-Backup-Manifest-Version": 1,
"Files": [
{ "Path": "PG_VERSION", "Size": 3, "Last-Modified": "2026-11-29 11:01:05 GMT", "Checksum-Algorithm": "CRC32C", "Checksum": "8a744722" },
{ "Encoded-Path": "636166e9", "Size": 0, "Last-Modified": "2026-11-29 11:01:05 GMT" },
{ "Path": "pg_wal/archive_status/00000001000000000000003F.done", "Size": 0, "Last-Modified": "2026-11-29 11:01:29 GMT", "Checksum-Algorithm": "CRC32C", "Checksum": "00000000" }
],
"WAL-Ranges": [
{ "Timeline": 1, "Start-LSN": "0/3F000028", "End-LSN": "0/3F000100" }
],
"Manifest-Checksum": "718c80d120f4e510eb555ab11a1d1d0fd79dc885f9f13e3e6d8a940deb8fa852"}
"#;
        let version = Entry {
            name: b"PG_VERSION".to_vec(),
            bytes: 3,
            algorithm: Algorithm::Crc32c,
            checksum: vec![0x8a, 0x74, 0x47, 0x22],
        };
        let encoded =
            Entry { name: b"caf\xe9".to_vec(), bytes: 0, algorithm: Algorithm::None, checksum: Vec::new() };
        assert_eq!(read(text).await.unwrap(), [version, encoded]);
    }

    #[tokio::test]
    async fn a_line_that_cannot_be_is_an_error() {
        for line in [
            "{ \"Path\": \"a\" }".to_owned(),
            "{ \"Path\": \"a\", \"Size\": -1 }".to_owned(),
            "{ \"Path\": \"a\", \"Size\": 1, \"Checksum-Algorithm\": \"MD5\", \"Checksum\": \"00\" }"
                .to_owned(),
            "{ \"Path\": \"a\", \"Size\": 1, \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"0\" }"
                .to_owned(),
            "{ \"Encoded-Path\": \"x\", \"Size\": 1 }".to_owned(),
            " ".repeat(1 << 17),
        ] {
            assert_eq!(read(&line).await.unwrap_err().kind(), io::ErrorKind::InvalidData, "{line}");
        }
    }
}
