//! Scenarios of restore: single databases.

use anyhow::{Context, Result};
use swiftwal_core::{BackupChoice, BackupRecord, Error, ErrorKind, RestoreOptions, Reuse};
use swiftwal_postgres::{Database, ServerFacts};

use super::site::{Site, assert_restored, refused, request, restore_options, shown};
use crate::{Entry, SyntheticCluster, Tree, subject::Subject};

pub(crate) async fn the_other_databases_have_their_files_without_content_and_nothing_of_them_is_fetched(
    subject: Subject,
) -> Result<()> {
    let site = Site::of(subject, cluster())?;
    let record = back_up(&site).await?;
    let stored: u64 =
        record.objects.iter().filter(|object| object.tar_bytes.is_some()).map(|object| object.bytes).sum();
    let source = site.cluster.backup(3, 3);
    let mut original = source.data_directory(&request(true));
    let target = site.subject.path("fast").display().to_string();
    original.insert("pg_tblspc/16400", Entry::Link { target });
    let space = source.tablespaces().next().context("it has a tablespace")?.1;
    let directory = site.subject.path("pgdata");
    let options = options(&site);
    let stats = site.restore_into(BackupChoice::Latest, &directory, &options).await?;
    assert_eq!(stats.left_out, ["blog"]);
    assert!(stats.fetched_bytes.is_some_and(|fetched| fetched < stored / 2), "{stats:?} of {stored}");
    assert_restored(&directory, &without_content(&original, "base/5/16384"))?;
    let place = site.subject.path("fast");
    let differences = without_content(&space, "PG_15_202209061/5/16500").differences(&Tree::read(&place)?);
    assert!(differences.is_empty(), "{differences:?}");

    // A delta restore gives them their content, and takes it again.
    let all = RestoreOptions { databases: Vec::new(), reuse: Reuse::Cluster, ..options.clone() };
    site.restore_into(BackupChoice::Latest, &directory, &all).await?;
    assert_restored(&directory, &original)?;
    assert!(space.differences(&Tree::read(&place)?).is_empty());
    let again = RestoreOptions { reuse: Reuse::Cluster, ..options };
    site.restore_into(BackupChoice::Latest, &directory, &again).await?;
    assert_restored(&directory, &without_content(&original, "base/5/16384"))
}

pub(crate) async fn what_cannot_be_right_is_refused_before_anything_is_written(
    subject: Subject,
) -> Result<()> {
    let site = Site::of(subject, cluster())?;
    let directory = site.subject.path("pgdata");
    let unlisted = site.take_with_wal(&site.cluster.backup(3, 3)).await?;
    site.wait_hours(1);
    let record = back_up(&site).await?;
    let named = |name: &str| RestoreOptions { databases: vec![name.to_owned()], ..options(&site) };
    let standby = RestoreOptions { standby: true, ..named("shop") };
    for (key, options, reason) in [
        (unlisted.key, named("shop"), "doesn't list its databases"),
        (record.key, named("Shop"), "it has template1, shop, blog"),
        (record.key, standby, "a standby can't be restored"),
    ] {
        let error = refused(site.restore_into(BackupChoice::Key(key), &directory, &options).await);
        assert!(matches!(error, Error::Usage(_) | Error::Refused(_)), "{error}");
        assert!(shown(&error).contains(reason) && !directory.exists(), "{error}");
    }
    site.subject.delete(&format!("pg_basebackup_{}.index.zst", record.key)).await?;
    let choice = BackupChoice::Key(record.key);
    let error = refused(site.restore_into(choice, &directory, &options(&site)).await);
    assert!(error.kind() == ErrorKind::Refused && shown(&error).contains("--database"), "{error}");
    assert!(!directory.exists());
    Ok(())
}

/// A cluster whose database 5, which isn't listed, has nearly all of its data.
fn cluster() -> SyntheticCluster {
    SyntheticCluster::new(1).with_table_bytes(24 << 20).with_tablespace(16400, "/srv/fast")
}

async fn back_up(site: &Site) -> Result<BackupRecord> {
    let database = |oid, name: &str| Database { oid, name: name.to_owned() };
    let mut facts = ServerFacts::new(site.cluster.system_identifier(), site.cluster.timeline());
    facts.databases = Some(vec![database(1, "template1"), database(16384, "shop"), database(16385, "blog")]);
    Ok(site.take_with_wal(&site.cluster.backup(3, 3).with_facts(facts)).await?)
}

fn options(site: &Site) -> RestoreOptions {
    RestoreOptions {
        databases: vec!["shop".to_owned()],
        tablespace_mapping: vec![("/srv/fast".into(), site.subject.path("fast"))],
        ..restore_options()
    }
}

/// Returns the tree in which a file has its size, but not its content.
fn without_content(original: &Tree, path: &str) -> Tree {
    let mut tree = original.clone();
    if let Some(Entry::File { mode, bytes }) = original.get(path) {
        tree.insert(path, Entry::File { mode: *mode, bytes: vec![0; bytes.len()] });
    }
    tree
}
