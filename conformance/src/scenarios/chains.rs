//! Scenarios of restore: chains of incremental backups.

mod members;
mod reuse;

use std::fs;

use anyhow::Result;
use serde_json::Value;
use swiftwal_core::{BackupChoice, ErrorKind, RestoreOptions, plan_restore};

pub(super) use self::members::Chain;
use self::members::{CHANGED, COMBINED, into_space, label_of};
pub(crate) use self::reuse::{
    a_delta_restore_of_a_chain_leaves_what_a_fresh_one_would,
    a_file_that_a_parent_lacks_is_named_before_anything_is_changed,
    an_interrupted_restore_of_a_chain_is_completed, single_databases_of_a_chain_are_restored,
    without_the_index_of_a_parent_nothing_is_reused,
};
use super::{
    site::{Site, assert_restored, refused},
    unknown::rewrite_record,
};
use crate::{Entry, Tree, cluster::incremental, subject::Subject};

pub(crate) async fn a_chain_is_restored_as_one_cluster(subject: Subject) -> Result<()> {
    let chain = Chain::take(subject).await?;
    for choice in [BackupChoice::Latest, BackupChoice::Key(chain.records[2].key)] {
        let space = chain.site.subject.new_path("space");
        let directory = chain.site.subject.new_path("pgdata");
        chain.site.restore_into(choice, &directory, &into_space(&space)).await?;
        let [mut data, tablespace] = chain.restored(&space);
        let manifest = fs::read_to_string(directory.join("backup_manifest"))?;
        for name in COMBINED {
            let content = fs::read(directory.join(name))?;
            let checksum: String =
                crc32c::crc32c(&content).to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            let line =
                manifest.lines().find(|line| line.contains(&format!("\"{name}\""))).unwrap_or_default();
            let size = format!("\"Size\": {},", content.len());
            assert!(line.contains(&size) && line.contains(&checksum), "{name}: {line}");
        }
        data.insert("backup_manifest", Entry::file(manifest));
        assert_restored(&directory, &data)?;
        assert!(tablespace.differences(&Tree::read(&space)?).is_empty());
    }
    Ok(())
}

pub(crate) async fn a_plan_shows_the_backups_of_a_chain(subject: Subject) -> Result<()> {
    let chain = Chain::take(subject).await?;
    let options = into_space(&chain.site.subject.path("space"));
    let plan = plan_restore(
        &chain.site.repository,
        BackupChoice::Latest,
        &chain.site.subject.path("pgdata"),
        &options,
        &|_| {},
    )
    .await?;
    let keys: Vec<_> = plan.chain.iter().map(|member| member.key).collect();
    assert_eq!(keys, [2, 1, 0].map(|index| chain.records[index].key));
    let stored: u64 = plan.chain.iter().map(|member| member.stored_bytes).sum();
    assert_eq!(plan.stored_bytes, Some(stored));
    assert!(plan.chain.iter().all(|member| member.stored_bytes > 0));
    Ok(())
}

/// Nothing is written then, and another backup is named.
pub(crate) async fn a_chain_that_is_incomplete_is_refused_before_anything_is_written(
    subject: Subject,
) -> Result<()> {
    let chain = Chain::take(subject).await?;
    let site = &chain.site;
    let [full, parent, newest] = [0, 1, 2].map(|index| chain.records[index].clone());
    let record_of = |index: usize| format!("pg_basebackup_{}.json", chain.records[index].key);
    let tar_of = |index: usize| format!("pg_basebackup_{}.tar.zst", chain.records[index].key);
    for (object, told) in [
        (record_of(1), format!("it needs backup {}, which isn't in ", parent.key)),
        (record_of(0), format!("it needs backup {}, which isn't in ", full.key)),
        (tar_of(1), format!("it needs backup {}, which is incomplete: {}", parent.key, tar_of(1))),
        (tar_of(0), format!("it needs backup {}, which is incomplete: {}", full.key, tar_of(0))),
    ] {
        let content = site.subject.get(&object).await?;
        site.subject.delete(&object).await?;
        let instead = if object.contains(&full.key.to_string()) {
            "there is no other backup that is complete".to_owned()
        } else {
            format!("restore backup {} instead", full.key)
        };
        expect_refusal(&chain, ErrorKind::Refused, &[&newest.key.to_string(), &told, &instead]).await?;
        site.subject.put(&object, content).await?;
    }
    let stored = site.subject.get(&record_of(1)).await?;
    for (field, value, told) in [
        ("parent", Value::from(newest.key.to_string()), "was taken after backup"),
        ("parent", Value::Null, "doesn't say which backup it builds on"),
        ("system_identifier", Value::from("7"), "which can't be used: "),
    ] {
        rewrite_record(site, &record_of(1), |backup| backup[field] = value).await?;
        expect_refusal(&chain, ErrorKind::Refused, &[told]).await?;
        site.subject.put(&record_of(1), stored.clone()).await?;
    }
    Ok(())
}

