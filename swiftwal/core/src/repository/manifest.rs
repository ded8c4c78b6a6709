//! Compares the restored files with PostgreSQL's manifest of the backup: their names, sizes and checksums.
//!
//! A cluster can have many millions of files, and the manifest may list them in another order than the tars. So neither
//! side is kept: a hash of each entry is added up on both, and the sums must be equal at the end.

mod checksum;
mod entries;
mod line;
mod text;

use std::{fmt, ops::AddAssign, path::Path};

use swiftwal_compression::decoder;
use tokio::io::BufReader;
use tokio_util::io::StreamReader;

use self::entries::Entries;
pub(crate) use self::{
    checksum::{Algorithm, Checksum},
    text::{Correction, Corrections, ManifestText},
};
use crate::{
    error::{Error, Result},
    repository::{
        Repository,
        fetch::Hashed,
        layout::{BackupPart, ObjectName, SIDE_FORMAT},
        object_pieces,
        record::RecordedObject,
    },
};

/// PostgreSQL's manifest of a backup, added up.
#[derive(Debug)]
pub(crate) struct Manifest {
    object: String,
    pub(crate) algorithm: Algorithm,
    files: FileSum,
    /// Its text, if that is kept.
    pub(crate) text: Option<ManifestText>,
}

/// The sum over files, each with its name, size and checksum. Their order doesn't matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileSum {
    files: u64,
    sum: [u64; 4],
}

impl FileSum {
    /// Adds a file. `name` is its path below the data directory; `checksum` is empty for the algorithm NONE.
    pub(crate) fn add(&mut self, name: &[u8], bytes: u64, checksum: &[u8]) {
        let mut hasher = blake3::Hasher::new();
        for part in [name, &bytes.to_le_bytes(), checksum] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        let hash = hasher.finalize();
        let (hash, _) = hash.as_bytes().as_chunks::<8>();
        // Wrapping addition keeps what differs, whatever the order.
        let mut words = hash.iter().map(|word| u64::from_le_bytes(*word));
        *self += Self { files: 1, sum: std::array::from_fn(|_| words.next().unwrap_or_default()) };
    }
}

impl AddAssign for FileSum {
    fn add_assign(&mut self, other: Self) {
        self.files += other.files;
        for (word, more) in self.sum.iter_mut().zip(other.sum) {
            *word = word.wrapping_add(more);
        }
    }
}

impl Manifest {
    /// Reads the manifest among `objects`, which is verified by the commit record; none if the backup has none. If
    /// `directory` is given, the text is kept there. Only the files that `counts` are added up, by their names in the
    /// manifest.
    pub(crate) async fn read(
        repository: &Repository,
        objects: &[RecordedObject],
        directory: Option<&Path>,
        counts: &(dyn Fn(&[u8]) -> bool + Send + Sync),
    ) -> Result<Option<Self>> {
        let recorded = objects.iter().find(|object| object.part() == Some(BackupPart::Manifest));
        let Some(recorded) = recorded else { return Ok(None) };
        let name = ObjectName::parse(&recorded.name);
        let Some(object) = repository.open(&name).await? else { return Err(repository.missing(name)) };
        let mut hashed = Hashed::default();
        let stored = hashed.pass(object_pieces(object));
        let text = BufReader::new(decoder(SIDE_FORMAT, StreamReader::new(stored)));
        let kept =
            directory.map(|directory| ManifestText::new(directory).map_err(Error::local("write", directory)));
        let mut entries = Entries::new(text, kept.transpose()?);
        let (mut files, mut algorithm) = (FileSum::default(), None);
        loop {
            let next = entries.next().await;
            if let (Some(error), Some(directory)) = (entries.unwritable.take(), directory) {
                return Err(Error::local("write", directory)(error));
            }
            let Some(entry) = next.map_err(|error| repository.unreadable(&name, error))? else { break };
            if *algorithm.get_or_insert(entry.algorithm) != entry.algorithm {
                return Err(Error::damaged(name, "it has checksums of several kinds"));
            }
            if counts(&entry.name) {
                files.add(&entry.name, entry.bytes, &entry.checksum);
            }
        }
        let text = entries.finish();
        hashed.check(recorded)?;
        let algorithm = algorithm.ok_or_else(|| Error::damaged(name, "it lists no files"))?;
        Ok(Some(Self { object: recorded.name.clone(), algorithm, files, text }))
    }

