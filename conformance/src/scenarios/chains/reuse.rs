//! Chains that are restored over a stopped server, completed, or in part.

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf};

use anyhow::{Context, Result};
use swiftwal_core::{BackupChoice, ErrorKind, RestoreOptions, RestoreStats, Reuse, restore};

use super::members::{Chain, OF_ANOTHER_DATABASE, UNCHANGED, into_space};
use crate::{
    Entry, SyntheticSource, Tree,
    faulty::{Faults, ReadFault},
    scenarios::site::{assert_restored, shown},
    subject::Subject,
};

const MARKER: &str = "swiftwal_restore_in_progress";

pub(crate) async fn a_delta_restore_of_a_chain_leaves_what_a_fresh_one_would(subject: Subject) -> Result<()> {
    let chain = Chain::take(subject).await?;
    let fresh = Place::new(&chain);
    let expected = fresh.restore(&chain, 2, Reuse::Nothing).await?;
    let stored: u64 =
        chain.records.iter().flat_map(|record| &record.objects).map(|object| object.bytes).sum();
    for before in 0..=2 {
        let place = Place::new(&chain);
        place.restore(&chain, before, Reuse::Nothing).await?;
        let unchanged = fs::metadata(place.data.join(UNCHANGED))?.ino();
        fs::write(place.data.join("base/5/INCREMENTAL.16386"), "left by another program")?;
        for _ in 0..2 {
            let stats = place.restore(&chain, 2, Reuse::Cluster).await?;
            assert!(stats.kept_files > 0 && stats.kept_files < stats.files, "{stats:?}");
            assert_eq!((stats.files, stats.bytes), (expected.files, expected.bytes));
            let fetched = stats.fetched_bytes.context("what was fetched is counted")?;
            assert!(fetched > 0 && fetched < stored, "{fetched} of {stored}");
            assert_eq!(fs::metadata(place.data.join(UNCHANGED))?.ino(), unchanged, "it was written again");
            place.assert_equal(&fresh)?;
        }
        // It has the size of the right one.
        fs::write(place.data.join(UNCHANGED), [9; 5 * 8192])?;
        place.restore(&chain, 2, Reuse::Cluster).await?;
        place.assert_equal(&fresh)?;
        // A full backup that is restored over the result of a chain.
        place.restore(&chain, 0, Reuse::Cluster).await?;
        let full = Place::new(&chain);
        full.restore(&chain, 0, Reuse::Nothing).await?;
        place.assert_equal(&full)?;
    }
    Ok(())
}

pub(crate) async fn an_interrupted_restore_of_a_chain_is_completed(subject: Subject) -> Result<()> {
    let chain = Chain::take(subject).await?;
    let fresh = Place::new(&chain);
    fresh.restore(&chain, 2, Reuse::Nothing).await?;
    let newest = BackupChoice::Latest;
    let (mut n, mut left) = (1, 0);
    loop {
        let place = Place::new(&chain);
        let reuse = if n % 2 == 0 { Reuse::Interrupted } else { Reuse::Cluster };
        if reuse == Reuse::Cluster {
            place.restore(&chain, n % 3, Reuse::Nothing).await?;
        }
        let faults = Faults::at_read(n, ReadFault::Fails);
        let repository = chain.site.subject.repository_with(&faults)?;
        let options = RestoreOptions { reuse, ..into_space(&place.space) };
        let interrupted = restore(&repository, newest, &place.data, &options, &|_| {}).await;
        if faults.reads().len() < n {
            interrupted?;
            break;
        }
        let is_left = place.data.join(MARKER).exists();
        if is_left {
            left += 1;
            assert!(interrupted.is_err() && !place.data.join("global/pg_control").exists());
        }
        let is_complete = place.data.join("global/pg_control").exists();
        let again =
            if is_complete || (is_left && left % 2 == 0) { Reuse::Cluster } else { Reuse::Interrupted };
        place.restore(&chain, 2, again).await.with_context(|| format!("after fault {n}"))?;
        place.assert_equal(&fresh)?;
        n += 1;
    }
    assert!(left > 4, "it was interrupted {left} times");
    Ok(())
}

