//! Copies the manifest of a stored backup to this machine.

use std::{fs::File, io::Write};

use bytes::Bytes;
use futures::TryStreamExt;
use swiftwal_compression::decoder;
use swiftwal_postgres::ParentManifest;
use tokio::io::{AsyncReadExt, BufReader};
use tokio_util::io::StreamReader;

use crate::{
    backup::upload::recorded,
    error::{Error, Result},
    local::blocking::blocking,
    repository::{
        Repository,
        layout::{BackupPart, ObjectName, SIDE_FORMAT},
        object_pieces,
        record::{BackupRecord, RecordedObject},
    },
};

const PIECE_BYTES: u64 = 256 << 10;

/// The beginning of every manifest, up to its version.
const VERSION: &[u8] = b"{ \"PostgreSQL-Backup-Manifest-Version\": ";

const NO_MANIFEST: &str = "PostgreSQL's manifest of it isn't stored";
const TOO_OLD: &str = "its manifest has version 1, which PostgreSQL takes from no parent";

/// The oldest version of a parent's manifest. Version 1, of PostgreSQL 16 and older, lacks the system identifier.
const OLDEST_VERSION: u32 = 2;

/// Copies the manifest of `record` into a temporary file without a name, which ends with the process, and verifies it by
/// the record. The inner error is the reason why the backup can't be a parent.
///
/// # Errors
///
/// [`Error::Damaged`] and [`Error::Missing`]; [`Error::Local`] if this machine has no room for it.
pub(super) async fn copy(
    repository: &Repository,
    record: &BackupRecord,
) -> Result<Result<ParentManifest, &'static str>> {
    let is_manifest = |object: &&RecordedObject| object.part() == Some(BackupPart::Manifest);
    let Some(expected) = record.objects.iter().find(is_manifest) else { return Ok(Err(NO_MANIFEST)) };
    let name = ObjectName::parse(&expected.name);
    let Some(object) = repository.open(&name).await? else { return Err(repository.missing(name)) };
    let (mut hasher, mut bytes) = (blake3::Hasher::new(), 0);
    let stored = object_pieces(object).map_err(std::io::Error::from).inspect_ok(|piece: &Bytes| {
        hasher.update(piece);
        bytes += piece.len() as u64;
    });
    let mut text = decoder(SIDE_FORMAT, BufReader::new(StreamReader::new(stored)));
    let mut file = tempfile::tempfile().map_err(Error::local("create a file in", std::env::temp_dir()))?;
    let mut is_first = true;
    loop {
        let mut piece = Vec::new();
        let read = (&mut text).take(PIECE_BYTES).read_to_end(&mut piece).await;
        if read.map_err(|error| repository.unreadable(&name, error))? == 0 {
            break;
        }
        if std::mem::take(&mut is_first) && version(&piece).is_none_or(|version| version < OLDEST_VERSION) {
            return Ok(Err(TOO_OLD));
        }
        file = write(file, piece).await?;
    }
    drop(text);
    if recorded(&name, bytes, &hasher) != *expected {
        return Err(Error::damaged(name, "its content doesn't match the commit record"));
    }
    Ok(Ok(ParentManifest::new(file)))
}

async fn write(mut file: File, piece: Vec<u8>) -> Result<File> {
    blocking(move || {
        let written = file.write_all(&piece);
        written.map_err(Error::local("copy a backup's manifest into", std::env::temp_dir()))?;
        Ok(file)
    })
    .await
}

/// Returns the version of the manifest that begins so.
fn version(beginning: &[u8]) -> Option<u32> {
    let rest = beginning.strip_prefix(VERSION)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_the_first_line() {
        let first = |text: &str| version(text.as_bytes());
        assert_eq!(first("{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n\"System-Id"), Some(2));
        assert_eq!(first("{ \"PostgreSQL-Backup-Manifest-Version\": 10,"), Some(10));
        for odd in ["", "{}", "{ \"PostgreSQL-Backup-Manifest-Version\": x"] {
            assert_eq!(first(odd), None, "{odd}");
        }
    }
}
