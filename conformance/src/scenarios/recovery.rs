//! Scenarios of restore: the recovery settings and targets, and the choice of the backup.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Result;
use jiff::SignedDuration;
use swiftwal_core::{
    BackupChoice, BackupKey, Error, ErrorKind, RecoveryTarget, RestoreEvent, RestoreOptions, TargetAction,
    TargetTimeline, parse_target_time, restore,
};

use super::site::{Site, file_names, refused, restore_options};
use crate::{SyntheticCluster, Version, subject::Subject};

pub(crate) async fn without_a_target_recovery_goes_to_the_end_of_the_wal(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let restored = Restored::with(&site, restore_options()).await?;
    assert_eq!(restored.signals, ["recovery.signal"]);
    // Settings that an earlier restore of the original server may have written are overridden.
    let expected = BTreeMap::from([
        ("recovery_target_action", "pause"),
        ("recovery_target_inclusive", "true"),
        ("recovery_target_timeline", "latest"),
        ("restore_command", "swiftwal restore-wal %f %p"),
    ]);
    assert_eq!(restored.set(), expected);
    Ok(())
}

pub(crate) async fn a_standby_gets_its_signal(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let restored = Restored::with(&site, RestoreOptions { standby: true, ..restore_options() }).await?;
    assert_eq!(restored.signals, ["standby.signal"]);
    Ok(())
}

pub(crate) async fn a_backup_of_a_standby_does_not_come_up_as_one(subject: Subject) -> Result<()> {
    let cluster = SyntheticCluster::new(1).with_file("standby.signal", "").with_file("recovery.signal", "");
    let site = Site::of(subject, cluster)?;
    let restored = Restored::with(&site, restore_options()).await?;
    assert_eq!(restored.signals, ["recovery.signal"]);
    Ok(())
}

pub(crate) async fn up_to_version_11_an_old_recovery_conf_counts_for_nothing(subject: Subject) -> Result<()> {
    let old = "standby_mode = 'on'\nrecovery_target_xid = '7'\n";
    let cluster = SyntheticCluster::new(1).with_version(Version::V11).with_file("recovery.conf", old);
    let site = Site::of(subject, cluster)?;
    let restored = Restored::with(&site, restore_options()).await?;
    assert_eq!(restored.set(), BTreeMap::from([("restore_command", "swiftwal restore-wal %f %p")]));
    Ok(())
}

pub(crate) async fn what_an_earlier_restore_left_in_the_settings_is_taken_back(
    subject: Subject,
) -> Result<()> {
    let old =
        "recovery_target_timeline = '2'\nrecovery_target_action = 'shutdown'\nrecovery_target_lsn = '0/1'\n";
    let site = Site::of(subject, SyntheticCluster::new(1).with_file("postgresql.auto.conf", old))?;
    let restored = Restored::with(&site, restore_options()).await?;
    let set = restored.set();
    assert_eq!([set["recovery_target_timeline"], set["recovery_target_action"]], ["latest", "pause"]);
    assert!(!set.contains_key("recovery_target_lsn"));
    Ok(())
}

/// An empty setting of an earlier restore of a primary would override the one in postgresql.conf.
pub(crate) async fn a_standby_keeps_the_archive_cleanup_command_that_was_set_for_it(
    subject: Subject,
) -> Result<()> {
    const NAME: &str = "archive_cleanup_command";
    let old = "archive_cleanup_command = 'mine'\nwork_mem = '8MB'\narchive_cleanup_command = ''\n\
               recovery_end_command = ''\n";
    let site = Site::of(subject, SyntheticCluster::new(1).with_file("postgresql.auto.conf", old))?;
    let standby = Restored::with(&site, RestoreOptions { standby: true, ..restore_options() }).await?;
    assert_eq!((standby.settings[NAME].as_str(), standby.settings["work_mem"].as_str()), ("mine", "8MB"));
    assert!(!standby.settings.contains_key("recovery_end_command"), "{standby:?}");
    let cleanup = Some("swiftwal archive-cleanup %r".to_owned());
    let options = RestoreOptions { standby: true, archive_cleanup_command: cleanup, ..restore_options() };
    let only = Restored::with(&site, options).await?;
    assert_eq!(only.settings[NAME], "swiftwal archive-cleanup %r");
    let primary = Restored::with(&site, restore_options()).await?;
    assert_eq!(primary.settings[NAME], "");
    Ok(())
}

