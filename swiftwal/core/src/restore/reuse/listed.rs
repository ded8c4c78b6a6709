//! The names that a backup contains: eight bytes for each, whatever its length.

use std::hash::{BuildHasher, RandomState};

use swiftwal_postgres::tar_stream::{Member, MemberKind};

use super::file::ListedMember;
use crate::{error::Result, restore::created::Kind};

/// The names of the files and directories of a tar.
#[derive(Debug)]
pub(super) struct ListedNames {
    /// Their hashes, sorted. That two names of a cluster have the same hash is as good as impossible, and the key of
    /// the hash is secret.
    hashes: Vec<u64>,
    key: RandomState,
}

impl ListedNames {
    /// Collects the names of `members`. Links and files that are written in the end aren't among them: they are always
    /// created again.
    pub(super) fn collect(members: impl Iterator<Item = Result<ListedMember>>) -> Result<Self> {
        let mut listed = Self { hashes: Vec::new(), key: RandomState::new() };
        for member in members {
            let (name, kind) = match member? {
                ListedMember::File(file) if file.is_written() => (file.name().to_owned(), Kind::File),
                ListedMember::Other(Member { name, kind: MemberKind::Directory, .. }) => {
                    (name, Kind::Directory)
                }
                _ => continue,
            };
            listed.hashes.push(listed.hash(&name, kind));
        }
        listed.hashes.sort_unstable();
        Ok(listed)
    }

    pub(super) fn contains(&self, name: &[u8], kind: Kind) -> bool {
        self.hashes.binary_search(&self.hash(name, kind)).is_ok()
    }

    fn hash(&self, name: &[u8], kind: Kind) -> u64 {
        self.key.hash_one((name, kind as u8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::reuse::file::IndexedFile;

    #[test]
    fn a_name_is_listed_as_what_it_is() {
        let member = |name: &[u8], kind| Member {
            name: name.to_vec(),
            kind,
            mode: 0o600,
            modified: 0,
            bytes: 0,
            offset: 0,
        };
        let file = |name| {
            ListedMember::File(IndexedFile::new(0, member(name, MemberKind::File), None, None, None, None))
        };
        let link = MemberKind::Link { target: b"/".to_vec() };
        let members = [
            file(b"a"),
            ListedMember::Other(member(b"b\xff", MemberKind::Directory)),
            ListedMember::Other(member(b"c", link)),
            file(b"standby.signal"),
            file(b"tablespace_map"),
            file(b"PG_VERSION"),
        ];
        let members = members.map(Ok);
        let listed = ListedNames::collect(members.into_iter()).unwrap();
        for (name, kind, is_listed) in [
            (&b"a"[..], Kind::File, true),
            (b"a", Kind::Directory, false),
            (b"b\xff", Kind::Directory, true),
            (b"b", Kind::Directory, false),
            (b"c", Kind::File, false),
            (b"standby.signal", Kind::File, false),
            (b"tablespace_map", Kind::File, false),
            (b"PG_VERSION", Kind::File, true),
        ] {
            assert_eq!(listed.contains(name, kind), is_listed);
        }
    }
}
