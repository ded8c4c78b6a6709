//! Scenarios of prune.

use std::num::NonZeroU32;

use anyhow::{Context, Result};
use object_store::{ObjectStoreExt, path::Path};
use swiftwal_compression::Format;
use swiftwal_core::{
    ArchiveOptions, BackupRecord, Error, ErrorKind, PrunePlan, PrunePolicy, plan_archive_cleanup,
    plan_discard, plan_prune, prune,
};
use swiftwal_postgres::WalName;

use super::site::{Site, refused};
use crate::{
    SyntheticCluster,
    faulty::{Call, Faults, LISTING, SWEEP},
    subject::Subject,
};

pub(super) async fn plan(site: &Site, keep_backups: u32, keep_wals: u32) -> Result<PrunePlan, Error> {
    let keep_backups = NonZeroU32::new(keep_backups).unwrap_or(NonZeroU32::MIN);
    plan_prune(&site.repository, &PrunePolicy { keep_wals, ..PrunePolicy::newest(keep_backups) }).await
}

/// Plans and prunes, and checks that exactly the plan was carried out.
pub(super) async fn prune_to(site: &Site, keep_backups: u32, keep_wals: u32) -> Result<PrunePlan> {
    let plan = plan(site, keep_backups, keep_wals).await?;
    prune(&site.repository, &plan).await?;
    assert_eq!(site.listed().await?, plan.keep_backups);
    let kept: Vec<_> = plan.keep_wal.iter().map(|wal| wal.name.to_string()).collect();
    assert_eq!(site.listed_wal().await?, kept);
    Ok(plan)
}

pub(crate) async fn the_newest_backups_stay_with_the_wal_from_their_start_on(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(1..=10).await?;
    let mut records = Vec::new();
    for start in [2, 5, 8] {
        records.push(site.back_up(start, start + 1).await?);
    }
    let plan = prune_to(&site, 2, 0).await?;
    assert_eq!(plan.remove_backups, [records[0].key]);
    assert_eq!(site.listed_wal().await?, names(&site.cluster, 5..=10));
    let gone = records[0].key.to_string();
    assert!(!site.subject.objects().await?.iter().any(|object| object.contains(&gone)));
    site.assert_restorable(&records[1], &site.cluster.backup(5, 6)).await?;
    site.assert_restorable(&records[2], &site.cluster.backup(8, 9)).await
}

pub(crate) async fn a_plan_alone_changes_nothing(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(1..=10).await?;
    site.back_up(2, 3).await?;
    site.back_up(8, 9).await?;
    let before = site.subject.objects().await?;
    let plan = plan(&site, 1, 0).await?;
    assert_eq!((plan.remove_backups.len(), plan.remove_wal.len()), (1, 7));
    assert_eq!(site.subject.objects().await?, before);
    Ok(())
}

pub(crate) async fn to_keep_more_backups_than_there_are_removes_none(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.back_up(2, 3).await?;
    site.back_up(8, 9).await?;
    let before = site.subject.objects().await?;
    prune_to(&site, 5, 0).await?;
    assert_eq!(site.subject.objects().await?, before);
    Ok(())
}

pub(crate) async fn where_there_is_no_backup_no_wal_is_pruned_but_leftovers_are_swept(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(1..=5).await?;
    let leftover = Path::from("pg_basebackup_20130828T1810Z.tar.zst");
    let store = site.repository.storage().store();
    store.put(&leftover, "of a backup that was never committed".into()).await?;
    let before = site.subject.objects().await?;
    for leftovers in [0, 1] {
        let plan = plan(&site, 1, 0).await?;
        assert!(matches!(plan.refused, Some(swiftwal_core::Refusal::NoBackup { .. })), "{plan:?}");
        assert_eq!((plan.remove_wal.len(), plan.keep_wal.len(), plan.leftovers.len()), (0, 5, leftovers));
        assert_eq!(site.subject.objects().await?, before);
        prune(&site.repository, &plan).await?;
        site.wait_hours(25);
    }
    assert!(!site.subject.objects().await?.contains(leftover.as_ref()));
    assert_eq!(site.listed_wal().await?, names(&site.cluster, 1..=5));
    Ok(())
}

pub(crate) async fn the_newest_segments_stay_as_many_as_asked(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(1..=10).await?;
    site.back_up(8, 9).await?;
    for (keep_wals, first_kept) in [(100, 1), (10, 1), (6, 5), (3, 8), (1, 8), (0, 8)] {
        prune_to(&site, 1, keep_wals).await?;
        assert_eq!(site.listed_wal().await?, names(&site.cluster, first_kept..=10), "{keep_wals}");
    }
    Ok(())
}