pub(crate) async fn each_kind_of_target_is_the_only_one_that_is_set(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.take_with_wal(&site.cluster.backup(3, 3)).await?;
    for (target, name, value) in [
        (RecoveryTarget::Xid(12345), "recovery_target_xid", "12345"),
        (RecoveryTarget::Lsn(site.cluster.lsn(9, 0x28)), "recovery_target_lsn", "0/900028"),
        (RecoveryTarget::Name("before the 'fix'".to_owned()), "recovery_target_name", "before the 'fix'"),
        (RecoveryTarget::Immediate, "recovery_target", "immediate"),
    ] {
        let restored =
            Restored::with(&site, RestoreOptions { target: Some(target), ..restore_options() }).await?;
        let how = ["recovery_target_action", "recovery_target_inclusive", "recovery_target_timeline"];
        let is_target = |name: &str| name.starts_with("recovery_target") && !how.contains(&name);
        let targets: Vec<_> = restored.set().into_iter().filter(|(set, _)| is_target(set)).collect();
        assert_eq!(targets, [(name, value)]);
    }
    Ok(())
}

pub(crate) async fn a_time_target_is_the_same_instant_in_the_settings(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.take_with_wal(&site.cluster.backup(3, 3)).await?;
    let time = parse_target_time("2043-08-28 20:10:42.25+02")?;
    let options = RestoreOptions { target: Some(RecoveryTarget::Time(time)), ..restore_options() };
    let restored = Restored::with(&site, options).await?;
    assert_eq!(parse_target_time(restored.set()["recovery_target_time"])?, time);
    Ok(())
}

/// Otherwise recovery would end with an error after hours of copying.
pub(crate) async fn a_target_that_the_stored_wal_does_not_reach_is_told_before_the_copy(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    site.back_up(3, 4).await?;
    let time = parse_target_time("2943-08-28 20:10:42 UTC")?;
    for (target, is_told) in [
        (RecoveryTarget::Lsn(site.cluster.lsn(4, 0x200)), false),
        (RecoveryTarget::Lsn(site.cluster.lsn(9, 0)), true),
        (RecoveryTarget::Time(time), true),
    ] {
        let (sender, events) = std::sync::mpsc::channel();
        let observe = |event: RestoreEvent<'_>| {
            let _ = sender.send(match event {
                RestoreEvent::Notice(notice) | RestoreEvent::Shortfall(notice) => notice.to_owned(),
                RestoreEvent::Progress { .. } => "copying".to_owned(),
                _ => String::new(),
            });
        };
        let options = RestoreOptions { target: Some(target), ..restore_options() };
        let directory = site.subject.new_path("pgdata");
        restore(&site.repository, BackupChoice::Latest, &directory, &options, &observe).await?;
        let before: String = events.try_iter().take_while(|event| event != "copying").collect();
        assert_eq!(before.contains("doesn't reach the target"), is_told, "{before}");
    }
    Ok(())
}

pub(crate) async fn timeline_and_action_are_set_as_asked(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let second = site.cluster.promoted();
    let (history, text) = second.history(&[(site.cluster.timeline(), 9)]);
    site.archive_as(history, text.as_bytes()).await?;
    for (timeline, action, expected) in [
        (TargetTimeline::Current, TargetAction::Pause, ["current", "pause"]),
        (TargetTimeline::Latest, TargetAction::Promote, ["latest", "promote"]),
        (TargetTimeline::Id(second.timeline()), TargetAction::Shutdown, ["2", "shutdown"]),
    ] {
        let options = RestoreOptions {
            target: Some(RecoveryTarget::Immediate),
            target_timeline: Some(timeline),
            target_action: Some(action),
            ..restore_options()
        };
        let restored = Restored::with(&site, options).await?;
        let set = restored.set();
        assert_eq!([set["recovery_target_timeline"], set["recovery_target_action"]], expected);
    }
    Ok(())
}