pub(crate) async fn single_databases_of_a_chain_are_restored(subject: Subject) -> Result<()> {
    let chain = Chain::take(subject).await?;
    let place = Place::new(&chain);
    let only = RestoreOptions { databases: vec!["shop".to_owned()], ..into_space(&place.space) };
    let [mut expected, space] = chain.restored(&place.space);
    let content = |bytes| Entry::file(vec![0; bytes]);
    expected.insert(OF_ANOTHER_DATABASE, content(27 * 8192));
    expected.insert("base/16390/pg_filenode.map", content(512));
    let check = || -> Result<()> {
        assert!(!place.data.join("backup_manifest").exists());
        assert_restored(&place.data, &expected)?;
        assert!(space.differences(&Tree::read(&place.space)?).is_empty());
        Ok(())
    };
    let stats = chain.site.restore_into(BackupChoice::Latest, &place.data, &only).await?;
    assert_eq!(stats.left_out, ["blog"]);
    check()?;

    // A delta restore gives them their content, and takes it again.
    place.restore(&chain, 2, Reuse::Cluster).await?;
    let fresh = Place::new(&chain);
    fresh.restore(&chain, 2, Reuse::Nothing).await?;
    place.assert_equal(&fresh)?;
    let again = RestoreOptions { reuse: Reuse::Cluster, ..only };
    chain.site.restore_into(BackupChoice::Latest, &place.data, &again).await?;
    check()
}

pub(crate) async fn without_the_index_of_a_parent_nothing_is_reused(subject: Subject) -> Result<()> {
    let chain = Chain::take(subject).await?;
    let place = Place::new(&chain);
    place.restore(&chain, 0, Reuse::Nothing).await?;
    for record in &chain.records {
        let object = format!("pg_basebackup_{}.index.zst", record.key);
        let stored = chain.site.subject.get(&object).await?;
        chain.site.subject.put(&object, stored.slice(..stored.len() - 1)).await?;
        place
            .assert_refused(&chain, ErrorKind::Refused, &[&object, "restore into an empty directory"])
            .await?;
        chain.site.subject.put(&object, stored).await?;
    }
    Ok(())
}

pub(crate) async fn a_file_that_a_parent_lacks_is_named_before_anything_is_changed(
    subject: Subject,
) -> Result<()> {
    let lacking = |[full, parent, newest]: [SyntheticSource; 3]| {
        [full, parent.with_entry(None, "base/5/INCREMENTAL.16384", None), newest]
    };
    let chain = Chain::take_with(subject, lacking).await?;
    let place = Place::new(&chain);
    place.restore(&chain, 0, Reuse::Nothing).await?;
    let parent = format!("backup {}", chain.records[1].key);
    place.assert_refused(&chain, ErrorKind::Damaged, &[&parent, "it lacks the file base/5/16384"]).await
}

/// The directories of a restore.
struct Place {
    data: PathBuf,
    space: PathBuf,
}

impl Place {
    fn new(chain: &Chain) -> Self {
        let subject = &chain.site.subject;
        Self { data: subject.new_path("pgdata"), space: subject.new_path("space") }
    }

    /// Restores a backup of the chain, by its number: 0 is the full one.
    async fn restore(&self, chain: &Chain, number: usize, reuse: Reuse) -> Result<RestoreStats> {
        let options = RestoreOptions { reuse, ..into_space(&self.space) };
        Ok(chain
            .site
            .restore_into(BackupChoice::Key(chain.records[number].key), &self.data, &options)
            .await?)
    }

    /// Expects that the newest backup isn't restored over this cluster, for a reason with these words, and that nothing is
    /// changed.
    async fn assert_refused(&self, chain: &Chain, kind: ErrorKind, told: &[&str]) -> Result<()> {
        for databases in [Vec::new(), vec!["shop".to_owned()]] {
            let options = RestoreOptions { reuse: Reuse::Cluster, databases, ..into_space(&self.space) };
            let error = chain.site.refuse_restore(BackupChoice::Latest, &self.data, &options).await?;
            assert_eq!(error.kind(), kind, "{error}");
            for told in told {
                assert!(shown(&error).contains(told), "it doesn't say {told}: {}", shown(&error));
            }
        }
        Ok(())
    }

    fn trees(&self) -> Result<[Tree; 2]> {
        let mut data = Tree::read(&self.data)?;
        let target = self.space.display().to_string();
        assert_eq!(data.remove("pg_tblspc/16400"), Some(Entry::Link { target }));
        Ok([data, Tree::read(&self.space)?])
    }

    /// Compares the content with that of another restore.
    fn assert_equal(&self, fresh: &Self) -> Result<()> {
        for (found, fresh) in self.trees()?.iter().zip(fresh.trees()?) {
            let differences = fresh.differences(found);
            assert!(differences.is_empty(), "{differences:#?}");
        }
        Ok(())
    }
}