/// The latest backup is then the newest whose chain is complete.
pub(crate) async fn latest_skips_a_backup_whose_chain_is_incomplete(subject: Subject) -> Result<()> {
    let chain = Chain::take(subject).await?;
    let site = &chain.site;
    site.subject.delete(&format!("pg_basebackup_{}.json", chain.records[1].key)).await?;
    let directory = site.subject.new_path("pgdata");
    let options = into_space(&site.subject.path("space"));
    let (stats, notices) =
        Site::restore_noting(&site.repository, BackupChoice::Latest, &directory, &options).await?;
    assert_eq!(stats.key, chain.records[0].key);
    let skipped =
        format!("skipping backup {}: it needs backup {}", chain.records[2].key, chain.records[1].key);
    assert!(notices.iter().any(|notice| notice.contains(&skipped)), "{notices:?}");
    Ok(())
}

pub(crate) async fn a_chain_whose_backups_do_not_fit_leaves_nothing(subject: Subject) -> Result<()> {
    let chain = Chain::take(subject).await?;
    chain.forget_indexes().await?;
    let [full, parent, newest] = [0, 1, 2].map(|index| format!("backup {}", chain.records[index].key));
    let tar = |index: usize| format!("pg_basebackup_{}.tar.zst", chain.records[index].key);
    let label = |index: usize, lsn: &str| label_of(&chain.members[index].source, Some(lsn));
    let plain = |index: usize| label_of(&chain.members[index].source, None);
    let good = incremental::file(20, &[(3, 9)]);
    let mut damaged = good.clone();
    damaged[0] ^= 1;
    let blocks = |bytes: Vec<u8>| ("base/5/INCREMENTAL.16384", Some(Entry::file(bytes)));
    for (index, (name, entry), told) in [
        (
            2,
            ("backup_label", Some(label(2, "0/300028"))),
            [newest.as_str(), "starts at 0/300028 on timeline 1"],
        ),
        (2, ("backup_label", Some(plain(2))), [&newest, "is that of a full backup"]),
        (1, ("backup_label", Some(label(1, "0/800028"))), [&parent, "starts at 0/800028 on timeline 1"]),
        (0, ("backup_label", Some(label(0, "0/100028"))), [&full, "is that of an incremental backup"]),
        (1, ("base/5/INCREMENTAL.16384", None), [&parent, "it lacks the file base/5/16384"]),
        (0, (CHANGED, None), [&full, "it lacks the file base/5/16384"]),
        (2, blocks(damaged.clone()), [&tar(2), "isn't an incremental file of PostgreSQL"]),
        (1, blocks(damaged), [&tar(1), "isn't an incremental file of PostgreSQL"]),
        (1, blocks(good[..9].to_vec()), [&tar(1), "has 9 bytes instead of"]),
        (0, blocks(good.clone()), [&tar(0), "a name that occurs twice"]),
        (1, (CHANGED, Some(Entry::file("x"))), [&tar(1), "a name that occurs twice"]),
        (2, (CHANGED, Some(Entry::file("x"))), [&tar(2), "a name that occurs twice"]),
        (
            2,
            ("global/INCREMENTAL.pg_control", Some(Entry::file(good))),
            [&tar(2), "blocks of a file that isn't a relation's"],
        ),
    ] {
        let mut member = chain.members[index].trees[0].clone();
        member.remove(name);
        if let Some(entry) = entry {
            member.insert(name, entry);
        }
        chain.store(index, &member, &chain.members[index].trees[1]).await?;
        expect_refusal(&chain, ErrorKind::Damaged, &told).await?;
        let [data, space] = &chain.members[index].trees;
        chain.store(index, data, space).await?;
    }
    Ok(())
}

pub(crate) async fn a_damaged_tar_of_a_parent_is_named_and_leaves_nothing(subject: Subject) -> Result<()> {
    let chain = Chain::take(subject).await?;
    for index in [0, 1] {
        for space in ["", ".16400"] {
            let object = format!("pg_basebackup_{}{space}.tar.zst", chain.records[index].key);
            let stored = chain.site.subject.get(&object).await?;
            let mut damaged = stored.to_vec();
            let middle = damaged.len() / 2;
            damaged[middle] ^= 1;
            chain.site.subject.put(&object, damaged).await?;
            expect_refusal(&chain, ErrorKind::Damaged, &[&object]).await?;
            chain.site.subject.put(&object, stored).await?;
        }
    }
    Ok(())
}

/// Its blocks would be taken for complete files.
pub(crate) async fn an_incremental_backup_with_the_record_of_a_full_one_is_refused(
    subject: Subject,
) -> Result<()> {
    let chain = Chain::take(subject).await?;
    let record = format!("pg_basebackup_{}.json", chain.records[2].key);
    rewrite_record(&chain.site, &record, |backup| backup["kind"] = "full".into()).await?;
    expect_refusal(&chain, ErrorKind::Damaged, &["its backup_label that of an incremental one"]).await
}

/// Expects that the newest backup isn't restored, for a reason with these words, and that nothing is left of it.
async fn expect_refusal(chain: &Chain, kind: ErrorKind, told: &[&str]) -> Result<()> {
    let (directory, space) = (chain.site.subject.new_path("pgdata"), chain.site.subject.new_path("space"));
    let options: RestoreOptions = into_space(&space);
    let choice = BackupChoice::Key(chain.records[2].key);
    let error = refused(chain.site.restore_into(choice, &directory, &options).await);
    assert_eq!(error.kind(), kind, "{error}");
    for told in told {
        assert!(error.to_string().contains(told), "it doesn't say {told}: {error}");
    }
    assert!(!directory.exists() && !space.exists(), "{error}");
    Ok(())
}