pub(crate) async fn up_to_version_11_the_settings_are_in_recovery_conf(subject: Subject) -> Result<()> {
    let site = Site::of(subject, SyntheticCluster::new(1).with_version(Version::V11))?;
    let options = RestoreOptions {
        target: Some(RecoveryTarget::Xid(12345)),
        target_action: Some(TargetAction::Promote),
        standby: true,
        ..restore_options()
    };
    let restored = Restored::with(&site, options).await?;
    assert_eq!(restored.signals, ["recovery.conf"]);
    assert_eq!(
        restored.set(),
        BTreeMap::from([
            ("recovery_target_action", "promote"),
            ("recovery_target_xid", "12345"),
            ("restore_command", "swiftwal restore-wal %f %p"),
            ("standby_mode", "on"),
        ])
    );
    Ok(())
}

/// Returns the files that configure the recovery of a restored server.
#[derive(Debug)]
struct Restored {
    signals: Vec<String>,
    settings: BTreeMap<String, String>,
}

impl Restored {
    /// Restores the newest backup. If there is none, it takes one first.
    async fn with(site: &Site, options: RestoreOptions) -> Result<Self> {
        if site.listed().await?.is_empty() {
            site.take_with_wal(&site.cluster.backup(3, 3)).await?;
        }
        let directory = site.subject.new_path("pgdata");
        site.restore_into(BackupChoice::Latest, &directory, &options).await?;
        let is_signal = |name: &String| name.starts_with("recovery") || name.starts_with("standby");
        let signals: Vec<_> = file_names(&directory)?.into_iter().filter(is_signal).collect();
        let before_12 = signals.iter().any(|name| name == "recovery.conf");
        let file = if before_12 { "recovery.conf" } else { "postgresql.auto.conf" };
        Ok(Self { settings: settings(&directory.join(file))?, signals })
    }

    /// Returns the recovery settings that have a value.
    fn set(&self) -> BTreeMap<&str, &str> {
        let set = self.settings.iter().filter(|(name, value)| !value.is_empty() && *name != "work_mem");
        set.map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }
}

/// Returns the settings of a configuration file; PostgreSQL uses the last one of each name.
fn settings(file: &Path) -> Result<BTreeMap<String, String>> {
    let mut settings = BTreeMap::new();
    for line in fs::read_to_string(file)?.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let Some((name, value)) = line.split_once(" = '") else { panic!("it isn't a setting: {line}") };
        let Some(value) = value.strip_suffix('\'') else { panic!("its quote is open: {line}") };
        settings.insert(name.to_owned(), value.replace("''", "'"));
    }
    Ok(settings)
}

pub(crate) async fn latest_takes_the_newest_backup_that_reaches_the_target(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let mut records = Vec::new();
    for start in [3, 6, 9] {
        records.push(site.back_up(start, start + 1).await?);
    }
    let [first, second, third] = &records[..] else { panic!("{records:?}") };
    let minute = SignedDuration::from_mins(1);
    for (target, expected) in [
        (RecoveryTarget::Lsn(site.cluster.lsn(8, 0)), second),
        (RecoveryTarget::Lsn(second.stop_lsn), second),
        (RecoveryTarget::Lsn(site.cluster.lsn(10, 0)), second),
        (RecoveryTarget::Lsn(site.cluster.lsn(20, 0)), third),
        (RecoveryTarget::Time(second.finished), second),
        (RecoveryTarget::Time(second.finished - minute), first),
        (RecoveryTarget::Time(third.finished + minute), third),
        (RecoveryTarget::Xid(1), third),
        (RecoveryTarget::Name("x".to_owned()), third),
        (RecoveryTarget::Immediate, third),
    ] {
        let options = RestoreOptions { target: Some(target.clone()), ..restore_options() };
        let directory = site.subject.new_path("pgdata");
        let stats = site.restore_into(BackupChoice::Latest, &directory, &options).await?;
        assert_eq!(stats.key, expected.key, "{target:?}");
    }
    Ok(())
}

