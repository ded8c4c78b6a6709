//! Scenarios of the checks before anything is copied.

use std::{
    future::pending,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result};
use swiftwal_core::{BackupEvent, BackupOptions, Clock, ErrorKind, backup};
use swiftwal_postgres::{Archiving, SegmentSize, ServerFacts};

use super::{
    backup::large_cluster,
    site::{Site, options, refused, take},
};
use crate::{SourceFault, SyntheticCluster, subject::Subject};

pub(crate) async fn another_cluster_is_refused_and_nothing_of_it_stays(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(3..=4).await?;
    let before = site.subject.objects().await?;
    let stranger = SyntheticCluster::new(2);
    let rebuilt = site.cluster.clone().with_segment_size(SegmentSize::default());
    for other in [stranger, rebuilt] {
        let error = refused(site.take_with_wal(&other.backup(3, 3)).await);
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        assert_eq!(site.subject.objects().await?, before);
    }
    Ok(())
}

pub(crate) async fn where_there_is_no_room_it_is_said_before_the_copy(subject: Subject) -> Result<()> {
    let site = Site::of(subject, large_cluster())?;
    let options = BackupOptions { include_wal: true, ..options() };
    let record = take(&site.repository, &site.cluster.backup(3, 3), &options).await?;
    let before = site.subject.objects().await?;
    let full = site.subject.repository_with_room(record.objects[0].bytes / 4)?;
    let tar_bytes = record.objects[0].tar_bytes.context("it is a tar")?;
    let source = site.cluster.backup(4, 4).with_estimate(tar_bytes);
    let stalls = source.clone().with_fault(SourceFault::StallsAfter(0));
    for stalls in [stalls.clone(), stalls.that_tells_at_start()] {
        let error = refused(take(&full, &stalls, &options).await);
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        assert!(error.to_string().contains("has no room for this backup"), "{error}");
        assert_eq!(site.subject.objects().await?, before);
    }
    let roomy = site.subject.repository_with_room(record.objects[0].bytes * 2)?;
    take(&roomy, &source, &options).await?;
    Ok(())
}

/// The facts that the synthetic server reports, or another one.
fn facts(cluster: &SyntheticCluster) -> ServerFacts {
    let mut facts = ServerFacts::new(cluster.system_identifier(), cluster.timeline());
    facts.segment_size = Some(cluster.segment_size());
    facts.is_standby = Some(false);
    facts.archiving = Some(Archiving::new("on", "swiftwal archive-wal %p", ""));
    facts
}

pub(crate) async fn another_cluster_and_a_server_that_archives_nothing_are_refused_before_the_copy(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(3..=4).await?;
    let before = site.subject.objects().await?;
    let ours = facts(&site.cluster);
    let with = |archiving| {
        let mut facts = ours.clone();
        facts.archiving = Some(archiving);
        facts
    };
    for (facts, complaint) in [
        (facts(&SyntheticCluster::new(2)), "belongs to the PostgreSQL cluster with system identifier"),
        (with(Archiving::new("off", "(disabled)", "")), "archive_mode"),
        (with(Archiving::new("on", "", "")), "archive_command"),
    ] {
        // The backup, once begun, would never complete.
        let source = site.cluster.backup(3, 4).with_fault(SourceFault::StallsAfter(0)).with_facts(facts);
        let error = refused(site.take(&source).await);
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        assert!(error.to_string().contains(complaint), "{error}");
        assert_eq!(site.subject.objects().await?, before);
    }
    let source = site.cluster.backup(3, 4).with_facts(with(Archiving::new("off", "(disabled)", "")));
    site.take_with_wal(&source).await?;
    Ok(())
}

pub(crate) async fn what_can_not_be_checked_before_the_copy_is_said(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let source = site.cluster.backup(3, 4).at(site.subject.clock().now()).that_tells_nothing();
    let said = Mutex::new(Vec::new());
    let observe = |event: BackupEvent<'_>| {
        if let BackupEvent::Warning(text) = event {
            said.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned());
        }
    };
    let options = BackupOptions { include_wal: true, ..options() };
    backup(&site.repository, &source, &options, &observe, pending()).await?;
    let said = said.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(said.len() == 1 && said[0].contains("couldn't be checked"), "{said:?}");
    Ok(())
}

pub(crate) async fn wal_is_held_while_it_is_copied_and_let_go_afterwards(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let source = site.cluster.backup(3, 4).with_facts(facts(&site.cluster));
    let options = BackupOptions { include_wal: true, ..options() };
    backup(&site.repository, &source, &options, &|_| {}, pending()).await?;
    assert!(source.held_wal_while_sending());
    assert!(!source.holds_wal());
    Ok(())
}
