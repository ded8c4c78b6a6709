//! The names that a restore has created below a directory: the only ones that it may remove again.
//!
//! A cluster can have many millions of files, so most of the names aren't in memory. They are in a file without a name
//! in the directory itself, in the order in which they were created; the file ends with the process.

use std::{
    borrow::Cow,
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// The largest amount of names in memory, in bytes.
const BLOCK_BYTES: usize = 64 << 10;

/// The names that were created, each after a byte for its kind and before a zero byte, which no name contains.
#[derive(Debug)]
pub(super) struct CreatedNames {
    directory: PathBuf,
    /// The file with the blocks that aren't in memory.
    file: Option<File>,
    /// The end of each block in the file.
    ends: Vec<u64>,
    /// The newest names.
    newest: Vec<u8>,
    block_bytes: usize,
}

/// The kind of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// A file, or a symbolic link.
    File = b'f',
    Directory = b'd',
}

impl CreatedNames {
    /// Creates an empty list of what is created in `directory`.
    pub(super) fn new(directory: &Path) -> Self {
        let (ends, newest) = (Vec::new(), Vec::new());
        Self { directory: directory.to_owned(), file: None, ends, newest, block_bytes: BLOCK_BYTES }
    }

    /// Records that `name`, a path below the directory, was created. A directory is created before its content.
    ///
    /// # Errors
    ///
    /// Those of the file system, for example if it is full: then the name isn't recorded.
    pub(super) fn add(&mut self, name: &[u8], kind: Kind) -> io::Result<()> {
        if self.newest.len() >= self.block_bytes {
            self.move_to_file()?;
        }
        self.newest.push(kind as u8);
        self.newest.extend_from_slice(name);
        self.newest.push(0);
        Ok(())
    }

    fn move_to_file(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile_in(&self.directory)?),
        };
        let end = self.ends.last().copied().unwrap_or_default();
        file.write_all_at(&self.newest, end)?;
        self.ends.push(end + self.newest.len() as u64);
        self.newest.clear();
        Ok(())
    }

    /// Whether `name` was created. A name that can't be read back counts as not created: it must not be removed.
    pub(super) fn contains(&self, name: &[u8]) -> bool {
        self.blocks().flatten().any(|block| entries(&block).any(|(_, created)| created == name))
    }

    /// Keeps those of `names` that weren't created.
    pub(super) fn retain_foreign(&self, names: &mut Vec<Vec<u8>>) {
        for block in self.blocks().flatten() {
            for (_, created) in entries(&block) {
                names.retain(|name| name != created);
            }
        }
    }

    /// Passes every name to `show`, the content of a directory before the directory itself, and forgets them. Returns
    /// the first error at the end.
    pub(super) fn take(&mut self, mut show: impl FnMut(&[u8], Kind) -> io::Result<()>) -> io::Result<()> {
        let taken = std::mem::replace(self, Self::new(&self.directory));
        let mut outcome = Ok(());
        for block in taken.blocks().rev() {
            let shown = block.and_then(|block| {
                let mut entries: Vec<_> = entries(&block).collect();
                entries.reverse();
                entries.into_iter().map(|(kind, name)| show(name, kind)).fold(Ok(()), io::Result::and)
            });
            outcome = outcome.and(shown);
        }
        outcome
    }

    /// Returns the names in blocks, in the order in which they were created.
    fn blocks(&self) -> impl DoubleEndedIterator<Item = io::Result<Cow<'_, [u8]>>> {
        let newest = std::iter::once_with(|| Ok(Cow::Borrowed(self.newest.as_slice())));
        (0..self.ends.len()).map(|number| self.block(number).map(Cow::Owned)).chain(newest)
    }

    /// Returns a block that isn't in memory.
    fn block(&self, number: usize) -> io::Result<Vec<u8>> {
        let end = self.ends.get(number).copied().unwrap_or_default();
        let start =
            number.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or_default();
        let mut block = vec![0; usize::try_from(end - start).unwrap_or_default()];
        self.file.as_ref().map_or(Ok(()), |file| file.read_exact_at(&mut block, start))?;
        Ok(block)
    }
}

fn entries(names: &[u8]) -> impl Iterator<Item = (Kind, &[u8])> {
    names.split(|byte| *byte == 0).filter_map(|entry| match entry {
        [b'd', name @ ..] => Some((Kind::Directory, name)),
        [_, name @ ..] => Some((Kind::File, name)),
        [] => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [(&[u8], Kind); 4] = [
        (b"base", Kind::Directory),
        (b"base/1", Kind::Directory),
        (b"PG_VERSION", Kind::File),
        (b"base/1/dd\xff", Kind::File),
    ];

    /// Creates the list, with at most this many bytes in memory.
    fn created(directory: &Path, block_bytes: usize) -> CreatedNames {
        let mut created = CreatedNames { block_bytes, ..CreatedNames::new(directory) };
        for (name, kind) in NAMES {
            created.add(name, kind).unwrap();
        }
        created
    }

    #[test]
    fn names_are_given_back_from_the_inside_out_whether_in_memory_or_not() {
        let directory = tempfile::tempdir().unwrap();
        for block_bytes in [1, 10, BLOCK_BYTES] {
            let mut created = created(directory.path(), block_bytes);
            assert!(
                created.contains(b"base/1/dd\xff")
                    && created.contains(b"base")
                    && !created.contains(b"base/1/d")
            );
            let mut foreign = vec![b"base".to_vec(), b"other".to_vec(), b"PG_VERSION".to_vec()];
            created.retain_foreign(&mut foreign);
            assert_eq!(foreign, [b"other"]);

            let mut taken = Vec::new();
            created
                .take(|name, kind| {
                    taken.push((name.to_owned(), kind));
                    Ok(())
                })
                .unwrap();
            let expected: Vec<_> = NAMES.iter().rev().map(|(name, kind)| (name.to_vec(), *kind)).collect();
            assert_eq!(taken, expected);
            assert!(!created.contains(b"base"));
        }
        assert_eq!(directory.path().read_dir().unwrap().count(), 0, "no name of its own");
    }

    #[test]
    fn every_name_is_shown_though_one_fails_and_none_is_lost_when_the_disk_is_full() {
        let directory = tempfile::tempdir().unwrap();
        let mut created = created(directory.path(), BLOCK_BYTES);
        created.block_bytes = 1;
        created.directory = directory.path().join("absent");
        assert!(created.add(b"x", Kind::File).is_err());
        let mut shown = 0;
        let outcome = created.take(|_, _| {
            shown += 1;
            Err(io::ErrorKind::PermissionDenied.into())
        });
        assert_eq!((outcome.unwrap_err().kind(), shown), (io::ErrorKind::PermissionDenied, NAMES.len()));
    }
}
