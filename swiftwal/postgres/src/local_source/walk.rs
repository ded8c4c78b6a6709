//! Lists the files of a cluster that belong into an archive, in the order of their names.
//!
//! What vanishes in the meantime is left out: recovery removes or creates it again.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, Metadata},
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use super::{
    exclusion::{is_emptied, is_excluded, is_excluded_relation},
    failure::{OTHER_METHOD, shown, unreadable},
};
use crate::{
    SourceError, SourceErrorKind,
    relation_file::{RelationFile, is_digits},
};

/// How often, and at which intervals, is looked for the link of a tablespace whose directory is gone.
const DROP_LOOKS: u32 = 20;
const DROP_PAUSE: Duration = Duration::from_millis(100);

/// The directories of `pg_wal` that the server expects; the second one from version 17 on.
const WAL_DIRECTORIES: [&str; 2] = ["archive_status", "summaries"];

/// The tree that an archive is made of.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    /// The data directory, or that of a tablespace.
    pub(super) directory: PathBuf,
    /// The name of the tree in the cluster: empty, or `pg_tblspc/16400`.
    pub(super) prefix: PathBuf,
    /// The part that is archived: everything if it is empty, or `PG_15_202209061`.
    pub(super) part: PathBuf,
    /// The link in the data directory that leads to a tablespace.
    pub(super) link: Option<PathBuf>,
    /// Directories that are in the archive without their content: the tablespaces inside the data directory.
    pub(super) emptied: Vec<PathBuf>,
}

impl Tree {
    /// Returns the tree of a data directory as a whole.
    pub(super) fn whole(directory: &Path, emptied: Vec<PathBuf>) -> Self {
        let (prefix, part) = (PathBuf::new(), PathBuf::new());
        Self { directory: directory.to_owned(), prefix, part, link: None, emptied }
    }
}

/// A directory or file of the archive.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its name in the tree.
    pub(super) name: PathBuf,
    pub(super) metadata: Metadata,
    pub(super) kind: EntryKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryKind {
    Directory,
    /// For the file of a relation, the number of its segment.
    File {
        segment: Option<u32>,
    },
    /// Neither, which the archive can't contain.
    Other,
}

/// Passes every entry to `visit`, directories before what is in them.
pub(super) fn walk(
    tree: &Tree,
    visit: &mut dyn FnMut(Entry) -> Result<(), SourceError>,
) -> Result<(), SourceError> {
    let is_all = tree.part.as_os_str().is_empty();
    let path = tree.directory.join(&tree.part);
    let metadata = existing(fs::metadata(&path)).map_err(|error| unreadable(&path, error))?;
    let Some(metadata) = metadata else { return ensure_dropped(tree, &path) };
    let walk = &mut Walk { tree, root: metadata.clone(), visit };
    if !is_all {
        walk.found(&tree.part, metadata, EntryKind::Directory)?;
    }
    walk.directory(&tree.part)
}

/// Checks that a tablespace without its directory was dropped. Otherwise its files are hidden from this process, by a
/// missing mount for example, and the backup would lack them.
fn ensure_dropped(tree: &Tree, path: &Path) -> Result<(), SourceError> {
    let Some(link) = &tree.link else { return Ok(()) };
    for _ in 0..DROP_LOOKS {
        if existing(fs::read_link(link)).map_err(|error| unreadable(link, error))?.is_none() {
            return Ok(());
        }
        // The server removes the directory before the link.
        thread::sleep(DROP_PAUSE);
    }
    let message = format!("can't find {}, the directory of a tablespace of the server", shown(path));
    let hint = format!("make it visible to this program, as it is to the server, {OTHER_METHOD}");
    Err(SourceError::new(SourceErrorKind::Failed, message).with_hint(hint))
}

struct Walk<'a> {
    tree: &'a Tree,
    root: Metadata,
    visit: &'a mut dyn FnMut(Entry) -> Result<(), SourceError>,
}

