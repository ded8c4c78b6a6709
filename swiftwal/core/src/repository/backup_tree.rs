//! The chains in a list of backups: a full backup, and the incremental ones that build on it or on each other.

use std::collections::BTreeMap;

use crate::repository::{key::BackupKey, record::BackupRecord};

/// The parents of the listed backups, as far as their records can be read.
#[derive(Clone, Debug)]
pub struct BackupTree {
    keys: Vec<BackupKey>,
    parents: BTreeMap<BackupKey, BackupKey>,
}

impl BackupTree {
    /// `keys` are those of all listed backups, `records` those that can be read.
    pub fn new<'a>(
        keys: impl Iterator<Item = BackupKey>,
        records: impl Iterator<Item = &'a BackupRecord>,
    ) -> Self {
        let parents = records.filter_map(|record| Some((record.key, record.parent?))).collect();
        Self { keys: keys.collect(), parents }
    }

    /// Whether any backup is incremental.
    #[must_use]
    pub fn has_chains(&self) -> bool {
        !self.parents.is_empty()
    }

    /// Returns the chain of a backup: the full one first, and itself last. A missing member is the first one.
    #[must_use]
    pub fn chain(&self, key: BackupKey) -> Vec<BackupKey> {
        let parent = |key: &BackupKey| self.parents.get(key).copied();
        // Records that contradict each other may form a circle.
        let mut chain: Vec<_> = std::iter::successors(Some(key), parent).take(self.keys.len() + 1).collect();
        chain.reverse();
        chain
    }

    /// Returns the member that the chain of a backup lacks.
    #[must_use]
    pub fn missing(&self, key: BackupKey) -> Option<BackupKey> {
        self.chain(key).first().copied().filter(|first| !self.keys.contains(first))
    }

    /// Returns a notice for each backup whose chain lacks a member.
    pub fn notices(&self) -> impl Iterator<Item = String> {
        self.keys.iter().filter_map(|key| {
            let missing = self.missing(*key)?;
            Some(format!(
                "backup {key} can't be restored: backup {missing}, on which it builds, is missing; check the storage, and take \
                 a new full backup"
            ))
        })
    }

    /// Returns the places of the backups in the list, each chain as a tree: a backup before those that build on it. With
    /// each, how many backups it builds on.
    #[must_use]
    pub fn in_order(&self) -> Vec<(usize, usize)> {
        let mut places: Vec<_> =
            (0..).zip(&self.keys).map(|(place, key)| (self.chain(*key), place)).collect();
        // Chains order by their keys, the oldest first, and so do those that build on the same backup.
        places.sort();
        places.into_iter().map(|(chain, place)| (place, chain.len() - 1)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(day: u32) -> BackupKey {
        format!("201308{day:02}T0000Z").parse().unwrap()
    }

    fn tree(days: &[u32], parents: &[(u32, u32)]) -> BackupTree {
        let parents = parents.iter().map(|(child, parent)| (key(*child), key(*parent))).collect();
        BackupTree { keys: days.iter().copied().map(key).collect(), parents }
    }

    #[test]
    fn a_backup_comes_before_those_that_build_on_it_and_chains_stay_together() {
        // 4 and 6 build on 1, 5 on 4, 3 and 7 on nothing.
        let tree = tree(&[1, 3, 4, 5, 6, 7], &[(4, 1), (5, 4), (6, 1)]);
        assert_eq!(tree.in_order(), [(0, 0), (2, 1), (3, 2), (4, 1), (1, 0), (5, 0)]);
        assert_eq!(tree.chain(key(5)), [key(1), key(4), key(5)]);
        assert_eq!(tree.notices().count(), 0);
    }

    #[test]
    fn every_backup_whose_chain_lacks_a_member_is_named() {
        let tree = tree(&[3, 4], &[(3, 2), (4, 3)]);
        assert_eq!(tree.missing(key(4)), Some(key(2)));
        let notices: Vec<_> = tree.notices().collect();
        assert!(
            notices.iter().all(|notice| notice.contains("backup 20130802T0000Z, on which")),
            "{notices:?}"
        );
        assert_eq!(notices.len(), 2);
    }

    #[test]
    fn a_circle_of_parents_ends() {
        let tree = tree(&[1, 2], &[(1, 2), (2, 1)]);
        assert_eq!(tree.in_order().len(), 2);
    }
}
