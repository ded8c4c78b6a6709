//! The content of a directory, for comparisons.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
    os::unix::fs::PermissionsExt,
    path::Path,
};

/// The content of a directory: the entry at each path below it, with `/` between the components.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree(BTreeMap<String, Entry>);

/// An entry of a directory, with its mode as in `chmod`.
#[derive(Clone, PartialEq, Eq)]
pub enum Entry {
    /// A directory.
    Directory {
        /// Its mode.
        mode: u32,
    },
    /// A file.
    File {
        /// Its mode.
        mode: u32,
        /// Its content.
        bytes: Vec<u8>,
    },
    /// A symbolic link.
    Link {
        /// The path that it points to.
        target: String,
    },
}

impl Tree {
    /// Reads everything below `directory`.
    ///
    /// # Errors
    ///
    /// Errors of the system; a path that isn't UTF-8.
    pub fn read(directory: &Path) -> io::Result<Self> {
        let mut tree = Self::default();
        tree.read_below(directory, "")?;
        Ok(tree)
    }

    fn read_below(&mut self, directory: &Path, prefix: &str) -> io::Result<()> {
        for found in fs::read_dir(directory)? {
            let found = found?;
            let name =
                found.file_name().into_string().map_err(|name| io::Error::other(format!("{name:?}")))?;
            let path = format!("{prefix}{name}");
            let entry = Entry::read(&found.path())?;
            if matches!(entry, Entry::Directory { .. }) {
                self.read_below(&found.path(), &format!("{path}/"))?;
            }
            self.insert(path, entry);
        }
        Ok(())
    }

    /// Adds the entry at `path`, or replaces it.
    pub fn insert(&mut self, path: impl Into<String>, entry: Entry) {
        self.0.insert(path.into(), entry);
    }

    /// Removes the entry at `path`, and returns it.
    pub fn remove(&mut self, path: &str) -> Option<Entry> {
        self.0.remove(path)
    }

    /// Returns the entry at `path`.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.0.get(path)
    }

    /// Returns every path and its entry, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.0.iter().map(|(path, entry)| (path.as_str(), entry))
    }

    /// Returns one line for each path at which `found` differs from this tree.
    #[must_use]
    pub fn differences(&self, found: &Self) -> Vec<String> {
        let paths: BTreeSet<_> = self.0.keys().chain(found.0.keys()).collect();
        let difference = |path: &String| match (self.get(path), found.get(path)) {
            (Some(wanted), Some(found)) if wanted == found => None,
            (Some(wanted), Some(found)) => Some(format!("{path}: {wanted:?} became {found:?}")),
            (Some(wanted), None) => Some(format!("{path}: {wanted:?} is missing")),
            (None, found) => Some(format!("{path}: {found:?} is too much")),
        };
        paths.into_iter().filter_map(difference).collect()
    }
}

impl Entry {
    /// Creates a file as PostgreSQL does: only its owner can read it.
    #[must_use]
    pub fn file(bytes: impl Into<Vec<u8>>) -> Self {
        Self::File { mode: 0o600, bytes: bytes.into() }
    }

    /// Creates a directory as PostgreSQL does: only its owner can enter it.
    #[must_use]
    pub fn directory() -> Self {
        Self::Directory { mode: 0o700 }
    }

    fn read(path: &Path) -> io::Result<Self> {
        let meta = fs::symlink_metadata(path)?;
        let mode = meta.permissions().mode() & 0o7777;
        if meta.is_symlink() {
            return Ok(Self::Link { target: fs::read_link(path)?.to_string_lossy().into_owned() });
        }
        Ok(if meta.is_dir() { Self::Directory { mode } } else { Self::File { mode, bytes: fs::read(path)? } })
    }
}

/// Shows a file by its size and its first bytes, so that a difference fits into a message.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory { mode } => write!(f, "a directory (mode {mode:o})"),
            Self::File { mode, bytes } => {
                let start = String::from_utf8_lossy(&bytes[..bytes.len().min(16)]);
                write!(f, "a file of {} bytes (mode {mode:o}) that begins {start:?}", bytes.len())
            }
            Self::Link { target } => write!(f, "a link to {target}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_difference_is_named() {
        let mut wanted = Tree::default();
        wanted.insert("same", Entry::file("x"));
        wanted.insert("missing", Entry::directory());
        wanted.insert("mode", Entry::file("x"));
        let mut found = wanted.clone();
        found.remove("missing");
        found.insert("mode", Entry::File { mode: 0o644, bytes: b"x".to_vec() });
        found.insert("more", Entry::Link { target: "/".to_owned() });
        let differences = wanted.differences(&found);
        let paths: Vec<_> = differences.iter().filter_map(|line| line.split(':').next()).collect();
        assert_eq!(paths, ["missing", "mode", "more"]);
        assert!(wanted.differences(&wanted).is_empty());
    }

    #[test]
    fn a_directory_is_read_with_its_links_and_modes() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("base")).unwrap();
        fs::write(directory.path().join("base/1"), "x").unwrap();
        fs::set_permissions(directory.path().join("base/1"), fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("/srv", directory.path().join("link")).unwrap();
        let tree = Tree::read(directory.path()).unwrap();
        assert_eq!(tree.iter().map(|(path, _)| path).collect::<Vec<_>>(), ["base", "base/1", "link"]);
        assert_eq!(tree.get("base/1"), Some(&Entry::File { mode: 0o640, bytes: b"x".to_vec() }));
        assert_eq!(tree.get("link"), Some(&Entry::Link { target: "/srv".to_owned() }));
    }
}
