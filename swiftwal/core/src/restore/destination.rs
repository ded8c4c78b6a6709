//! The directories that a restore fills: empty at first, and again if it fails.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use swiftwal_postgres::printable;

use super::{
    claim::ClaimedDirectory,
    member_name::path_of,
    owner::{owner, parent},
    root::{Owner, Root},
    tablespaces::Tablespaces,
};
use crate::{
    error::{Error, Refusal, Result},
    repository::key::BackupKey,
};

/// The file without which PostgreSQL doesn't start.
pub(super) const CONTROL: &[u8] = b"global/pg_control";
/// The file without which PostgreSQL would take a base backup for a crashed cluster, and silently lose data.
pub(super) const LABEL: &[u8] = b"backup_label";

/// The first major version that accepts a data directory that its group may read.
const FIRST_WITH_GROUP_ACCESS: u32 = 11;

/// The largest file of settings that is changed.
const MOST_SETTINGS_BYTES: u64 = 16 << 20;

/// The data directory and the tablespaces' directories. If it is dropped before [`keep`](Self::keep), it removes what
/// was created in them, and the directories that it created itself; the others get their original mode.
#[derive(Debug)]
pub(super) struct Destination {
    directories: Vec<Directory>,
    owner: Option<Owner>,
    kept: AtomicBool,
}

#[derive(Debug)]
struct Directory {
    claimed: ClaimedDirectory,
    purpose: Purpose,
}

/// What a directory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Data,
    Tablespace(u32),
    /// `pg_wal` is a link to it.
    Wal,
}

impl Destination {
    /// Claims the directories, which must be empty or absent, to restore backup `key` into them: `data`, those of the
    /// tablespaces, and `wal` if the WAL isn't in the data directory.
    ///
    /// If it runs as root, all of them belong to the owner of the data directory, or of its parent if it is absent.
    pub(super) fn claim(
        data: &Path,
        tablespaces: &Tablespaces,
        wal: Option<&Path>,
        key: BackupKey,
    ) -> Result<Arc<Self>> {
        let spaces =
            tablespaces.iter().map(|space| (space.directory.as_path(), Purpose::Tablespace(space.oid)));
        let wal = wal.map(|wal| (wal, Purpose::Wal));
        let places: Vec<_> = std::iter::once((data, Purpose::Data)).chain(spaces).chain(wal).collect();
        refuse_overlap(&places)?;
        let owner = owner(data).map_err(Error::local("restore into", data))?;
        let mut destination = Self { directories: Vec::new(), owner, kept: AtomicBool::new(false) };
        for (place, purpose) in places {
            let claimed = ClaimedDirectory::claim(place, owner, key)?;
            destination.directories.push(Directory { claimed, purpose });
        }
        if let Some(data) = destination.directories.first_mut() {
            data.claimed.close_to_others()?;
        }
        Ok(Arc::new(destination))
    }

    /// Whether everything will belong to root, although PostgreSQL doesn't run as root.
    pub(super) fn belongs_to_root(&self) -> bool {
        self.owner.is_some_and(|(user, _)| user == 0)
    }

    /// Returns the directory of a tablespace, or the data directory.
    pub(super) fn root(&self, tablespace: Option<u32>) -> Result<Root> {
        let root = self.root_for(tablespace.map_or(Purpose::Data, Purpose::Tablespace));
        root.ok_or_else(|| Error::damaged("the commit record", "it has a tablespace without a location"))
    }

    /// Returns the directory for the WAL, if it isn't in the data directory.
    pub(super) fn wal_root(&self) -> Option<Root> {
        self.root_for(Purpose::Wal)
    }

    fn root_for(&self, purpose: Purpose) -> Option<Root> {
        let directory = self.directories.iter().find(|directory| directory.purpose == purpose);
        directory.map(|directory| directory.claimed.root.clone())
    }

