//! Scenarios of backup.

use std::{
    collections::BTreeSet,
    future::pending,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result, ensure};
use futures::future::join_all;
use serde_json::Value;
use swiftwal_compression::{Codec, Format};
use swiftwal_core::{
    BackupChoice, BackupEvent, BackupKey, BackupOptions, BackupRecord, Clock, Error, ErrorKind, Limits,
    Refusal, Repository, backup, label,
};
use swiftwal_postgres::SourceErrorKind;
use tokio::sync::mpsc;

use super::{
    site::{Site, options, refused, request, take},
    unknown::rewrite_record,
};
use crate::{
    SourceFault, SyntheticCluster, SyntheticSource,
    faulty::{Call, Faults},
    subject::Subject,
};

pub(crate) async fn the_record_tells_what_was_backed_up(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let source = site.cluster.backup(3, 4);
    site.archive(3..=4).await?;
    let record = site.take(&source).await?;
    assert_eq!(record.key, BackupKey::to_the_minute(site.subject.clock().now()));
    assert_eq!(record.label, options().label);
    assert_eq!(record.system_identifier, site.cluster.system_identifier());
    assert_eq!(record.postgres_version, "15");
    assert_eq!(record.wal_segment_bytes, site.cluster.segment_size());
    assert_eq!(record.timeline, site.cluster.timeline());
    assert_eq!((record.start_lsn, record.stop_lsn), (source.start_lsn(), source.stop_lsn()));
    let needed: Vec<_> = source.needed_wal().collect();
    assert_eq!([record.first_wal, record.last_wal], needed[..]);
    assert!(!record.includes_wal);
    assert_eq!(site.repository.record(record.key).await?, record);
    let objects = site.subject.objects().await?;
    for object in &record.objects {
        assert!(objects.contains(&object.name), "{object:?}");
        assert_eq!(site.subject.get(&object.name).await?.len() as u64, object.bytes, "{object:?}");
    }
    Ok(())
}

pub(crate) async fn a_tar_that_outgrows_the_largest_object_is_stored_as_several(
    subject: Subject,
) -> Result<()> {
    let mut site = Site::of(subject, SyntheticCluster::new(1).with_table_bytes(9 << 20))?;
    let source = site.cluster.backup(3, 3);
    // Each object takes one frame of 4 MiB.
    let limit = |limits| Limits { max_object_bytes: 5 << 20, ..limits };
    site.repository = site.subject.repository_with_limits(limit)?;
    let codec = Codec::from(Format::None);
    let whole = BackupOptions { include_wal: true, codec, ..options() };
    let record = take(&site.repository, &source, &whole).await?;
    let tars: Vec<_> = record.objects.iter().filter(|object| object.tar_bytes.is_some()).collect();
    assert!(tars.len() > 2, "{tars:?}");
    for (number, tar) in (1..).zip(&tars) {
        let piece = if number == 1 { String::new() } else { format!(".{number:04}") };
        assert_eq!(tar.name, format!("pg_basebackup_{}.tar{piece}", record.key));
        assert!(tar.bytes <= 5 << 20, "{tar:?}");
    }
    // Joins the objects as a user would.
    let mut contents = Vec::new();
    for tar in &tars {
        contents.extend_from_slice(&site.subject.get(&tar.name).await?);
    }
    assert_eq!(contents, source.tar(&request(true))?);
    site.assert_restorable(&record, &source).await?;

    // The backup can be restored without its index, but not without one of its objects.
    site.subject.delete(&format!("pg_basebackup_{}.index.zst", record.key)).await?;
    site.assert_restorable(&record, &source).await?;
    site.subject.delete(&tars[1].name).await?;
    let error = refused(site.restore(BackupChoice::Key(record.key)).await);
    assert!(error.to_string().contains(&tars[1].name), "{error}");

    // A record that doesn't name it must not pass for that of a shorter tar.
    let forget = |backup: &mut Value| {
        let objects = backup["objects"].as_array_mut();
        objects.into_iter().for_each(|objects| objects.retain(|object| object["name"] != tars[1].name));
    };
    rewrite_record(&site, &format!("pg_basebackup_{}.json", record.key), forget).await?;
    let error = refused(site.restore(BackupChoice::Key(record.key)).await);
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    assert!(error.to_string().contains("it doesn't name object 2 of a tar"), "{error}");
    Ok(())
}

pub(crate) async fn the_marker_comes_first_and_the_commit_record_last(subject: Subject) -> Result<()> {
    let site = Site::of(subject, large_cluster())?;
    site.archive(3..=4).await?;
    let calls = Faults::none();
    let record = take(&site.subject.repository_with(&calls)?, &site.cluster.backup(3, 4), &options()).await?;
    let calls = calls.writes();
    assert!(calls.iter().filter(|call| call.action == "put_part").count() > 1, "one part proves little");
    let is_marker = |call: &Call| call.object.starts_with(&format!("...uploading/{}/", record.key));
    assert!(is_marker(&calls[0]), "{:?}", calls[0]);
    let commit = Call { action: "put", object: format!("pg_basebackup_{}.json", record.key) };
    let committed = calls.iter().position(|call| *call == commit).context("nothing was committed")?;
    let after: Vec<_> = calls[committed + 1..].iter().collect();
    assert!(after.iter().all(|call| call.action == "delete" && is_marker(call)), "{after:?}");
    Ok(())
}

