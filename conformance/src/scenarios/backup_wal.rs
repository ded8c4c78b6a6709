//! Scenarios of the WAL that a backup needs: it is in the backup, or the backup waits until it is in the repository.

use std::{collections::BTreeSet, future::pending, time::Duration};

use anyhow::Result;
use swiftwal_core::{Archived, BackupEvent, BackupOptions, ErrorKind, backup};
use tokio::sync::mpsc;

use super::site::{Site, options, refused, take};
use crate::{SourceFault, subject::Subject};

pub(crate) async fn while_the_server_waits_for_its_archiver_the_repository_is_its_own(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    let source = site.cluster.backup(3, 3).that_tells_nothing();
    let waiting = source.with_fault(SourceFault::StallsAfter(usize::MAX));
    let options = BackupOptions { archive_timeout: Duration::from_secs(1), ..options() };
    assert_eq!(refused(take(&site.repository, &waiting, &options).await).kind(), ErrorKind::TimedOut);
    assert!(site.subject.objects().await?.contains("cluster.json"));
    Ok(())
}

pub(crate) async fn without_its_wal_a_backup_is_given_up_naming_the_segment(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(3..=3).await?;
    let before = site.subject.objects().await?;
    let hurried = BackupOptions { archive_timeout: Duration::from_millis(200), ..options() };
    for (source, missing) in [
        (site.cluster.backup(3, 5), "000000010000000000000004"),
        (site.cluster.backup(2, 3), "000000010000000000000002"),
    ] {
        let error = refused(take(&site.repository, &source, &hurried).await);
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        assert!(error.to_string().contains(missing), "{error}");
        assert_eq!(site.subject.objects().await?, before);
    }
    Ok(())
}

pub(crate) async fn wal_is_not_waited_for_until_the_parts_are_swept(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let patient = BackupOptions { archive_timeout: Duration::from_hours(7), ..options() };
    let error = refused(take(&site.repository, &site.cluster.backup(3, 4), &patient).await);
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert!(error.to_string().contains("6 hours at most"), "{error}");
    assert!(site.subject.objects().await?.is_empty());
    Ok(())
}

/// PostgreSQL has sent everything and waits for a failing archive_command, for ever.
pub(crate) async fn a_server_that_waits_for_its_archiver_is_not_waited_for(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(3..=3).await?;
    let before = site.subject.objects().await?;
    let source = site.cluster.backup(3, 4).with_fault(SourceFault::StallsAfter(usize::MAX));
    let hurried = BackupOptions { archive_timeout: Duration::from_millis(200), ..options() };
    let error = refused(take(&site.repository, &source, &hurried).await);
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(error.to_string().contains("000000010000000000000004"), "{error}");
    assert_eq!(site.subject.objects().await?, before);
    Ok(())
}

pub(crate) async fn wal_that_is_archived_meanwhile_lets_the_backup_through(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let source = site.cluster.backup(3, 5);
    let (sender, mut waited_for) = mpsc::unbounded_channel();
    let observe = |event: BackupEvent<'_>| {
        if let BackupEvent::WaitingForWal(segment) = event {
            let _ = sender.send(segment);
        }
    };
    let archiver = async {
        let mut archived = BTreeSet::new();
        while let Some(segment) = waited_for.recv().await {
            if archived.insert(segment) {
                let number = u64::from(segment.position().1);
                let stored = site.archive_as(segment, &site.cluster.segment(number)).await?;
                assert!(matches!(stored, Archived::Stored { .. }), "it waited for what was there: {segment}");
            }
        }
        anyhow::Ok(())
    };
    let options = options();
    let record = tokio::select! {
        record = backup(&site.repository, &source, &options, &observe, pending()) => record?,
        archived = archiver => panic!("the archiver came to {archived:?}"),
    };
    assert_eq!(
        site.listed_wal().await?,
        source.needed_wal().map(|name| name.to_string()).collect::<Vec<_>>()
    );
    site.assert_restorable(&record, &source).await
}

pub(crate) async fn with_its_wal_inside_a_backup_waits_for_nothing(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let source = site.cluster.backup(3, 5);
    let record = site.take_with_wal(&source).await?;
    assert!(record.includes_wal);
    assert!(site.listed_wal().await?.is_empty());
    site.assert_restorable(&record, &source).await
}