pub(crate) async fn histories_stay_and_the_rest_follows_its_segment(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let second = site.cluster.promoted();
    let (history, text) = second.history(&[(site.cluster.timeline(), 2)]);
    site.archive_as(history, text.as_bytes()).await?;
    for number in [3, 8] {
        let (backup, label) = second.backup_history(number);
        site.archive_as(backup, label.as_bytes()).await?;
        site.archive_as(WalName::Partial(second.segment_name(number)), &second.segment(number)).await?;
    }
    // Different content under the same name.
    for number in [3, 8] {
        site.archive_as(second.backup_history(number).0, b"another").await?;
        site.archive_as(WalName::Partial(second.segment_name(number)), &vec![0; 1 << 20]).await?;
    }
    site.archive_of(&second, 3..=9).await?;
    site.back_up_of(&second, 8, 8).await?;
    prune_to(&site, 1, 0).await?;
    assert_eq!(
        site.listed_wal().await?,
        [
            "00000002.history",
            "000000020000000000000008",
            "000000020000000000000008.00000028.backup",
            "000000020000000000000008.00000028.backup",
            "000000020000000000000008.partial",
            "000000020000000000000008.partial",
            "000000020000000000000009",
        ]
    );
    Ok(())
}

/// A fork in the middle: timeline 2 branched off timeline 1 at segment 5, timeline 3 branched off timeline 1 at segment
/// 7.
pub(crate) async fn along_the_timelines_everything_stays_that_recovery_can_come_to(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    let first = site.cluster.clone();
    let (second, third) = (first.promoted(), first.promoted().promoted());
    for (cluster, fork) in [(&second, 5), (&third, 7)] {
        let (history, text) = cluster.history(&[(first.timeline(), fork)]);
        site.archive_as(history, text.as_bytes()).await?;
    }
    site.archive(1..=9).await?;
    site.archive_of(&second, 5..=9).await?;
    site.archive_of(&third, 7..=12).await?;
    let on_first = site.back_up(3, 4).await?;
    let on_third = site.back_up_of(&third, 10, 10).await?;
    let histories = ["00000002.history", "00000003.history"].map(str::to_owned);

    prune_to(&site, 2, 0).await?;
    let all =
        [names(&first, 3..=9), names(&second, 5..=9), names(&third, 7..=12), histories.to_vec()].concat();
    assert_eq!(
        sorted(site.listed_wal().await?),
        sorted(all),
        "from the old backup every branch can be reached"
    );

    prune_to(&site, 1, 0).await?;
    let one_branch = [histories.to_vec(), names(&third, 10..=12)].concat();
    assert_eq!(sorted(site.listed_wal().await?), sorted(one_branch));
    assert_eq!(site.listed().await?, [on_third.key]);
    assert!(on_first.key < on_third.key);
    Ok(())
}

/// After a recovery to a point before every newer backup, only an old backup leads to the timeline in use.
pub(crate) async fn a_backup_that_leads_to_the_newest_timeline_stays(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let second = site.cluster.promoted();
    let shared = site.back_up(2, 3).await?;
    let abandoned = [site.back_up(7, 8).await?, site.back_up(9, 10).await?];
    let (history, text) = second.history(&[(site.cluster.timeline(), 5)]);
    site.archive_as(history, text.as_bytes()).await?;
    site.archive_of(&second, 5..=6).await?;
    let plan = prune_to(&site, 1, 0).await?;
    assert_eq!(plan.keep_backups, [shared.key, abandoned[1].key]);
    assert!(plan.notices.iter().any(|notice| notice.contains(&shared.key.to_string())), "{:?}", plan.notices);
    assert!(site.listed_wal().await?.contains(&second.segment_name(5).to_string()));

    let promoted = site.back_up_of(&second, 7, 7).await?;
    // The abandoned branch also counts as a branch.
    assert_eq!(prune_to(&site, 1, 0).await?.keep_backups, [abandoned[1].key, promoted.key]);
    Ok(())
}

pub(crate) async fn every_compression_of_a_segment_goes(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    for (format, number) in Format::ALL.into_iter().zip(1..) {
        let options = ArchiveOptions { codec: format.into(), force: false };
        site.archive_with(site.cluster.wal_name(number), &site.cluster.segment(number), &options).await?;
    }
    let twice = site.subject.get("wal_000000010000000000000001.zst").await?;
    site.subject.put("wal_000000010000000000000001.gz", twice).await?;
    site.back_up(8, 8).await?;
    let plan = prune_to(&site, 1, 0).await?;
    assert_eq!(plan.remove_wal.len(), 5);
    assert_eq!(site.listed_wal().await?, names(&site.cluster, 8..=8));
    Ok(())
}