impl Walk<'_> {
    fn directory(&mut self, name: &Path) -> Result<(), SourceError> {
        let path = self.tree.directory.join(name);
        let place = Place::of(&self.tree.prefix.join(name));
        let names = names(&path).map_err(|error| unreadable(&path, error))?;
        let has_initial_fork = |number: &str| {
            let fork = format!("{number}_init");
            names.binary_search_by(|name| name.as_bytes().cmp(fork.as_bytes())).is_ok()
        };
        for file in &names {
            let text = file.to_str().unwrap_or_default();
            let is_left_out = is_excluded(text)
                || place == Place::Database && is_excluded_relation(text, has_initial_fork)
                || place == Place::Global && text == "pg_control";
            if !is_left_out {
                self.entry(&name.join(file), file, place)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, name: &Path, file: &OsStr, place: Place) -> Result<(), SourceError> {
        let path = self.tree.directory.join(name);
        let metadata = existing(fs::symlink_metadata(&path)).map_err(|error| unreadable(&path, error))?;
        let Some(metadata) = metadata else { return Ok(()) };
        let text = file.to_str().unwrap_or_default();
        let kind = metadata.file_type();
        if place == Place::Root && text == "pg_wal" {
            self.emptied(name, metadata)?;
            return self.wal_directories(name);
        }
        if is_emptied(text) && (kind.is_dir() || kind.is_symlink()) {
            return self.emptied(name, metadata);
        }
        // The other tablespaces are archives of their own.
        if place == Place::Tablespaces && kind.is_symlink() {
            return Ok(());
        }
        if kind.is_dir() {
            self.found(name, metadata, EntryKind::Directory)?;
            return if self.tree.emptied.contains(&path) { Ok(()) } else { self.directory(name) };
        }
        let segment = RelationFile::parse(text).filter(|_| place.has_relations()).map(|file| file.segment);
        let kind = if kind.is_file() { EntryKind::File { segment } } else { EntryKind::Other };
        self.found(name, metadata, kind)
    }

    /// A link to a directory becomes a directory.
    fn emptied(&mut self, name: &Path, metadata: Metadata) -> Result<(), SourceError> {
        let metadata = if metadata.is_dir() { metadata } else { self.root.clone() };
        self.found(name, metadata, EntryKind::Directory)
    }

    fn wal_directories(&mut self, wal: &Path) -> Result<(), SourceError> {
        for name in WAL_DIRECTORIES {
            let name = wal.join(name);
            let path = self.tree.directory.join(&name);
            if let Ok(metadata) = fs::metadata(&path)
                && metadata.is_dir()
            {
                self.found(&name, metadata, EntryKind::Directory)?;
            }
        }
        Ok(())
    }

    fn found(&mut self, name: &Path, metadata: Metadata, kind: EntryKind) -> Result<(), SourceError> {
        (self.visit)(Entry { name: name.to_owned(), metadata, kind })
    }
}

/// The directories that are treated in a particular way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The data directory itself.
    Root,
    /// The shared relations.
    Global,
    /// The relations of one database.
    Database,
    /// The links to the tablespaces.
    Tablespaces,
    Elsewhere,
}

impl Place {
    /// Returns what the directory of this name in the cluster is.
    fn of(name: &Path) -> Self {
        let parts: Vec<_> = name.iter().map(|part| part.to_str().unwrap_or_default()).collect();
        match parts.as_slice() {
            [] => Self::Root,
            ["global"] => Self::Global,
            ["pg_tblspc"] => Self::Tablespaces,
            ["base", database] if is_digits(database) => Self::Database,
            ["pg_tblspc", number, _version, database] if is_digits(number) && is_digits(database) => {
                Self::Database
            }
            _ => Self::Elsewhere,
        }
    }

    fn has_relations(self) -> bool {
        matches!(self, Self::Global | Self::Database)
    }
}

/// Returns the sorted names in a directory; none if it doesn't exist.
fn names(path: &Path) -> io::Result<Vec<OsString>> {
    let Some(listing) = existing(fs::read_dir(path))? else { return Ok(Vec::new()) };
    let mut names = listing.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
    names.sort_unstable();
    Ok(names)
}

