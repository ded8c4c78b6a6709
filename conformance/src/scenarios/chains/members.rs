//! The backups of a chain: a full one and two incremental ones, crafted from full ones of the synthetic cluster.

use std::path::Path;

use anyhow::Result;
use swiftwal_compression::{Format, compress_frame};
use swiftwal_core::{BackupRecord, RestoreOptions};
use swiftwal_postgres::incremental_file::{BLOCK_BYTES, IncrementalHeader};

use crate::{
    Entry, SyntheticCluster, SyntheticSource, Tree,
    scenarios::{
        crafted::put_again,
        site::{Site, request, restore_options},
        unknown::rewrite_record,
    },
    subject::Subject,
};

/// A file of which both incremental backups have only blocks.
pub(super) const CHANGED: &str = "base/5/16384";
/// The same in the tablespace.
pub(super) const IN_TABLESPACE: &str = "PG_15_202209061/5/16500";

/// A stored chain.
pub(super) struct Chain {
    pub(super) site: Site,
    /// The full backup first, as in `members`.
    pub(super) records: Vec<BackupRecord>,
    pub(super) members: Vec<Member>,
}

/// A backup of it.
pub(super) struct Member {
    pub(super) source: SyntheticSource,
    /// What its tars contain: the data directory and the tablespace.
    pub(super) trees: [Tree; 2],
}

/// An incremental file, each block filled with one byte.
pub(super) struct Blocks {
    pub(super) truncation: u32,
    pub(super) blocks: Vec<(u32, u8)>,
}

impl Blocks {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let numbers = self.blocks.iter().map(|(number, _)| *number).collect();
        let header = IncrementalHeader::new(self.truncation, numbers).map(|header| header.to_bytes());
        let blocks = self.blocks.iter().flat_map(|(_, fill)| vec![*fill; BLOCK_BYTES as usize]);
        header.unwrap_or_default().into_iter().chain(blocks).collect()
    }
}

impl Chain {
    pub(super) async fn take(subject: Subject) -> Result<Self> {
        let site = Site::of(subject, SyntheticCluster::new(1).with_tablespace(16400, "/srv/fast"))?;
        let mut chain = Self { site, records: Vec::new(), members: Vec::new() };
        for start in [3, 5, 8] {
            let source = chain.site.cluster.backup(start, start);
            chain.records.push(chain.site.take_with_wal(&source).await?);
            chain.site.wait_hours(1);
            let data = source.data_directory(&request(true));
            let space = source.tablespaces().map(|(_, tree)| tree).next().unwrap_or_default();
            chain.members.push(Member { source, trees: [data, space] });
        }
        chain.change();
        for index in [1, 2] {
            let [data, space] = &chain.members[index].trees;
            chain.store(index, data, space).await?;
            let record = format!("pg_basebackup_{}.json", chain.records[index].key);
            let parent = chain.records[index - 1].key.to_string();
            rewrite_record(&chain.site, &record, |backup| {
                backup["kind"] = "incremental".into();
                backup["parent"] = parent.into();
            })
            .await?;
        }
        Ok(chain)
    }

    /// Puts blocks into the incremental backups, in the place of complete files.
    fn change(&mut self) {
        let incremental = |tree: &mut Tree, name: &str, truncation, blocks: &[(u32, u8)]| {
            tree.remove(name);
            let content = Blocks { truncation, blocks: blocks.to_vec() }.to_bytes();
            tree.insert(incremental_name(name), Entry::file(content));
        };
        for (index, parent) in [(1, "0/300028"), (2, "0/500028")] {
            let label = label_of(&self.members[index].source, Some(parent));
            self.members[index].trees[0].insert("backup_label", label);
        }
        let [data, space] = &mut self.members[1].trees;
        incremental(data, CHANGED, 40, &[(0, 1), (3, 2), (38, 3)]);
        data.insert("base/5/16385", Entry::file(vec![4; 3 * BLOCK_BYTES as usize]));
        incremental(space, IN_TABLESPACE, 10, &[]);
        let [data, space] = &mut self.members[2].trees;
        incremental(data, CHANGED, 20, &[(3, 5), (25, 6)]);
        incremental(data, "base/5/16385", 2, &[(1, 7)]);
        // It only looks like an incremental file.
        data.insert("pg_xact/INCREMENTAL.0", Entry::file("x"));
        incremental(space, IN_TABLESPACE, 12, &[(11, 8)]);
    }