    /// Compares the files that were restored.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] if they aren't those of the manifest.
    pub(crate) fn check(&self, restored: FileSum) -> Result<()> {
        if restored == self.files {
            return Ok(());
        }
        let reason = if restored.files == self.files.files {
            Difference::Content(self.algorithm)
        } else {
            Difference::Number { listed: self.files.files, restored: restored.files }
        };
        Err(Error::damaged(&self.object, reason))
    }
}

/// How the restored files differ from the manifest.
enum Difference {
    Content(Algorithm),
    Number { listed: u64, restored: u64 },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Content(algorithm) => {
                write!(
                    f,
                    "a file's name, size or {algorithm} checksum isn't the one that was computed when the backup was taken"
                )?;
            }
            Self::Number { listed, restored } => {
                write!(f, "the manifest lists {listed} files, and the backup has {restored}")?;
            }
        }
        write!(
            f,
            "; don't rely on this backup: take a new one, and check the memory and the disks of the server"
        )
    }
}

/// The files of a tar that were restored, as the manifest lists them.
#[derive(Clone, Debug, Default)]
pub(crate) struct RestoredFiles {
    /// None if there is no manifest.
    pub(crate) algorithm: Option<Algorithm>,
    tablespace: Option<u32>,
    pub(crate) sum: FileSum,
}

impl RestoredFiles {
    /// Begins with no files. The tar is that of the data directory, or of a tablespace.
    pub(crate) fn new(algorithm: Option<Algorithm>, tablespace: Option<u32>) -> Self {
        Self { algorithm, tablespace, sum: FileSum::default() }
    }

    /// Returns the checksum to compute of the file `name`; none if the file isn't compared.
    pub(crate) fn checksum(&self, name: &[u8]) -> Option<Checksum> {
        let algorithm = self.algorithm?;
        listed_name(self.tablespace, name).map(|_| Checksum::new(algorithm))
    }

    /// Adds a complete file.
    pub(crate) fn add(&mut self, name: &[u8], bytes: u64, checksum: &[u8]) {
        if let Some(name) = listed_name(self.tablespace, name) {
            self.sum.add(&name, bytes, checksum);
        }
    }
}

/// Returns the correction for a file with this content.
pub(crate) fn correction(content: &[u8], algorithm: Algorithm) -> Correction {
    let mut checksum = Checksum::new(algorithm);
    checksum.update(content);
    Correction { bytes: content.len() as u64, algorithm, checksum: checksum.finish() }
}

/// Returns the name under which the manifest lists a file; none for a file that isn't compared.
pub(crate) fn listed_name(tablespace: Option<u32>, name: &[u8]) -> Option<Vec<u8>> {
    match tablespace {
        Some(oid) => Some([format!("pg_tblspc/{oid}/").as_bytes(), name].concat()),
        // The manifest may list some of the WAL's files, but not the WAL itself, which has checksums of its own.
        None if name == b"backup_manifest" || name.starts_with(b"pg_wal/") => None,
        None => Some(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(files: &[(&str, u64, &[u8])]) -> FileSum {
        let mut sum = FileSum::default();
        for (name, bytes, checksum) in files {
            sum.add(name.as_bytes(), *bytes, checksum);
        }
        sum
    }

    #[test]
    fn files_are_compared_in_any_order_and_every_difference_counts() {
        let files = [("a", 1, &b"x"[..]), ("b", 2, b"y")];
        let manifest =
            Manifest { object: "m".to_owned(), algorithm: Algorithm::Crc32c, files: sum(&files), text: None };
        manifest.check(sum(&[files[1], files[0]])).unwrap();
        for (other, told) in [
            (&[files[0]][..], "lists 2 files, and the backup has 1"),
            (&[files[0], files[1], ("c", 0, b"")], "lists 2 files, and the backup has 3"),
            (&[files[0], files[0]], "CRC32C checksum"),
            (&[files[0], ("b", 2, b"z")], "CRC32C checksum"),
            (&[files[0], ("b", 3, b"y")], "CRC32C checksum"),
            (&[files[0], ("by", 2, b"")], "CRC32C checksum"),
        ] {
            let error = manifest.check(sum(other)).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn files_are_listed_below_the_data_directory_without_the_wal_and_the_manifest() {
        let listed = |tablespace, name: &[u8]| {
            listed_name(tablespace, name).map(|name| String::from_utf8(name).unwrap())
        };
        assert_eq!(listed(None, b"base/1/2").as_deref(), Some("base/1/2"));
        assert_eq!(listed(Some(16400), b"PG_15_1/5/7").as_deref(), Some("pg_tblspc/16400/PG_15_1/5/7"));
        assert_eq!(listed(None, b"backup_manifest"), None);
        assert_eq!(listed(None, b"pg_wal/000000010000000000000003"), None);
    }
}