pub(crate) async fn a_backup_is_not_listed_while_it_is_made(subject: Subject) -> Result<()> {
    let site = Site::of(subject, large_cluster())?;
    let source = site.cluster.backup(3, 4).with_fault(SourceFault::StallsAfter(5 << 20));
    let (sender, mut progress) = mpsc::unbounded_channel();
    let observe = |event: BackupEvent<'_>| {
        if let BackupEvent::Progress { .. } = event {
            let _ = sender.send(());
        }
    };
    let options = options();
    let making = backup(&site.repository, &source, &options, &observe, pending());
    tokio::select! {
        outcome = making => panic!("a stalled backup came to {outcome:?}"),
        stored = progress.recv() => assert!(stored.is_some()),
    }
    assert!(site.listed().await?.is_empty());
    assert!(site.subject.objects().await?.iter().any(|name| name.starts_with("...uploading/")));
    Ok(())
}

/// For example, after Ctrl-C.
pub(crate) async fn a_stopped_backup_leaves_nothing(subject: Subject) -> Result<()> {
    let site = Site::of(subject, large_cluster())?;
    site.archive(1..=1).await?;
    let before = site.subject.everything().await?;
    let source = site.cluster.backup(3, 4);
    let claimed: Sign = |event| matches!(event, BackupEvent::Claimed(_));
    let progress: Sign = |event| matches!(event, BackupEvent::Progress { .. });
    let nearly_all: Sign =
        |event| matches!(event, BackupEvent::Progress { tar_bytes, .. } if tar_bytes >= 8 << 20);
    let waiting: Sign = |event| matches!(event, BackupEvent::WaitingForWal(_));
    for (source, sign) in [
        (source.clone().with_fault(SourceFault::StallsAfter(0)), claimed),
        (source.clone().with_fault(SourceFault::StallsAfter(5 << 20)), progress),
        (source.clone().with_fault(SourceFault::StallsAfter(usize::MAX)), nearly_all),
        (source, waiting),
    ] {
        let (sender, mut far_enough) = mpsc::unbounded_channel();
        let observe = |event: BackupEvent<'_>| {
            if sign(event) {
                let _ = sender.send(());
            }
        };
        let stop = async { assert!(far_enough.recv().await.is_some()) };
        let stopped = refused(backup(&site.repository, &source, &options(), &observe, stop).await);
        assert_eq!(stopped.kind(), ErrorKind::Stopped, "{stopped}");
        assert_eq!(site.subject.everything().await?, before, "{source:?}");
    }
    Ok(())
}

type Sign = fn(BackupEvent<'_>) -> bool;

pub(crate) async fn a_stop_that_comes_too_late_changes_nothing(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let source = site.cluster.backup(3, 3);
    let (sender, mut committing) = mpsc::unbounded_channel();
    let observe = |event: BackupEvent<'_>| {
        if let BackupEvent::Committing = event {
            let _ = sender.send(());
        }
    };
    let stop = async { assert!(committing.recv().await.is_some()) };
    let options = BackupOptions { include_wal: true, ..options() };
    let record = backup(&site.repository, &source, &options, &observe, stop).await?;
    assert_eq!(site.listed().await?, [record.key]);
    site.assert_restorable(&record, &source).await
}

pub(crate) async fn a_failed_source_leaves_nothing(subject: Subject) -> Result<()> {
    let site = Site::of(subject, large_cluster())?;
    site.archive(3..=4).await?;
    let before = site.subject.everything().await?;
    for fault in [
        SourceFault::FailsAfter(0),
        SourceFault::FailsAfter(700),
        SourceFault::FailsAfter(200_000),
        SourceFault::FailsAfter(usize::MAX),
        SourceFault::TruncatedAfter(0),
        SourceFault::TruncatedAfter(512),
        SourceFault::TruncatedAfter(200_000),
        SourceFault::NeverFinishes,
    ] {
        let error = refused(site.take(&site.cluster.backup(3, 4).with_fault(fault)).await);
        assert!(matches!(error.kind(), ErrorKind::Failed | ErrorKind::Damaged), "{fault:?}: {error}");
        assert_eq!(site.subject.everything().await?, before, "{fault:?}");
        if let (swiftwal_core::Error::Source(error), SourceFault::FailsAfter(_)) = (&error, fault) {
            assert_eq!(error.kind(), SourceErrorKind::Failed);
        }
    }
    Ok(())
}