pub(crate) async fn a_kept_backup_that_is_not_whole_stops_everything(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.back_up(2, 3).await?;
    let kept = site.back_up(8, 9).await?;
    let record = format!("pg_basebackup_{}.json", kept.key);
    let tar = format!("pg_basebackup_{}.tar.zst", kept.key);
    let (whole_record, whole_tar) = (site.subject.get(&record).await?, site.subject.get(&tar).await?);
    let newer = String::from_utf8(whole_record.to_vec())?.replacen("\"format\":1", "\"format\":2", 1);
    let flipped = String::from_utf8(whole_record.to_vec())?.replacen("conformance", "conformanse", 1);
    for (object, damage) in [
        (&record, newer.into_bytes()),
        (&record, flipped.into_bytes()),
        (&record, Vec::new()),
        (&record, whole_record[..whole_record.len() / 2].to_vec()),
        (&tar, whole_tar[..whole_tar.len() / 2].to_vec()),
    ] {
        site.subject.put(object, damage).await?;
        assert_refused_naming(&site, object).await?;
        site.subject.put(&record, whole_record.clone()).await?;
        site.subject.put(&tar, whole_tar.clone()).await?;
    }
    site.subject.delete(&tar).await?;
    assert_refused_naming(&site, &tar).await
}

async fn assert_refused_naming(site: &Site, object: &str) -> Result<()> {
    let before = site.subject.objects().await?;
    let error = refused(plan(site, 1, 0).await);
    assert!(matches!(error.kind(), ErrorKind::Refused | ErrorKind::Damaged), "{error}");
    assert!(error.to_string().contains(object), "{object} isn't named: {error}");
    assert_eq!(site.subject.objects().await?, before);
    Ok(())
}

/// Without the older one, no backup could be restored.
pub(crate) async fn a_kept_backup_without_its_wal_stops_everything(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.back_up(2, 3).await?;
    let kept = site.back_up(7, 9).await?;
    let object = "wal_000000010000000000000008.zst";
    let whole = site.subject.get(object).await?;
    site.subject.delete(object).await?;
    let error = refused(plan(&site, 1, 0).await);
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    for named in [kept.key.to_string().as_str(), "000000010000000000000008", "archive-wal"] {
        assert!(super::site::shown(&error).contains(named), "{named} isn't named: {error}");
    }
    site.subject.put("wal_000000010000000000000008.gz", whole).await?;
    assert_eq!(prune_to(&site, 1, 0).await?.keep_backups, [kept.key]);
    Ok(())
}

pub(crate) async fn the_wal_of_a_kept_backup_may_be_inside_it(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let kept = site.take_with_wal(&site.cluster.backup(3, 4)).await?;
    assert_eq!(prune_to(&site, 1, 0).await?.keep_backups, [kept.key]);
    Ok(())
}

pub(crate) async fn what_a_listing_does_not_show_yet_is_there_all_the_same(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(1..=6).await?;
    let older = site.back_up(2, 3).await?;
    let newer = site.back_up(8, 9).await?;
    for hidden in [
        format!("pg_basebackup_{}.json", newer.key),
        format!("pg_basebackup_{}.tar.zst", newer.key),
        "wal_000000010000000000000008.zst".to_owned(),
    ] {
        let repository = site.subject.repository_with(&Faults::hiding(&hidden))?;
        let policy = PrunePolicy::newest(NonZeroU32::MIN);
        let plan = plan_prune(&repository, &policy).await.with_context(|| hidden.clone())?;
        assert_eq!((&plan.keep_backups[..], &plan.remove_backups[..]), (&[newer.key][..], &[older.key][..]));
        assert!(plan.leftovers.is_empty(), "{hidden}: {:?}", plan.leftovers);
        assert_eq!(plan.remove_wal.len(), 6, "{hidden}");
    }
    Ok(())
}

pub(crate) async fn a_commit_record_goes_before_what_it_names(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let doomed = [site.back_up(2, 3).await?, site.back_up(5, 6).await?];
    site.back_up(8, 9).await?;
    let calls = Faults::none();
    prune(&site.subject.repository_with(&calls)?, &plan(&site, 1, 0).await?).await?;
    let calls = calls.writes();
    for record in doomed {
        let of_this = |call: &&Call| call.action == "delete" && call.object.contains(&record.key.to_string());
        let first = calls.iter().find(of_this).context("it wasn't deleted")?;
        let commit = Call { action: "delete", object: format!("pg_basebackup_{}.json", record.key) };
        assert_eq!(*first, commit);
        assert!(calls.iter().filter(of_this).count() > record.objects.len());
    }
    Ok(())
}

