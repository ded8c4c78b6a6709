//! The names that a restore made below a directory: the only ones that it may remove again.

use std::collections::BTreeMap;

/// Every name that was made, by the directory it lies in.
///
/// A cluster can have millions of files, so the names of a directory follow one another in one buffer, each behind a byte
/// for its kind and before a zero byte, which no name holds.
#[derive(Debug, Default)]
pub(super) struct MadeNames(BTreeMap<Vec<u8>, Vec<u8>>);

/// What has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// A file, or a symbolic link.
    File = b'f',
    Directory = b'd',
}

impl MadeNames {
    /// Notes that `name`, a path below the restored directory, was made.
    pub(super) fn add(&mut self, name: &[u8], kind: Kind) {
        let (directory, last) = split(name);
        let names = match self.0.get_mut(directory) {
            Some(names) => names,
            None => self.0.entry(directory.to_owned()).or_default(),
        };
        names.push(kind as u8);
        names.extend_from_slice(last);
        names.push(0);
    }

    /// Whether `name` was made.
    pub(super) fn contains(&self, name: &[u8]) -> bool {
        let (directory, last) = split(name);
        self.0.get(directory).is_some_and(|names| entries(names).any(|(_, name)| name == last))
    }

    /// Takes every name, the content of a directory before the directory itself.
    pub(super) fn take(&mut self) -> Vec<(Vec<u8>, Kind)> {
        let mut made = Vec::new();
        for (directory, names) in std::mem::take(&mut self.0).into_iter().rev() {
            let path = |last: &[u8]| match directory.as_slice() {
                [] => last.to_owned(),
                directory => [directory, b"/", last].concat(),
            };
            made.extend(entries(&names).map(|(kind, last)| (path(last), kind)));
        }
        made
    }
}

/// The directory that `name` lies in, empty for the restored directory itself, and its last component.
pub(super) fn split(name: &[u8]) -> (&[u8], &[u8]) {
    match name.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&name[..slash], &name[slash + 1..]),
        None => (b"", name),
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

    #[test]
    fn names_are_given_back_from_the_inside_out() {
        let mut made = MadeNames::default();
        made.add(b"base", Kind::Directory);
        made.add(b"base/1", Kind::Directory);
        made.add(b"PG_VERSION", Kind::File);
        made.add(b"base/1/dd\xff", Kind::File);
        assert!(made.contains(b"base/1/dd\xff") && made.contains(b"base") && !made.contains(b"base/1/d"));
        let taken = made.take();
        let names: Vec<_> = taken.iter().map(|(name, _)| name.as_slice()).collect();
        assert_eq!(names, [&b"base/1/dd\xff"[..], b"base/1", b"base", b"PG_VERSION"]);
        assert_eq!(taken[1].1, Kind::Directory);
        assert!(!made.contains(b"base"));
    }
}
