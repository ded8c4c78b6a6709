//! The directories that a restore fills: empty at first, and again if it fails; or with files that it may reuse, and
//! incomplete if it fails.

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
    claim::{Claimant, ClaimedDirectory, Content, directories_of, unused},
    created::Kind,
    durability::make_durable,
    member_name::path_of,
    owner::{owner, parent},
    root::{Owner, Root},
    running,
    tablespaces::Tablespaces,
};
use crate::{
    error::{Error, Refusal, Result},
    repository::file_names::{CONTROL, LABEL, STAGED_CONTROL},
};

/// The first major version that accepts a data directory that its group may read.
const FIRST_WITH_GROUP_ACCESS: u32 = 11;

/// The largest file of settings that is changed.
const MOST_SETTINGS_BYTES: u64 = 16 << 20;

/// The data directory and the tablespaces' directories. If it is dropped before [`keep`](Self::keep), it removes what
/// was created in them, and the directories that it created itself; the others get their original mode. Once
/// [`leave`](Self::leave) was called, it leaves everything instead, with the markers.
#[derive(Debug)]
pub(super) struct Destination {
    directories: Vec<Directory>,
    owner: Option<Owner>,
    kept: AtomicBool,
    /// Whether what was restored remains if the restore fails, to be resumed.
    remains: AtomicBool,
    /// The directories of the cluster that the restore doesn't use, for a message.
    unused: Vec<String>,
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
    /// Claims the directories to restore into them: `data`, those of the tablespaces, and `wal` if the WAL isn't in the
    /// data directory. They must be empty or absent, unless the restore may reuse what they contain.
    ///
    /// If it runs as root, all of them belong to the owner of the data directory, or of its parent if it is absent.
    pub(super) fn claim(
        data: &Path,
        tablespaces: &Tablespaces,
        wal: Option<&Path>,
        claimant: &Claimant,
    ) -> Result<Arc<Self>> {
        let claim = |place: &Path, owner, content: Content<'_>| {
            ClaimedDirectory::claim(place, owner, claimant, content).map(Some)
        };
        let mut destination = Self::open(data, tablespaces, wal, false, claim)?;
        if let Some(data) = destination.directories.first_mut() {
            data.claimed.close_to_others()?;
        }
        Ok(Arc::new(destination))
    }

    /// Refuses what [`claim`](Self::claim) would refuse, and changes nothing. Returns those of the directories that exist.
    pub(super) fn look(
        data: &Path,
        tablespaces: &Tablespaces,
        wal: Option<&Path>,
        claimant: &Claimant,
    ) -> Result<Arc<Self>> {
        let look = |place: &Path, _, content: Content<'_>| ClaimedDirectory::look(place, claimant, content);
        Self::open(data, tablespaces, wal, true, look).map(Arc::new)
    }

    /// Opens each directory by `open`, which says which content it may have. If `is_kept`, nothing is removed if the
    /// result is dropped.
    fn open(
        data: &Path,
        tablespaces: &Tablespaces,
        wal: Option<&Path>,
        is_kept: bool,
        open: impl Fn(&Path, Option<Owner>, Content<'_>) -> Result<Option<ClaimedDirectory>>,
    ) -> Result<Self> {
        let spaces =
            tablespaces.iter().map(|space| (space.directory.as_path(), Purpose::Tablespace(space.oid)));
        let wal = wal.map(|wal| (wal, Purpose::Wal));
        let places: Vec<_> = std::iter::once((data, Purpose::Data)).chain(spaces).chain(wal).collect();
        refuse_overlap(&places)?;
        let owner = owner(data).map_err(Error::local("restore into", data))?;
        let mut destination = Self {
            directories: Vec::new(),
            owner,
            kept: AtomicBool::new(is_kept),
            remains: AtomicBool::new(false),
            unused: Vec::new(),
        };
        let mut known = Vec::new();
        for (place, purpose) in &places {
            let content = if *purpose == Purpose::Data { Content::Cluster } else { Content::Of(&known) };
            let Some(claimed) = open(place, owner, content)? else { continue };
            if *purpose == Purpose::Data && claimed.is_reused() {
                known = directories_of(&claimed.root);
            }
            destination.directories.push(Directory { claimed, purpose: *purpose });
        }
        let used: Vec<_> = places.iter().map(|(place, _)| *place).collect();
        destination.unused = unused(&known, &used);
        Ok(destination)
    }

    /// Whether a directory has content that may be reused.
    pub(super) fn is_reused(&self) -> bool {
        self.directories.iter().any(|directory| directory.claimed.is_reused())
    }

    /// Returns the directories that the data directory led to, and that the restore doesn't use.
    pub(super) fn unused(&self) -> &[String] {
        &self.unused
    }

    /// Leaves what is restored if the restore fails.
    pub(super) fn leave(&self) {
        self.remains.store(true, Ordering::Relaxed);
    }

    /// Makes the cluster unable to start, durably, before its files are changed.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if a server was started since the directories were claimed; nothing is changed then.
    pub(super) fn begin_changes(&self) -> Result<()> {
        self.refuse_running()?;
        let mut root = self.root(None)?;
        if root.exists(CONTROL) {
            root.replace(CONTROL, STAGED_CONTROL)?;
            // No server can start any more. One that has read the file before is found here.
            if let Err(error) = self.refuse_running() {
                root.replace(STAGED_CONTROL, CONTROL)?;
                return Err(error);
            }
            self.leave();
            root.remove_existing(STAGED_CONTROL, Kind::File)?;
            root.sync_names(STAGED_CONTROL)?;
        }
        self.leave();
        Ok(())
    }

    /// Refuses the directories that were reused if a running server uses them.
    fn refuse_running(&self) -> Result<()> {
        for Directory { claimed, purpose } in
            self.directories.iter().filter(|found| found.claimed.is_reused())
        {
            match purpose {
                Purpose::Data => running::refuse_running(&mut claimed.root.clone())?,
                Purpose::Tablespace(_) | Purpose::Wal => running::refuse_used(&claimed.root)?,
            }
        }
        Ok(())
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

    /// Replaces the content of a restored file of the data directory.
    pub(super) fn rewrite(&self, name: &[u8], content: &[u8]) -> Result<()> {
        let mut root = self.root(None)?;
        let mut file = root.rewrite_file(name)?;
        file.write_all(content).map_err(Error::local("write", root.path().join(path_of(name))))
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
        self.rewrite(name.as_bytes(), &kept)
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
                make_durable(root.opened())?;
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
        self.refuse_running()?;
        let mut root = self.root(None)?;
        let mut file = root.create_file(STAGED_CONTROL, 0o600)?;
        let written = file.write_all(content).and_then(|()| file.sync_all());
        written.map_err(Error::local("write", root.path().join(path_of(STAGED_CONTROL))))?;
        if root.read(LABEL, label.len() as u64).as_deref() != Some(label) {
            return Err(Error::Refused(Refusal::destination(
                format!(
                    "backup_label in {} was changed or removed during the restore, and without it PostgreSQL would lose data",
                    root.path().display()
                ),
                "find out which process writes there, and restore into another directory",
            )));
        }
        // The data directory comes last: it leads to the others, as long as an interrupted restore can be resumed.
        for directory in self.directories.iter().rev() {
            directory.claimed.unmark()?;
        }
        root.rename(STAGED_CONTROL, CONTROL)
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
        if self.remains.load(Ordering::Relaxed) {
            if let Some(data) = self.directories.first() {
                tracing::warn!(
                    "{} is incomplete and can't be started; to complete it, repeat the command",
                    data.claimed.root.path().display()
                );
            }
            return;
        }
        for Directory { claimed, .. } in &self.directories {
            if claimed.is_reused() {
                claimed.give_up();
                continue;
            }
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

#[cfg(test)]
mod tests;
