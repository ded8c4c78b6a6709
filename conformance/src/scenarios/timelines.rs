//! Scenarios with several timelines in one repository: a copy that was started for a test and archived, or a recovery
//! to a point in time. Only a person can decide which data is the newest then.

use std::sync::Mutex;

use anyhow::Result;
use jiff::SignedDuration;
use swiftwal_core::{
    BackupChoice, Branch, Clock, ErrorKind, RecoveryTarget, RestoreEvent, RestoreOptions, TargetTimeline,
    label, restore, timelines,
};

use super::{
    prune::prune_to,
    site::{Site, refused, restore_options},
    stray::{Stray, on, restore_choice, restore_latest, store_history},
};
use crate::{faulty::Faults, subject::Subject};

/// Checks that the restore asks for a choice, with each of these texts, and writes nothing.
async fn assert_asked(site: &Site, choice: BackupChoice, options: &RestoreOptions, told: &[String]) {
    let directory = site.subject.new_path("pgdata");
    let error = refused(site.restore_into(choice, &directory, options).await);
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    for told in told {
        assert!(super::site::shown(&error).contains(told.as_str()), "{told} isn't in: {error}");
    }
    assert!(!directory.exists());
}

fn texts<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}

pub(crate) async fn a_stray_timeline_is_a_question_before_anything_is_copied(subject: Subject) -> Result<()> {
    let stray = Stray::new(subject).await?;
    let [first, second, third] = stray.keys();
    let branches = [
        third.to_string(),
        "timeline 1".to_owned(),
        "00000001000000000000000A".to_owned(),
        "--target-timeline 1".to_owned(),
        "timeline 2, branched off timeline 1 at 0/500000".to_owned(),
        "000000020000000000000005".to_owned(),
        "--target-timeline 2".to_owned(),
        "timeline discard".to_owned(),
    ];
    let latest = BackupChoice::Latest;
    for options in [restore_options(), on(TargetTimeline::Latest)] {
        assert_asked(&stray.site, latest, &options, &branches).await;
        for key in [first, second, third] {
            assert_asked(&stray.site, BackupChoice::Key(key), &options, &branches[1..]).await;
        }
    }
    let target = RecoveryTarget::Lsn(stray.site.cluster.lsn(8, 0));
    let options = RestoreOptions { target: Some(target), ..restore_options() };
    assert_asked(&stray.site, latest, &options, &[second.to_string(), "--target-timeline 1".to_owned()])
        .await;
    Ok(())
}

pub(crate) async fn the_branch_that_was_chosen_is_the_one_in_the_settings(subject: Subject) -> Result<()> {
    let stray = Stray::new(subject).await?;
    let [first, second, third] = stray.keys();
    let (one, two) = (stray.site.cluster.timeline(), stray.copy.timeline());
    for (options, expected) in [
        (on(TargetTimeline::Id(one)), (third, "1")),
        (on(TargetTimeline::Id(two)), (first, "2")),
        (on(TargetTimeline::Current), (third, "current")),
    ] {
        let (key, timeline) = restore_latest(&stray.site, &options).await?;
        assert_eq!((key, timeline.as_str()), expected);
    }
    let current = on(TargetTimeline::Current);
    let (key, timeline) = restore_choice(&stray.site, BackupChoice::Key(second), &current).await?;
    assert_eq!((key, timeline.as_str()), (second, "current"));
    Ok(())
}

/// The stray timeline branched off after the newest backup, so that backup leads to it, but production's WAL is on
/// another timeline.
pub(crate) async fn wal_that_was_stored_later_on_another_branch_is_a_question(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    let copy = site.cluster.promoted();
    let backup = site.back_up(3, 4).await?;
    site.archive(5..=5).await?;
    store_history(&site, &copy, 6).await?;
    site.archive_of(&copy, 6..=6).await?;
    let (key, _) = restore_latest(&site, &restore_options()).await?;
    assert_eq!(key, backup.key, "nothing lies elsewhere yet");
    site.wait_hours(1);
    site.archive(6..=8).await?;
    let told = texts(["000000010000000000000008", "--target-timeline 1", "--target-timeline 2"]);
    assert_asked(&site, BackupChoice::Latest, &restore_options(), &told).await;
    assert_asked(&site, BackupChoice::Key(backup.key), &restore_options(), &told).await;

    // WAL that the old server left before it was replaced isn't a reason to ask.
    site.wait_hours(1);
    site.archive_of(&copy, 7..=7).await?;
    assert_eq!(restore_latest(&site, &restore_options()).await?.0, backup.key);
    Ok(())
}

