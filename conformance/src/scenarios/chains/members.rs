//! The backups of a chain: a full one and two incremental ones.

use std::path::Path;

use anyhow::Result;
use swiftwal_compression::{Format, compress_frame};
use swiftwal_core::{BackupChoice, BackupMode, BackupOptions, BackupRecord, RestoreOptions};
use swiftwal_postgres::{
    Database, ServerFacts,
    incremental_file::{BLOCK_BYTES, HeaderReader, IncrementalHeader},
};

use crate::{
    Entry, SyntheticCluster, SyntheticSource, Tree,
    cluster::incremental,
    scenarios::{
        crafted::put_again,
        site::{Site, options, request, restore_options, take},
        unknown::rewrite_record,
    },
    subject::Subject,
};

/// A file of which both incremental backups have only blocks.
pub(super) const CHANGED: &str = "base/5/16384";
/// A file of which nothing has changed since the full backup.
pub(super) const UNCHANGED: &str = "base/5/16386";
/// The files of the data directory of which the newest backup has only blocks.
pub(super) const COMBINED: [&str; 5] =
    [CHANGED, "base/5/16385", UNCHANGED, "base/5/16387", OF_ANOTHER_DATABASE];
/// A file of a database that isn't restored if only `shop` is.
pub(super) const OF_ANOTHER_DATABASE: &str = "base/16390/16400";
/// The same in the tablespace.
pub(super) const IN_TABLESPACE: &str = "PG_15_202209061/5/16500";

/// A stored chain.
pub(in crate::scenarios) struct Chain {
    pub(in crate::scenarios) site: Site,
    /// The full backup first, as in `members`.
    pub(in crate::scenarios) records: Vec<BackupRecord>,
    pub(super) members: Vec<Member>,
}

/// A backup of it.
pub(super) struct Member {
    pub(super) source: SyntheticSource,
    /// What its tars contain: the data directory and the tablespace.
    pub(super) trees: [Tree; 2],
}

impl Chain {
    /// Takes a full backup and two incremental ones.
    pub(in crate::scenarios) async fn take(subject: Subject) -> Result<Self> {
        Self::take_with(subject, |sources| sources).await
    }

    /// Takes a full backup and two incremental ones, which `change` has changed.
    pub(super) async fn take_with(
        subject: Subject,
        change: impl FnOnce([SyntheticSource; 3]) -> [SyntheticSource; 3] + Send,
    ) -> Result<Self> {
        let site = Site::of(subject, SyntheticCluster::new(1).with_tablespace(16400, "/srv/fast"))?;
        let mut chain = Self { site, records: Vec::new(), members: Vec::new() };
        let mut parent = None;
        for source in change(sources(&chain.site.cluster)) {
            let mode = if parent.is_none() {
                BackupMode::Full
            } else {
                BackupMode::Incremental(BackupChoice::Latest)
            };
            let options = BackupOptions { mode, include_wal: true, ..options() };
            chain.records.push(take(&chain.site.repository, &source, &options).await?);
            chain.site.wait_hours(1);
            let mut data = source.data_directory(&request(true));
            data.insert("backup_label", label_of(&source, parent.as_deref()));
            let space = source.tablespaces().map(|(_, tree)| tree).next().unwrap_or_default();
            parent = Some(source.start_lsn().to_string());
            chain.members.push(Member { source, trees: [data, space] });
        }
        Ok(chain)
    }

    /// Forgets the indexes and PostgreSQL's manifests, so that a tar can be replaced by another.
    pub(super) async fn forget_indexes(&self) -> Result<()> {
        for record in &self.records {
            rewrite_record(&self.site, &format!("pg_basebackup_{}.json", record.key), |backup| {
                if let Some(objects) = backup["objects"].as_array_mut() {
                    objects.retain(|object| !object["tar_bytes"].is_null());
                }
            })
            .await?;
        }
        Ok(())
    }

