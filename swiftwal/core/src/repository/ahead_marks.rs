//! Marks of the WAL files that were archived ahead, before PostgreSQL asked for them.
//!
//! A mark lets archive-wal acknowledge a file without comparing it with the stored one, so it must prove that exactly
//! this content is stored. PostgreSQL recycles segments: a file keeps its inode and its size, and gets another name and
//! other content. So a mark counts only for the same name and the same file in the same state, with the same first
//! page, which has the cluster's system identifier and the segment's position; for a file that was written a moment
//! before, also with the same content as a whole. It belongs to one repository, whose state directory it is in, and is
//! removed when it is used. Anything else, such as a damaged mark, is no mark: archive-wal then compares.

use std::{
    fs::{self, File},
    io::{self, Read, Seek},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use swiftwal_compression::Format;

use crate::{
    error::{Error, Result},
    local::{content::Fingerprint, regular_file::open_regular_file, state_dir::StateDir},
    repository::{Repository, wal_file::WalFile},
};

/// How long a mark counts. If the repository is emptied, that is noticed after this time at the latest.
const VALID: SignedDuration = SignedDuration::from_mins(10);
/// How much older than the newest file a mark must be to be removed.
const STALE: Duration = Duration::from_secs(20 * 60);
/// The directory of the marks, in the state directory.
const DIRECTORY: &str = "ahead";
/// A file that is written before the first mark, so that a directory that can't be written to, or a full disk, is noticed in
/// time.
const BEGUN: &str = "begun";
/// More than a mark has.
const MOST_MARK_BYTES: usize = 4096;
const PAGE_BYTES: u64 = 8192;

/// The marks of one repository.
#[derive(Clone, Debug)]
pub(crate) struct AheadMarks {
    directory: StateDir,
}

/// A file as it was before it was archived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    file: Fingerprint,
    /// The BLAKE3 hash of the first page.
    first_page: String,
    /// That of everything, if the fingerprint alone can't tell whether the file was changed afterwards.
    content: Option<String>,
}

/// The object that has a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredAs {
    pub(crate) format: Format,
    pub(crate) bytes: u64,
}

/// The content of a mark.
#[derive(Serialize, Deserialize)]
struct Mark {
    /// By the clock of this machine.
    at: Timestamp,
    seen: Seen,
    stored: StoredAs,
}

impl Repository {
    /// Returns the marks of this repository; none if this machine has no state directory for it.
    pub(crate) fn ahead_marks(&self) -> Option<AheadMarks> {
        Some(AheadMarks { directory: self.storage().state_dir()?.directory(DIRECTORY) })
    }

    /// Whether exactly the file at `path` was archived ahead, according to its mark, which is removed. No request is
    /// sent where requests are slow; elsewhere one shows that the object is still there.
    ///
    /// A repository that is started anew has no marks.
    pub(crate) async fn take_mark(&self, path: &Path) -> Result<bool> {
        let Some(marks) = self.ahead_marks() else { return Ok(false) };
        // A thread for this would take longer than the work.
        let stored = marks.take(path, self.clock().now());
        let Some((file, stored)) = stored.filter(|_| !self.anew) else { return Ok(false) };
        if self.storage().identity_cache().is_some() {
            return Ok(true);
        }
        // If that fails, the ordinary way fails as well, and says why.
        Ok(self.size(&file.object(stored.format)).await.is_ok_and(|bytes| bytes == Some(stored.bytes)))
    }
}

impl AheadMarks {
    /// Prepares for marks to be written, and removes those that were left over.
    ///
    /// # Errors
    ///
    /// [`Error::Local`] if no marks can be written.
    pub(crate) fn begin(&self) -> Result<()> {
        self.write(BEGUN, &[b' '; MOST_MARK_BYTES])?;
        self.sweep();
        Ok(())
    }

    /// Whether a warning has said that the state directory can't be used.
    pub(crate) fn are_unusable(&self) -> bool {
        self.directory.has_warned()
    }

    /// Looks at a file that is going to be archived.
    pub(crate) fn look(path: &Path, now: Timestamp) -> io::Result<Seen> {
        let mut file = open_regular_file(path)?;
        let fingerprint = Fingerprint::of(&file.metadata()?);
        let first_page = hash(&mut (&file).take(PAGE_BYTES))?;
        let content = if fingerprint.is_young(now) { Some(content(&mut file)?) } else { None };
        Ok(Seen { file: fingerprint, first_page, content })
    }