/// A target that recovery reaches before it runs out of WAL is on the followed timeline, wherever the newer WAL is.
pub(crate) async fn newer_wal_on_another_branch_matters_only_to_a_target_beyond_that_on_this_one(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    let copy = site.cluster.promoted();
    let backup = site.back_up(3, 4).await?;
    store_history(&site, &copy, 6).await?;
    site.archive_of(&copy, 6..=6).await?;
    let last_stored = site.subject.clock().now();
    site.wait_hours(2);
    site.archive(6..=8).await?;
    let hour = SignedDuration::from_hours(1);
    let (before_the_end, end) = (site.cluster.lsn(6, 0x10), site.cluster.lsn(7, 0));
    for (target, is_asked) in [
        (RecoveryTarget::Lsn(before_the_end), false),
        (RecoveryTarget::Lsn(end), true),
        (RecoveryTarget::Time(last_stored - hour), false),
        (RecoveryTarget::Time(last_stored + hour), true),
        (RecoveryTarget::Immediate, false),
        (RecoveryTarget::Xid(7), true),
    ] {
        let options = RestoreOptions { target: Some(target), ..restore_options() };
        if is_asked {
            let told = texts(["--target-timeline 1", "--target-timeline 2"]);
            assert_asked(&site, BackupChoice::Latest, &options, &told).await;
        } else {
            assert_eq!(restore_latest(&site, &options).await?.0, backup.key, "{options:?}");
        }
    }
    Ok(())
}

/// The only backup was taken on timeline 1 after timeline 2 had branched off.
pub(crate) async fn a_branch_that_no_backup_leads_to_is_shown_as_such(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let copy = site.cluster.promoted();
    site.back_up(7, 8).await?;
    store_history(&site, &copy, 5).await?;
    site.archive_of(&copy, 5..=5).await?;
    let told = texts(["--target-timeline 1", "no backup leads there"]);
    assert_asked(&site, BackupChoice::Latest, &restore_options(), &told).await;
    Ok(())
}

/// In a copied repository, all objects were stored at the same time. PostgreSQL would end where timeline 2 begins.
pub(crate) async fn a_timeline_with_only_a_history_is_a_question_beside_wal_of_the_same_time(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    let copy = site.cluster.promoted();
    let backup = site.take_with_wal(&site.cluster.backup(3, 4)).await?;
    site.archive(3..=5).await?;
    store_history(&site, &copy, 6).await?;
    assert_eq!(restore_latest(&site, &restore_options()).await?.0, backup.key, "nothing lies elsewhere");
    site.archive(6..=8).await?;
    let told = texts(["as late as", "--target-timeline 1", "--target-timeline 2"]);
    assert_asked(&site, BackupChoice::Latest, &restore_options(), &told).await;
    assert_asked(&site, BackupChoice::Key(backup.key), &restore_options(), &told).await;

    // A timeline with WAL of its own is in use.
    site.archive_of(&copy, 6..=6).await?;
    assert_eq!(restore_latest(&site, &restore_options()).await?.0, backup.key);
    Ok(())
}

/// The copy even took a backup, from a timer that was copied as well.
pub(crate) async fn a_backup_that_was_taken_later_on_another_branch_is_a_question(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    let copy = site.cluster.promoted();
    site.back_up(3, 4).await?;
    store_history(&site, &copy, 5).await?;
    let of_copy = site.back_up_of(&copy, 5, 6).await?;
    let newest = site.back_up(7, 8).await?;
    let told = texts(["--target-timeline 1", "--target-timeline 2"]);
    let told = [told, vec![newest.key.to_string(), of_copy.key.to_string()]].concat();
    for options in [restore_options(), on(TargetTimeline::Current)] {
        assert_asked(&site, BackupChoice::Latest, &options, &told).await;
    }
    assert_eq!(restore_latest(&site, &on(TargetTimeline::Id(copy.timeline()))).await?.0, of_copy.key);
    assert_eq!(restore_latest(&site, &on(TargetTimeline::Id(site.cluster.timeline()))).await?.0, newest.key);
    Ok(())
}