pub(crate) async fn a_target_that_no_backup_reaches_is_refused_before_anything_is_copied(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    let first = site.back_up(3, 4).await?;
    let second = site.back_up(6, 7).await?;
    let minute = SignedDuration::from_mins(1);
    let before = |key| BackupChoice::Key(key);
    for (choice, target, named) in [
        (BackupChoice::Latest, RecoveryTarget::Lsn(site.cluster.lsn(4, 0)), first.key),
        (BackupChoice::Latest, RecoveryTarget::Time(first.finished - minute), first.key),
        (before(second.key), RecoveryTarget::Lsn(site.cluster.lsn(5, 0)), second.key),
        (before(second.key), RecoveryTarget::Time(second.finished - minute), second.key),
    ] {
        let options = RestoreOptions { target: Some(target.clone()), ..restore_options() };
        assert_refused(&site, choice, &options, named).await;
    }
    Ok(())
}

/// A newer version wrote it.
pub(crate) async fn why_the_only_backup_can_not_be_read_is_said_in_full(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let object = format!("pg_basebackup_{}.json", site.back_up(3, 4).await?.key);
    let newer = String::from_utf8(site.subject.get(&object).await?.to_vec())?;
    site.subject.put(&object, newer.replacen("\"format\":1", "\"format\":2", 1)).await?;
    let target = RecoveryTarget::Lsn(site.cluster.lsn(5, 0));
    let options = RestoreOptions { target: Some(target), ..restore_options() };
    let directory = site.subject.new_path("pgdata");
    let error = refused(site.restore_into(BackupChoice::Latest, &directory, &options).await).to_string();
    assert!(error.contains(&object) && error.contains("use a newer swiftwal"), "{error}");
    Ok(())
}

async fn assert_refused(site: &Site, choice: BackupChoice, options: &RestoreOptions, named: BackupKey) {
    let directory = site.subject.new_path("pgdata");
    let error = refused(site.restore_into(choice, &directory, options).await);
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert!(error.to_string().contains(&named.to_string()), "{error}");
    assert!(!directory.exists());
}

/// The old primary continued after the promotion, and was even backed up.
pub(crate) async fn a_backup_of_an_abandoned_branch_is_not_taken_for_the_newest(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    let (first, second) = (&site.cluster, site.cluster.promoted());
    let shared = site.back_up(3, 4).await?;
    let (history, text) = second.history(&[(first.timeline(), 6)]);
    site.archive_as(history, text.as_bytes()).await?;
    let abandoned = site.back_up(8, 9).await?;
    let on = |timeline| RestoreOptions { target_timeline: timeline, ..restore_options() };
    for timeline in [None, Some(TargetTimeline::Latest)] {
        assert_refused(&site, BackupChoice::Latest, &on(timeline), abandoned.key).await;
    }
    for (timeline, expected) in [
        (Some(TargetTimeline::Id(second.timeline())), &shared),
        (Some(TargetTimeline::Id(first.timeline())), &abandoned),
        (Some(TargetTimeline::Current), &abandoned),
    ] {
        let directory = site.subject.new_path("pgdata");
        let stats = site.restore_into(BackupChoice::Latest, &directory, &on(timeline)).await?;
        assert_eq!(stats.key, expected.key, "{timeline:?}");
    }
    for timeline in [TargetTimeline::Latest, TargetTimeline::Id(second.timeline())] {
        assert_refused(&site, BackupChoice::Key(abandoned.key), &on(Some(timeline)), abandoned.key).await;
    }

    let promoted = site.back_up_of(&second, 7, 7).await?;
    let directory = site.subject.new_path("pgdata");
    let stats = site.restore_into(BackupChoice::Latest, &directory, &on(None)).await?;
    assert_eq!(stats.key, promoted.key);
    Ok(())
}

pub(crate) async fn a_timeline_that_nobody_archived_is_refused(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.back_up(3, 4).await?;
    let third = site.cluster.promoted().promoted().timeline();
    let options = RestoreOptions { target_timeline: Some(TargetTimeline::Id(third)), ..restore_options() };
    let directory = site.subject.path("pgdata");
    let error = refused(site.restore_into(BackupChoice::Latest, &directory, &options).await);
    assert!(matches!(error, Error::WalAbsent { .. } | Error::Refused(_)), "{error}");
    assert!(error.to_string().contains("00000003"), "{error}");
    assert!(!directory.exists());
    Ok(())
}