    /// Marks a file that has been archived, unless it has changed since it was `seen`.
    ///
    /// # Errors
    ///
    /// [`Error::Local`].
    pub(crate) fn set(&self, path: &Path, seen: Seen, stored: StoredAs, now: Timestamp) -> Result<()> {
        let is_same = fs::metadata(path).is_ok_and(|file| Fingerprint::of(&file) == seen.file);
        match (name(path), serde_json::to_vec(&Mark { at: now, seen, stored })) {
            (Some(name), Ok(text)) if is_same => self.write(name, &text),
            _ => Ok(()),
        }
    }

    /// Whether there is a mark for the file, valid or not.
    pub(crate) fn has(&self, path: &Path) -> bool {
        name(path).is_some_and(|name| self.path(name).exists())
    }

    /// Removes all marks.
    pub(crate) fn clear(&self) {
        // Where they can't be removed, none could be written.
        drop(fs::remove_dir_all(self.directory.path()));
    }

    /// Removes the mark of the file at `path`, and returns what it proves.
    fn take(&self, path: &Path, now: Timestamp) -> Option<(WalFile, StoredAs)> {
        let name = name(path)?;
        let text = self.directory.load(name).ok()?;
        fs::remove_file(self.path(name)).ok()?;
        let mark: Mark = serde_json::from_slice(&text).ok()?;
        // It also refuses a recycled file that hasn't been written to under its new name.
        let opened = WalFile::open(path).ok()?;
        let is_recent = (SignedDuration::ZERO..VALID).contains(&now.duration_since(mark.at));
        (is_recent && mark.seen.is_that_of(path).ok()?).then_some((opened, mark.stored))
    }

    /// Removes what is much older than the file that was just written, whatever any clock says.
    fn sweep(&self) {
        let Ok(newest) = modified(&self.path(BEGUN)) else { return };
        for entry in fs::read_dir(self.directory.path()).into_iter().flatten().flatten() {
            let is_stale = modified(&entry.path())
                .is_ok_and(|modified| newest.duration_since(modified).is_ok_and(|age| age > STALE));
            if is_stale {
                // A mark that stays has expired nevertheless.
                drop(fs::remove_file(entry.path()));
            }
        }
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        self.directory.write_unsynced(name, content).map_err(Error::local("write", self.path(name)))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Seen {
    /// Whether this is the file at `path` as it is now.
    fn is_that_of(&self, path: &Path) -> io::Result<bool> {
        let mut file = open_regular_file(path)?;
        let is_same = Fingerprint::of(&file.metadata()?) == self.file
            && hash(&mut (&file).take(PAGE_BYTES))? == self.first_page;
        match &self.content {
            Some(known) if is_same => Ok(content(&mut file)? == *known),
            _ => Ok(is_same),
        }
    }
}

fn modified(path: &Path) -> io::Result<SystemTime> {
    fs::symlink_metadata(path)?.modified()
}

fn name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

fn hash(reader: &mut impl Read) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(reader)?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// Returns the hash of the complete content.
fn content(file: &mut File) -> io::Result<String> {
    file.rewind()?;
    hash(file)
}

#[cfg(test)]
mod tests {
    use std::fs::FileTimes;

    use super::*;

    fn marks(directory: &tempfile::TempDir) -> AheadMarks {
        AheadMarks { directory: StateDir::new(directory.path().join("state/ahead")) }
    }

    #[test]
    fn what_is_much_older_than_what_is_written_now_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let marks = marks(&directory);
        marks.begin().unwrap();
        for (name, minutes) in [("young", 19), ("old", 21), (".old.tmp", 1000)] {
            let file = File::create(marks.path(name)).unwrap();
            let modified = file.metadata().unwrap().modified().unwrap() - Duration::from_secs(minutes * 60);
            file.set_times(FileTimes::new().set_modified(modified)).unwrap();
        }
        // The clock of this machine was set back: nothing is older than what is written now.
        fs::write(marks.path("later"), "").unwrap();
        marks.begin().unwrap();
        let names = fs::read_dir(marks.directory.path()).unwrap();
        let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["begun", "later", "young"]);
    }

    #[test]
    fn a_file_that_changed_while_it_was_stored_gets_no_mark() {
        let directory = tempfile::tempdir().unwrap();
        let (marks, now) = (marks(&directory), Timestamp::UNIX_EPOCH);
        let path = directory.path().join("000000010000000000000003");
        fs::write(&path, "one").unwrap();
        let stored = StoredAs { format: Format::Zstd, bytes: 3 };
        let seen = AheadMarks::look(&path, now).unwrap();
        marks.set(&path, seen.clone(), stored, now).unwrap();
        assert!(marks.has(&path));
        marks.clear();
        fs::write(&path, "more").unwrap();
        marks.set(&path, seen, stored, now).unwrap();
        assert!(!marks.has(&path));
    }
}