/// After a recovery to a point in time, the abandoned timeline stays until prune may remove it.
pub(crate) async fn a_backup_on_an_abandoned_branch_is_no_question_if_a_later_one_is_followed(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    let recovered = site.cluster.promoted();
    let first = site.back_up(3, 4).await?;
    site.back_up(7, 8).await?;
    store_history(&site, &recovered, 5).await?;
    let newest = site.back_up_of(&recovered, 9, 10).await?;
    for (choice, key) in [(BackupChoice::Key(first.key), first.key), (BackupChoice::Latest, newest.key)] {
        assert_eq!(restore_choice(&site, choice, &restore_options()).await?.0, key);
    }
    Ok(())
}

/// The order is that of timelines and LSNs: a host's clock may be wrong.
pub(crate) async fn the_newest_backup_is_the_one_with_the_latest_lsn_whatever_the_clock_said(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    site.wait_hours(48);
    let older = site.back_up(3, 4).await?;
    site.subject.clock().rewind();
    let newer = site.back_up(6, 7).await?;
    assert!(newer.key < older.key);
    assert_eq!(restore_latest(&site, &restore_options()).await?.0, newer.key);
    assert!(
        label(&site.repository, BackupChoice::Latest).await?.to_string().contains("000000010000000000000006")
    );
    assert_eq!(prune_to(&site, 1, 0).await?.keep_backups, [newer.key]);
    Ok(())
}

pub(crate) async fn a_backup_is_restored_by_its_key_if_listings_fail(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let record = site.back_up(3, 4).await?;
    let repository = site.subject.repository_with(&Faults::at_every_listing())?;
    let choice = BackupChoice::Key(record.key);
    let text = label(&repository, choice).await?.to_string();
    assert!(text.contains("000000010000000000000003"), "{text}");
    for options in [restore_options(), on(TargetTimeline::Current), on(TargetTimeline::Id(record.timeline))] {
        let directory = site.subject.new_path("pgdata");
        let stats = restore(&repository, choice, &directory, &options, &|_| {}).await?;
        assert_eq!(stats.key, record.key);
    }
    let unknown = BackupChoice::Key("20130828T1810Z".parse()?);
    let error = refused(label(&repository, unknown).await);
    assert_eq!(error.kind(), ErrorKind::Absent, "{error}");
    Ok(())
}

pub(crate) async fn restore_reports_the_followed_timeline_and_the_others(subject: Subject) -> Result<()> {
    let stray = Stray::new(subject).await?;
    let (one, two) = (stray.site.cluster.timeline(), stray.copy.timeline());
    for (asked, other) in [(one, two), (two, one)] {
        let told = Mutex::new(Vec::new());
        let observe = |event: RestoreEvent<'_>| {
            if let (RestoreEvent::Timelines { followed, others }, Ok(mut told)) = (event, told.lock()) {
                told.push((followed.map(|branch| branch.timeline), others.to_vec()));
            }
        };
        let directory = stray.site.subject.new_path("pgdata");
        let options = on(TargetTimeline::Id(asked));
        restore(&stray.site.repository, BackupChoice::Latest, &directory, &options, &observe).await?;
        let told = told.into_inner().unwrap_or_default();
        let [(followed, others)] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!(*followed, Some(asked));
        let others: Vec<_> = others.iter().map(|branch| branch.timeline).collect();
        assert_eq!(others, [other]);
    }
    Ok(())
}

pub(crate) async fn every_timeline_is_listed_with_its_newest_backup_and_last_wal(
    subject: Subject,
) -> Result<()> {
    let stray = Stray::new(subject).await?;
    let (site, copy) = (&stray.site, &stray.copy);
    let branches = timelines(&site.repository).await?;
    let [one, two] = &branches[..] else { panic!("{branches:?}") };
    let told = |branch: &Branch| {
        (branch.timeline, branch.parent, branch.branched_off_at, branch.newest_backup, branch.last_wal)
    };
    let last = site.cluster.segment_name(10);
    assert_eq!(told(one), (site.cluster.timeline(), None, None, Some(stray.keys()[2]), Some(last)));
    let first = Some(site.cluster.timeline());
    let (fork, last) = (Some(copy.lsn(5, 0)), Some(copy.segment_name(5)));
    assert_eq!(told(two), (copy.timeline(), first, fork, None, last));
    assert!(two.last_wal_stored < one.last_wal_stored);
    Ok(())
}