pub(crate) async fn the_parents_of_a_kept_incremental_stay(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let mut keys = Vec::new();
    for start in [2, 4, 6, 8] {
        keys.push(site.back_up(start, start).await?.key);
    }
    // The fourth builds on the third, and that on the first.
    for (child, parent) in [(keys[3], keys[2]), (keys[2], keys[0])] {
        make_incremental(&site, &child.to_string(), &parent.to_string()).await?;
    }
    // A chain is as new as its newest member, and counts once.
    assert_eq!(plan(&site, 2, 0).await?.keep_backups, keys);
    let plan = prune_to(&site, 1, 0).await?;
    assert_eq!(plan.keep_backups, [keys[0], keys[2], keys[3]]);
    assert_eq!(plan.remove_backups, [keys[1]]);
    Ok(())
}

/// The plans of everything that deletes: each request costs time, and two answers might differ.
pub(crate) async fn nothing_is_asked_for_twice_before_something_is_deleted(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let second = site.cluster.promoted();
    let (history, text) = second.history(&[(site.cluster.timeline(), 5)]);
    site.archive_as(history, text.as_bytes()).await?;
    let mut expected =
        vec!["cluster.json".to_owned(), LISTING.to_owned(), "wal_00000002.history.zst".to_owned()];
    // A listing may lag, so the histories of later timelines are requested.
    expected.extend(["", ".gz", ".lz4", ".zst"].map(|suffix| format!("wal_00000003.history{suffix}")));
    let backups = [site.back_up(2, 3).await?, site.back_up_of(&second, 6, 7).await?];
    expected.extend(backups.each_ref().map(|backup| format!("pg_basebackup_{}.json", backup.key)));
    // So are the objects and the WAL of the backup that is kept.
    let mut proof: Vec<_> = backups[1].objects.iter().map(|object| object.name.clone()).collect();
    proof.extend(names(&second, 6..=7).iter().map(|name| format!("wal_{name}.zst")));
    site.archive_of(&second, 8..=9).await?;
    let policy = PrunePolicy::newest(NonZeroU32::MIN);
    let sweep = site.repository.storage().sweeper().map(|_| SWEEP.to_owned());

    let reads = Faults::none();
    plan_prune(&site.subject.repository_with(&reads)?, &policy).await?;
    let planned = expected.iter().cloned().chain(sweep).chain(proof);
    assert_eq!(sorted(reads.reads()), sorted(planned.collect()));
    let reads = Faults::none();
    plan_archive_cleanup(&site.subject.repository_with(&reads)?, second.wal_name(9), false).await?;
    let asked = expected.iter().filter(|name| !name.contains("00000003"));
    assert_eq!(sorted(reads.reads()), sorted(asked.cloned().collect()));
    let reads = Faults::none();
    refused(plan_discard(&site.subject.repository_with(&reads)?, second.timeline()).await);
    assert_eq!(sorted(reads.reads()), sorted(expected));
    Ok(())
}

/// Rewrites a commit record as that of an incremental backup, since no source creates one yet.
async fn make_incremental(site: &Site, key: &str, parent: &str) -> Result<()> {
    let object = format!("pg_basebackup_{key}.json");
    let mut record: serde_json::Value = serde_json::from_slice(&site.subject.get(&object).await?)?;
    let mut backup = record["backup"].take();
    backup["kind"] = "incremental".into();
    backup["parent"] = parent.into();
    let blake3 = blake3::hash(backup.to_string().as_bytes()).to_hex();
    let text = format!("{{\"format\":1,\"blake3\":\"{blake3}\",\"backup\":{backup}}}");
    site.subject.put(&object, text.into_bytes()).await
}

pub(super) fn names(cluster: &SyntheticCluster, numbers: std::ops::RangeInclusive<u64>) -> Vec<String> {
    numbers.map(|number| cluster.segment_name(number).to_string()).collect()
}

pub(super) fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

/// Returns the names of everything that belongs to a backup.
pub(super) fn objects_of(record: &BackupRecord) -> Vec<String> {
    let commit = format!("pg_basebackup_{}.json", record.key);
    record.objects.iter().map(|object| object.name.clone()).chain([commit]).collect()
}