    /// Stores these trees as the tars of a member, with a record that fits. Its index doesn't.
    pub(super) async fn store(&self, index: usize, data: &Tree, space: &Tree) -> Result<()> {
        let record = &self.records[index];
        for (tree, suffix) in [(data, ""), (space, ".16400")] {
            let tar = crate::cluster::tar(tree)?;
            let object = format!("pg_basebackup_{}{suffix}.tar.zst", record.key);
            let content = compress_frame(Format::Zstd.into(), &tar)?;
            put_again(&self.site, record, &object, content, tar.len()).await?;
        }
        Ok(())
    }

    /// Returns the content of a file that is combined from the backups: block by block, as `pg_combinebackup` does it.
    /// `tree` is 0 for the data directory, and 1 for the tablespace.
    pub(super) fn combined(&self, name: &str, tree: usize) -> Vec<u8> {
        let newest = self.header(2, name, tree);
        let block = |number: u32| {
            let oldest = if number < newest.truncation_blocks() { 0 } else { 2 };
            let found = (oldest..=2).rev().find_map(|index| self.block(index, name, tree, number));
            found.unwrap_or_else(|| vec![0; BLOCK_BYTES as usize])
        };
        (0..newest.complete_blocks()).flat_map(block).collect()
    }

    fn block(&self, index: usize, name: &str, tree: usize, number: u32) -> Option<Vec<u8>> {
        let tree_of = &self.members[index].trees[tree];
        let bytes = BLOCK_BYTES as usize;
        if let Some(Entry::File { bytes: content, .. }) = tree_of.get(name) {
            return content.chunks_exact(bytes).nth(number as usize).map(<[u8]>::to_vec);
        }
        let Some(Entry::File { bytes: content, .. }) = tree_of.get(&incremental_name(name)) else {
            return None;
        };
        let header = self.header(index, name, tree);
        let place = header.blocks().iter().position(|found| *found == number)?;
        content[header.bytes() as usize..].chunks(bytes).nth(place).map(<[u8]>::to_vec)
    }

    fn header(&self, index: usize, name: &str, tree: usize) -> IncrementalHeader {
        let entry = self.members[index].trees[tree].get(&incremental_name(name));
        let Some(Entry::File { bytes, .. }) = entry else { panic!("{name} is complete in backup {index}") };
        let mut reader = swiftwal_postgres::incremental_file::HeaderReader::new(bytes.len() as u64);
        let header = reader.push(&mut bytes.as_slice());
        header.ok().flatten().unwrap_or_else(|| panic!("{name} has no header in backup {index}"))
    }
}

/// Returns the `backup_label` of a backup that builds on one that starts at the LSN `parent`.
pub(super) fn label_of(source: &SyntheticSource, parent: Option<&str>) -> Entry {
    let mut label = source.label(&request(true));
    if let Some(parent) = parent {
        label += &format!("INCREMENTAL FROM LSN: {parent}\nINCREMENTAL FROM TLI: 1\n");
    }
    Entry::file(label)
}

/// Returns the options for a restore with the tablespace in `space`.
pub(super) fn options(space: &Path) -> RestoreOptions {
    RestoreOptions { tablespace_mapping: vec![("/srv/fast".into(), space.to_owned())], ..restore_options() }
}

fn incremental_name(name: &str) -> String {
    let (directory, file) = name.rsplit_once('/').unwrap_or(("", name));
    format!("{directory}/INCREMENTAL.{file}")
}