/// Its WAL is on two timelines, so the commit record couldn't name the segments that it needs.
pub(crate) async fn a_backup_of_a_standby_that_is_promoted_meanwhile_is_refused(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    let source = site.cluster.backup(3, 3).with_fault(SourceFault::IsPromoted);
    let error = refused(site.take_with_wal(&source).await);
    assert!(matches!(error, Error::Refused(Refusal::Promoted { .. })), "{error}");
    assert!(super::site::shown(&error).contains("take another backup"), "{error}");
    assert!(site.subject.everything().await?.is_empty());
    Ok(())
}

/// The WAL is at the end of the tar, so the tar can be cut when everything else has been sent.
pub(crate) async fn a_tar_cut_behind_pg_control_is_noticed(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let source = site.cluster.backup(3, 3);
    let whole = source.tar(&request(true))?.len();
    for missing in [1024, 1025, 1024 + 500_000, 1024 + (1 << 20)] {
        let cut = source.clone().with_fault(SourceFault::TruncatedAfter(whole - missing));
        let error = refused(site.take_with_wal(&cut).await);
        assert_eq!(error.kind(), ErrorKind::Damaged, "{missing} bytes missing: {error}");
        assert!(site.subject.objects().await?.is_empty());
    }
    Ok(())
}

pub(crate) async fn backups_in_the_same_minute_get_keys_of_their_own(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let mut records = Vec::new();
    for start in [3, 4, 5] {
        records.push(site.take_with_wal(&site.cluster.backup(start, start)).await?);
    }
    assert_eq!(site.listed().await?, keys(&records), "and in the order of their making");
    for (record, start) in records.iter().zip(3..) {
        site.assert_restorable(record, &site.cluster.backup(start, start)).await?;
    }
    Ok(())
}

pub(crate) async fn backups_at_the_same_time_get_keys_of_their_own(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let sources: Vec<_> = (3..6).map(|start| site.cluster.backup(start, start)).collect();
    let taken = take_at_the_same_time(&site, &site.repository, &sources).await?;
    let distinct: BTreeSet<_> = taken.iter().map(|(record, _)| record.key).collect();
    assert_eq!(distinct.len(), taken.len(), "{distinct:?}");
    assert_eq!(site.listed().await?, Vec::from_iter(distinct));
    Ok(())
}

pub(crate) async fn where_listings_lag_backups_in_the_same_minute_get_keys_of_their_own(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    let sources: Vec<_> = (3..5).map(|start| site.cluster.backup(start, start)).collect();
    let lagging = site.subject.repository_with(&Faults::hiding_markers())?;
    let taken = take_at_the_same_time(&site, &lagging, &sources).await?;
    let distinct: BTreeSet<_> = taken.iter().map(|(record, _)| record.key).collect();
    assert_eq!(distinct.len(), taken.len(), "{distinct:?}");
    Ok(())
}

/// Takes a backup of each source, all at the same time, and asserts that each is restorable. Where two may create one
/// name at the same moment, some may have been abandoned; they are left out.
async fn take_at_the_same_time<'a>(
    site: &Site,
    repository: &Repository,
    sources: &'a [SyntheticSource],
) -> Result<Vec<(BackupRecord, &'a SyntheticSource)>> {
    let options = BackupOptions { include_wal: true, ..options() };
    let outcomes = join_all(sources.iter().map(|source| take(repository, source, &options))).await;
    let may_race = site.subject.harness().racing_creates();
    let mut taken = Vec::new();
    for (outcome, source) in outcomes.into_iter().zip(sources) {
        match outcome {
            Err(error) if may_race && error.to_string().contains("another process is writing backup") => {}
            outcome => taken.push((outcome?, source)),
        }
    }
    ensure!(!taken.is_empty(), "every backup was abandoned");
    for (record, source) in &taken {
        site.assert_restorable(record, source).await?;
    }
    Ok(taken)
}

pub(crate) async fn the_label_is_shown_and_kept(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let source = site.cluster.backup(3, 3);
    let shown = Mutex::new(None);
    let observe = |event: BackupEvent<'_>| {
        if let BackupEvent::Label(label) = event {
            shown.lock().unwrap_or_else(PoisonError::into_inner).replace(label.to_string());
        }
    };
    let options = BackupOptions { include_wal: true, ..options() };
    let record = backup(&site.repository, &source, &options, &observe, pending()).await?;
    let expected = source.label(&request(true));
    assert_eq!(shown.into_inner().unwrap_or_else(PoisonError::into_inner), Some(expected.clone()));
    assert_eq!(label(&site.repository, BackupChoice::Key(record.key)).await?.to_string(), expected);
    assert_eq!(label(&site.repository, BackupChoice::Latest).await?.to_string(), expected);
    let stored = site.subject.get(&format!("backup_label_{}.txt", record.key)).await?;
    assert_eq!(stored, expected, "as text, for people");
    Ok(())
}

fn keys(records: &[BackupRecord]) -> Vec<BackupKey> {
    records.iter().map(|record| record.key).collect()
}

/// A site whose backups have several frames, and so several parts.
pub(super) fn large_cluster() -> SyntheticCluster {
    SyntheticCluster::new(1).with_table_bytes(9 << 20)
}