/// Returns `None` for what doesn't exist.
pub(super) fn existing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Makes files, and directories whose names end with a slash.
    fn make(directory: &Path, names: &[&str]) {
        for name in names {
            let path = directory.join(name);
            match name.strip_suffix('/') {
                Some(_) => fs::create_dir_all(&path).unwrap(),
                None => {
                    fs::create_dir_all(path.parent().unwrap()).unwrap();
                    fs::write(&path, name).unwrap();
                }
            }
        }
    }

    fn found(tree: &Tree) -> Vec<String> {
        let mut found = Vec::new();
        walk(tree, &mut |entry| {
            let name = entry.name.to_str().unwrap().to_owned();
            found.push(match entry.kind {
                EntryKind::Directory => format!("{name}/"),
                EntryKind::File { segment: None } => name,
                EntryKind::File { segment: Some(segment) } => format!("{name} #{segment}"),
                EntryKind::Other => format!("{name}?"),
            });
            Ok(())
        })
        .unwrap();
        found
    }

    fn tree(directory: &Path) -> Tree {
        Tree::whole(directory, vec![directory.join("inner")])
    }

    #[test]
    fn the_archive_of_the_data_directory_has_what_postgresqls_has() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path();
        make(
            data,
            &[
                "PG_VERSION",
                "base/1/112",
                "base/1/112_fsm",
                "base/1/113.2",
                "base/1/t3_16384",
                "base/1/7",
                "base/1/7.1",
                "base/1/7_init",
                "base/1/pg_internal.init",
                "base/pgsql_tmp/pgsql_tmp1.0",
                "global/pg_control",
                "global/1260",
                "inner/PG_15_1/1",
                "other/113",
                "pg_notify/0000",
                "pg_tblspc/16400/PG_15_1/5/16401.1",
                "pg_wal/000000010000000000000001",
                "pg_wal/archive_status/000000010000000000000001.ready",
                "postmaster.pid",
                "backup_label",
            ],
        );
        make(data, &["stat/"]);
        symlink(data.join("stat"), data.join("pg_stat_tmp")).unwrap();
        symlink("/nonexistent", data.join("pg_tblspc/16500")).unwrap();
        symlink("PG_VERSION", data.join("link")).unwrap();
        let expected = [
            "PG_VERSION",
            "base/",
            "base/1/",
            "base/1/112 #0",
            "base/1/112_fsm #0",
            "base/1/113.2 #2",
            "base/1/7_init #0",
            "global/",
            "global/1260 #0",
            "inner/",
            "link?",
            "other/",
            "other/113",
            "pg_notify/",
            "pg_stat_tmp/",
            "pg_tblspc/",
            "pg_tblspc/16400/",
            "pg_tblspc/16400/PG_15_1/",
            "pg_tblspc/16400/PG_15_1/5/",
            "pg_tblspc/16400/PG_15_1/5/16401.1 #1",
            "pg_wal/",
            "pg_wal/archive_status/",
            "stat/",
        ];
        assert_eq!(found(&tree(data)), expected);
    }

    #[test]
    fn the_archive_of_a_tablespace_has_the_directory_of_this_version_only() {
        let directory = tempfile::tempdir().unwrap();
        make(
            directory.path(),
            &["PG_15_1/5/16401", "PG_15_1/5/16402_init", "PG_15_1/5/16402", "PG_14_1/5/1"],
        );
        let tree =
            Tree { prefix: "pg_tblspc/16400".into(), part: "PG_15_1".into(), ..tree(directory.path()) };
        let expected = ["PG_15_1/", "PG_15_1/5/", "PG_15_1/5/16401 #0", "PG_15_1/5/16402_init #0"];
        assert_eq!(found(&tree), expected);
        assert_eq!(found(&Tree { part: "PG_16_1".into(), ..tree }), [""; 0]);
    }

    #[test]
    fn a_tablespace_that_is_not_visible_is_an_error_unless_it_was_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("16400");
        symlink(directory.path().join("elsewhere"), &link).unwrap();
        let part = "PG_15_1".into();
        let hidden = Tree { part, link: Some(link.clone()), ..tree(&directory.path().join("elsewhere")) };
        let error = walk(&hidden, &mut |_| Ok(())).unwrap_err().to_string();
        assert!(error.contains("can't find") && error.contains("elsewhere/PG_15_1"), "{error}");
        fs::remove_file(link).unwrap();
        assert_eq!(found(&hidden), [""; 0]);
    }

    #[test]
    fn what_vanishes_during_the_walk_is_left_out() {
        let directory = tempfile::tempdir().unwrap();
        make(directory.path(), &["base/1/112", "base/2/112", "base/3/"]);
        let mut found = 0;
        walk(&tree(directory.path()), &mut |entry| {
            if entry.name == Path::new("base/1") {
                fs::remove_dir_all(directory.path().join("base")).unwrap();
            }
            found += 1;
            Ok(())
        })
        .unwrap();
        // The directories base and base/1, which still existed.
        assert_eq!(found, 2);
    }
}