    /// Returns what a restore of the newest backup makes: the data directory, with the link to `space`, and the tablespace.
    pub(super) fn restored(&self, space: &Path) -> [Tree; 2] {
        let [mut data, mut tablespace] = self.members[2].trees.clone();
        data.insert("backup_label", label_of(&self.members[2].source, None));
        data.insert("pg_tblspc/16400", Entry::Link { target: space.display().to_string() });
        for name in COMBINED {
            data.remove(&incremental::name(name));
            data.insert(name, Entry::file(self.combined(name, 0)));
        }
        tablespace.remove(&incremental::name(IN_TABLESPACE));
        tablespace.insert(IN_TABLESPACE, Entry::file(self.combined(IN_TABLESPACE, 1)));
        [data, tablespace]
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
        let Some(Entry::File { bytes: content, .. }) = tree_of.get(&incremental::name(name)) else {
            return None;
        };
        let header = self.header(index, name, tree);
        let place = header.blocks().iter().position(|found| *found == number)?;
        content[header.bytes() as usize..].chunks(bytes).nth(place).map(<[u8]>::to_vec)
    }

    fn header(&self, index: usize, name: &str, tree: usize) -> IncrementalHeader {
        let entry = self.members[index].trees[tree].get(&incremental::name(name));
        let Some(Entry::File { bytes, .. }) = entry else { panic!("{name} is complete in backup {index}") };
        let mut reader = HeaderReader::new(bytes.len() as u64);
        let header = reader.push(&mut bytes.as_slice());
        header.ok().flatten().unwrap_or_else(|| panic!("{name} has no header in backup {index}"))
    }
}

/// Returns the backups of the chain.
fn sources(cluster: &SyntheticCluster) -> [SyntheticSource; 3] {
    let database = |oid, name: &str| Database { oid, name: name.to_owned() };
    let mut facts = ServerFacts::new(cluster.system_identifier(), cluster.timeline());
    facts.databases = Some(vec![database(1, "template1"), database(5, "shop"), database(16390, "blog")]);
    let filled = |bytes: &[u8]| {
        Some(Entry::file(bytes.iter().flat_map(|fill| vec![*fill; BLOCK_BYTES as usize]).collect::<Vec<_>>()))
    };
    let source = |start| {
        let source = cluster.backup(start, start).that_sends_a_manifest().with_facts(facts.clone());
        source.with_entry(None, "base/16390", Some(Entry::directory())).with_entry(
            None,
            "base/16390/pg_filenode.map",
            Some(Entry::file([start as u8; 512])),
        )
    };
    let full = source(3)
        .with_entry(None, UNCHANGED, filled(&[11, 12, 13, 14, 15]))
        .with_entry(None, "base/5/16387", filled(&[16, 17]))
        .with_entry(None, OF_ANOTHER_DATABASE, filled(&[18; 30]));
    let parent = source(5)
        .with_blocks(None, CHANGED, 40, &[(0, 1), (3, 2), (38, 3)])
        .with_entry(None, "base/5/16385", filled(&[4, 4, 4]))
        .with_blocks(None, UNCHANGED, 5, &[])
        .with_blocks(None, "base/5/16387", 2, &[])
        .with_blocks(None, OF_ANOTHER_DATABASE, 30, &[(7, 19)])
        .with_blocks(Some(16400), IN_TABLESPACE, 10, &[]);
    let newest = source(8)
        .with_blocks(None, CHANGED, 20, &[(3, 5), (25, 6)])
        .with_blocks(None, "base/5/16385", 2, &[(1, 7)])
        .with_blocks(None, UNCHANGED, 5, &[])
        // Nothing of it has changed, but it is longer than in the full backup.
        .with_blocks(None, "base/5/16387", 3, &[])
        .with_blocks(None, OF_ANOTHER_DATABASE, 25, &[(2, 20), (26, 21)])
        // It only looks like an incremental file.
        .with_entry(None, "pg_xact/INCREMENTAL.0", Some(Entry::file("x")))
        .with_blocks(Some(16400), IN_TABLESPACE, 12, &[(11, 8)]);
    [full, parent, newest]
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
pub(super) fn into_space(space: &Path) -> RestoreOptions {
    RestoreOptions { tablespace_mapping: vec![("/srv/fast".into(), space.to_owned())], ..restore_options() }
}
