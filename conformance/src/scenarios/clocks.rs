//! Scenarios with one wrong clock: that of swiftwal's machine, of the storage or of PostgreSQL.

use std::{
    future::pending,
    sync::{Mutex, PoisonError},
};

use anyhow::Result;
use jiff::SignedDuration;
use swiftwal_core::{BackupChoice, BackupEvent, Clock, RecoveryTarget, RestoreOptions, backup};

use super::{
    prune::{plan, prune_to},
    site::{Site, options, restore_options},
};
use crate::{SourceFault, SyntheticSource, subject::Subject};

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// A backup that begins in this segment, on a server whose clock is right.
fn backup_of_now(site: &Site, start: u64) -> SyntheticSource {
    site.cluster.backup(start, start + 1).at(site.subject.clock().now())
}

pub(crate) async fn a_backup_has_the_times_of_the_server(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    for ahead in [SignedDuration::ZERO, -MINUTE * 10, HOUR * 48] {
        site.subject.set_machine_ahead(ahead);
        site.wait_hours(1);
        let now = site.subject.clock().now();
        let record = site.take_with_wal(&backup_of_now(&site, 3)).await?;
        assert_eq!(record.started.as_second(), now.as_second());
        // The duration of the scenario, and a second that the label cuts off.
        assert!((now..now + HOUR).contains(&record.finished), "{} at {now}", record.finished);
    }
    Ok(())
}

pub(crate) async fn with_a_slow_clock_no_backup_that_ended_after_the_target_is_taken(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(3..=7).await?;
    let first = site.take(&backup_of_now(&site, 3)).await?;
    site.wait_hours(1);
    site.subject.set_machine_ahead(-MINUTE * 10);
    site.take(&backup_of_now(&site, 6)).await?;
    let target = RecoveryTarget::Time(site.subject.clock().now() - MINUTE * 5);
    let options = RestoreOptions { target: Some(target), ..restore_options() };
    let directory = site.subject.new_path("pgdata");
    let restored = site.restore_into(BackupChoice::Latest, &directory, &options).await?;
    assert_eq!(restored.key, first.key);
    Ok(())
}

pub(crate) async fn with_a_clock_a_day_slow_the_newest_backup_is_still_the_newest(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    let first = site.back_up(3, 4).await?;
    site.subject.set_machine_ahead(-HOUR * 26);
    let second = site.back_up(6, 7).await?;
    site.subject.set_machine_ahead(SignedDuration::ZERO);
    assert!(first.key < second.key, "{} and {}", first.key, second.key);
    let pruned = prune_to(&site, 1, 0).await?;
    assert_eq!(pruned.keep_backups, [second.key]);
    Ok(())
}

pub(crate) async fn with_a_clock_two_days_fast_no_live_backup_is_taken_for_dead(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    site.back_up(8, 9).await?;
    let source = site.cluster.backup(5, 6).with_fault(SourceFault::StallsAfter(200_000));
    let plan = site
        .during_backup(&source, |event| matches!(event, BackupEvent::Label(_)), async {
            site.subject.set_machine_ahead(HOUR * 48);
            plan(&site, 1, 0).await
        })
        .await?;
    assert!(plan.leftovers.is_empty(), "{:?}", plan.leftovers);
    assert!(plan.notices.iter().any(|notice| notice.contains("48 h apart")), "{:?}", plan.notices);
    Ok(())
}

pub(crate) async fn a_clock_that_differs_is_told_of_with_both_times(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let options = swiftwal_core::BackupOptions { include_wal: true, ..options() };
    let now = site.subject.clock().now();
    for (machine_ahead, server_ahead, expected) in [
        (SignedDuration::ZERO, SignedDuration::ZERO, None),
        (
            -MINUTE * 10,
            SignedDuration::ZERO,
            Some("clocks of this machine and of the storage are 10 min apart"),
        ),
        (SignedDuration::ZERO, HOUR * 3, Some("clocks of PostgreSQL and of the storage are 3 h apart")),
    ] {
        site.subject.set_machine_ahead(machine_ahead);
        let warnings = Mutex::new(Vec::new());
        let observe = |event: BackupEvent<'_>| {
            if let BackupEvent::Warning(text) = event {
                warnings.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned());
            }
        };
        let source = site.cluster.backup(3, 4).at(now + server_ahead);
        backup(&site.repository, &source, &options, &observe, pending()).await?;
        let warnings = warnings.into_inner().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(warnings.len(), usize::from(expected.is_some()), "{warnings:?}");
        if let Some(expected) = expected {
            let day = now.to_string()[..10].to_owned();
            assert!(warnings[0].contains(expected) && warnings[0].contains(&day), "{warnings:?}");
        }
    }
    Ok(())
}