    /// Writes a new file of the data directory.
    pub(super) fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        let mut root = self.root(None)?;
        let mut file = root.create_file(name.as_bytes(), 0o600)?;
        file.write_all(content).map_err(Error::local("write", root.path().join(name)))
    }

    /// Adds to a file of the data directory, which may be absent.
    pub(super) fn append(&self, name: &str, content: &[u8]) -> Result<()> {
        let mut root = self.root(None)?;
        let mut file = root.append_file(name.as_bytes())?;
        file.write_all(content).map_err(Error::local("write", root.path().join(name)))
    }

    /// Removes lines from a restored file of the data directory, if it exists.
    pub(super) fn drop_lines(&self, name: &str, is_dropped: fn(&[u8]) -> bool) -> Result<()> {
        let mut root = self.root(None)?;
        let Some(content) = root.read(name.as_bytes(), MOST_SETTINGS_BYTES) else { return Ok(()) };
        let kept: Vec<u8> = content
            .split_inclusive(|byte| *byte == b'\n')
            .filter(|line| !is_dropped(line))
            .flatten()
            .copied()
            .collect();
        if kept.len() == content.len() {
            return Ok(());
        }
        let mut file = root.rewrite_file(name.as_bytes())?;
        file.write_all(&kept).map_err(Error::local("write", root.path().join(name)))
    }

    /// Closes the data directory to its group if PostgreSQL of this major version refuses one that isn't.
    pub(super) fn restrict(&self, major: u32) -> Result<()> {
        let data = self.directories.first().filter(|_| major < FIRST_WITH_GROUP_ACCESS);
        data.map_or(Ok(()), |data| data.claimed.close_to_group())
    }

    /// Makes everything that was written durable, with one call for each file system instead of each file.
    pub(super) fn sync(&self) -> Result<()> {
        for Directory { claimed, .. } in &self.directories {
            let root = &claimed.root;
            let sync = || {
                rustix::fs::syncfs(root.opened())?;
                // The name of a directory that existed before is durable, and its parent may not be readable.
                if claimed.was_absent() { File::open(parent(root.path())?)?.sync_all() } else { Ok(()) }
            };
            sync().map_err(Error::local("make durable", root.path()))?;
        }
        Ok(())
    }

    /// Writes `global/pg_control`, complete and durable, when everything else exists and the markers are removed.
    /// `label` is the required content of `backup_label`.
    pub(super) fn publish_control(&self, content: &[u8], label: &[u8]) -> Result<()> {
        const STAGED: &[u8] = b"global/pg_control.swiftwal";
        let mut root = self.root(None)?;
        let mut file = root.create_file(STAGED, 0o600)?;
        let written = file.write_all(content).and_then(|()| file.sync_all());
        written.map_err(Error::local("write", root.path().join(path_of(STAGED))))?;
        if root.read(LABEL, label.len() as u64).as_deref() != Some(label) {
            return Err(Error::Refused(Refusal::destination(
                format!(
                    "backup_label in {} was changed or removed during the restore, and without it PostgreSQL would lose data",
                    root.path().display()
                ),
                "find out which process writes there, and restore into another directory",
            )));
        }
        for directory in &self.directories {
            directory.claimed.unmark()?;
        }
        root.rename(STAGED, CONTROL)
    }

    /// Returns the files that other processes have created in the directories meanwhile.
    pub(super) fn foreign_files(&self) -> Vec<String> {
        let roots = self.directories.iter().map(|directory| &directory.claimed.root);
        let foreign = roots.flat_map(|root| root.foreign_names().unwrap_or_default());
        foreign.map(|name| printable(&name).to_string()).collect()
    }

    /// Marks the restore as complete: nothing is removed any more.
    pub(super) fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        if self.kept.load(Ordering::Relaxed) {
            return;
        }
        for Directory { claimed, .. } in &self.directories {
            if let Err(reason) = claimed.give_back(CONTROL) {
                let path = claimed.root.path().display();
                tracing::warn!(
                    "{path} isn't empty after the failed restore: {reason}; remove that before you try again"
                );
            }
        }
    }
}

/// Refuses directories that are equal or contain one another, even through links.
fn refuse_overlap(places: &[(&Path, Purpose)]) -> Result<()> {
    let mut real = Vec::new();
    for (place, _) in places {
        real.push((real_path(place).map_err(Error::local("restore into", *place))?, *place));
    }
    for (number, (place, shown)) in real.iter().enumerate() {
        let others = real.iter().enumerate().filter(|(other, _)| *other != number);
        if let Some((_, (_, other))) = others.into_iter().find(|(_, (other, _))| place.starts_with(other)) {
            return Err(Error::Refused(Refusal::destination(
                format!("{} is inside {}, and both would be restored into", shown.display(), other.display()),
                "use --tablespace-mapping or --waldir to keep them apart",
            )));
        }
    }
    Ok(())
}

/// Returns `path` without links, as far as it exists.
fn real_path(path: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    let existing = absolute.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    Ok(match existing {
        Some((above, real)) => match absolute.strip_prefix(above) {
            Ok(rest) if rest.as_os_str().is_empty() => real,
            Ok(rest) => real.join(rest),
            Err(_) => absolute,
        },
        None => absolute,
    })
}
