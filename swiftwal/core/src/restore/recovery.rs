//! The recovery settings for each version of PostgreSQL.

mod check;
mod options;

use jiff::Timestamp;
use swiftwal_postgres::printable;

pub(super) use self::check::check;
pub use self::options::{ArchiveMode, RecoveryTarget, TargetAction, TargetTimeline};
use super::RestoreOptions;
use crate::{
    error::{Error, Result},
    repository::key::BackupKey,
};

/// A file of the data directory.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RecoveryFile {
    pub(super) name: &'static str,
    pub(super) content: String,
    pub(super) mode: Mode,
}

/// What is done with the previous content of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// It is replaced.
    Whole,
    /// It is kept, and the content is appended.
    Added,
}

/// Returns the files that make a server of `version` (the content of `PG_VERSION`) recover as requested.
pub(super) fn files(version: &str, key: BackupKey, options: &RestoreOptions) -> Result<Vec<RecoveryFile>> {
    let major = major(version)?;
    let title = format!("\n# By swiftwal restore of backup {key}\n");
    let recovery = lines(&settings(major, options));
    let archiving = match options.archive_mode {
        ArchiveMode::Keep => String::new(),
        ArchiveMode::Off => lines(&[("archive_mode", "off".to_owned())]),
    };
    if major >= 12 {
        let signal = if options.standby { "standby.signal" } else { "recovery.signal" };
        return Ok(vec![
            RecoveryFile { name: AUTO_CONF, content: title + &recovery + &archiving, mode: Mode::Added },
            RecoveryFile { name: signal, content: String::new(), mode: Mode::Whole },
        ]);
    }
    let mut files =
        vec![RecoveryFile { name: "recovery.conf", content: title.clone() + &recovery, mode: Mode::Whole }];
    if !archiving.is_empty() {
        let name = if has_auto_conf(version) { AUTO_CONF } else { "postgresql.conf" };
        files.push(RecoveryFile { name, content: title + &archiving, mode: Mode::Added });
    }
    Ok(files)
}

/// The file whose settings override those of `postgresql.conf`.
pub(super) const AUTO_CONF: &str = "postgresql.auto.conf";

/// Whether this version reads `postgresql.auto.conf`: from 9.4 on.
fn has_auto_conf(version: &str) -> bool {
    let before = ["8.", "9.0", "9.1", "9.2", "9.3"];
    !before.iter().any(|before| version.trim().starts_with(before))
}

fn lines(settings: &[(&str, String)]) -> String {
    settings.iter().map(|(name, value)| format!("{name} = '{}'\n", escaped(value))).collect()
}

pub(super) fn major(version: &str) -> Result<u32> {
    let digits = version.trim().split('.').next().unwrap_or_default();
    digits.parse().map_err(|_| {
        Error::damaged("PG_VERSION", format!("'{}' is not a version", printable(version.trim())))
    })
}

/// Returns the settings from version 12 on.
///
/// The settings of the original server are still read, and may include those of an earlier restore. So every setting
/// that controls recovery is written, even with its default. What a standby does with replayed WAL, and at its
/// promotion, is the administrator's choice and is kept.
fn settings(major: u32, options: &RestoreOptions) -> Vec<(&'static str, String)> {
    let mut settings = vec![("restore_command", options.restore_command.clone())];
    if options.standby && major < 12 {
        settings.push(("standby_mode", "on".to_owned()));
    }
    if major >= 12 {
        let stays = |name: &str| options.standby && OF_A_STANDBY.contains(&name);
        let defaults = defaults().filter(|(name, _)| !stays(name));
        settings.extend(defaults.map(|(name, value)| (name, value.to_owned())));
    }
    let timeline = options.target_timeline.and_then(|timeline| match timeline {
        // Up to version 11 this was the default and had no name.
        TargetTimeline::Current if major < 12 => None,
        TargetTimeline::Current => Some("current".to_owned()),
        TargetTimeline::Latest => Some("latest".to_owned()),
        TargetTimeline::Id(timeline) => Some(timeline.to_string()),
    });
    let action = options.target_action.map(|action| match action {
        TargetAction::Pause => "pause",
        TargetAction::Promote => "promote",
        TargetAction::Shutdown => "shutdown",
    });
    let cleanup = options.archive_cleanup_command.clone();
    let chosen = [
        cleanup.map(|command| ("archive_cleanup_command", command)),
        options.target.as_ref().map(target),
        timeline.map(|timeline| ("recovery_target_timeline", timeline)),
        action.map(|action| ("recovery_target_action", action.to_owned())),
    ];
    for (name, value) in chosen.into_iter().flatten() {
        settings.retain(|(other, _)| *other != name);
        settings.push((name, value));
    }
    settings
}

/// The settings of the original server that a standby keeps.
const OF_A_STANDBY: [&str; 2] = ["archive_cleanup_command", "recovery_end_command"];

/// Whether a line of the settings clears a setting that a standby keeps. An earlier restore of a primary wrote such
/// lines.
pub(super) fn is_emptied_by_a_restore(line: &[u8]) -> bool {
    OF_A_STANDBY.iter().any(|name| line.trim_ascii() == format!("{name} = ''").as_bytes())
}

/// Returns the defaults of PostgreSQL 12 and later. PostgreSQL refuses two targets at once.
fn defaults() -> impl Iterator<Item = (&'static str, &'static str)> {
    [
        ("archive_cleanup_command", ""),
        ("recovery_end_command", ""),
        ("recovery_target", ""),
        ("recovery_target_action", "pause"),
        ("recovery_target_inclusive", "true"),
        ("recovery_target_lsn", ""),
        ("recovery_target_name", ""),
        ("recovery_target_time", ""),
        ("recovery_target_timeline", "latest"),
        ("recovery_target_xid", ""),
    ]
    .into_iter()
}

fn target(target: &RecoveryTarget) -> (&'static str, String) {
    match target {
        RecoveryTarget::Time(time) => ("recovery_target_time", postgres_time(*time)),
        RecoveryTarget::Xid(xid) => ("recovery_target_xid", xid.to_string()),
        RecoveryTarget::Lsn(lsn) => ("recovery_target_lsn", lsn.to_string()),
        RecoveryTarget::Name(name) => ("recovery_target_name", name.clone()),
        RecoveryTarget::Immediate => ("recovery_target", "immediate".to_owned()),
    }
}

fn postgres_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S%.f+00").to_string()
}

/// Escapes a value for a single-quoted string in a configuration file.
fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('\'', "''")
}

#[cfg(test)]
mod tests {
    use swiftwal_postgres::Timeline;

    use super::*;

    fn key() -> BackupKey {
        "20130828T1810Z".parse().unwrap()
    }

    fn options() -> RestoreOptions {
        RestoreOptions {
            restore_command: "swiftwal restore-wal %f '%p'".to_owned(),
            ..RestoreOptions::default()
        }
    }

    #[test]
    fn from_12_on_settings_are_added_to_the_auto_conf_beside_a_signal_file() {
        let files = files("15\n", key(), &options()).unwrap();
        assert_eq!(
            files.iter().map(|file| file.name).collect::<Vec<_>>(),
            ["postgresql.auto.conf", "recovery.signal"]
        );
        assert!(files[0].content.contains("restore_command = 'swiftwal restore-wal %f ''%p'''\n"));
        assert!(
            files[0].content.contains("recovery_target_xid = ''\n"),
            "the original's target is taken back"
        );
    }

    #[test]
    fn up_to_11_there_is_a_recovery_conf() {
        let options = RestoreOptions { standby: true, target: Some(RecoveryTarget::Immediate), ..options() };
        for version in ["9.6", "11"] {
            let files = files(version, key(), &options).unwrap();
            assert_eq!(files.len(), 1);
            assert_eq!(files[0].name, "recovery.conf");
            assert!(files[0].content.contains("standby_mode = 'on'\nrecovery_target = 'immediate'\n"));
        }
    }

    #[test]
    fn a_standby_gets_the_standby_signal() {
        let options = RestoreOptions { standby: true, ..options() };
        assert_eq!(files("12", key(), &options).unwrap()[1].name, "standby.signal");
    }

    #[test]
    fn a_standby_keeps_its_archive_cleanup_command_unless_another_is_asked_for() {
        let standby = RestoreOptions { standby: true, ..options() };
        let text = files("15", key(), &standby).unwrap()[0].content.clone();
        assert!(
            !text.contains("archive_cleanup_command") && !text.contains("recovery_end_command"),
            "{text}"
        );
        let cleanup = Some("swiftwal archive-cleanup \"%r\"".to_owned());
        let standby = RestoreOptions { archive_cleanup_command: cleanup, ..standby };
        for version in ["15", "11"] {
            let text = files(version, key(), &standby).unwrap()[0].content.clone();
            let set = "archive_cleanup_command = 'swiftwal archive-cleanup \"%r\"'\n";
            assert_eq!(text.matches("archive_cleanup_command").count(), 1, "{text}");
            assert!(text.contains(set), "{text}");
        }
        let primary = files("15", key(), &options()).unwrap()[0].content.clone();
        assert!(primary.contains("archive_cleanup_command = ''\n"), "{primary}");
    }

    #[test]
    fn a_copy_that_must_not_archive_is_told_so_where_its_version_reads_it() {
        let off = RestoreOptions { archive_mode: ArchiveMode::Off, ..options() };
        for (version, name) in
            [("15", AUTO_CONF), ("11", AUTO_CONF), ("9.4", AUTO_CONF), ("9.3", "postgresql.conf")]
        {
            let files = files(version, key(), &off).unwrap();
            let file = files.iter().find(|file| file.name == name).unwrap();
            assert!(file.content.contains("archive_mode = 'off'\n") && file.mode == Mode::Added, "{file:?}");
        }
        assert!(
            files("15", key(), &options()).unwrap().iter().all(|file| !file.content.contains("archive_mode"))
        );
    }

    #[test]
    fn exactly_one_target_is_set_and_in_utc() {
        let time = "2026-11-23T10:00:00.25+02:00".parse().unwrap();
        let options = RestoreOptions {
            target: Some(RecoveryTarget::Time(time)),
            target_timeline: Some(TargetTimeline::Id(Timeline::new(2).unwrap())),
            target_action: Some(TargetAction::Promote),
            ..options()
        };
        let text = &files("17", key(), &options).unwrap()[0].content;
        assert!(text.contains("recovery_target_time = '2026-11-23 08:00:00.25+00'\n"), "{text}");
        assert!(
            text.contains("recovery_target_timeline = '2'\nrecovery_target_action = 'promote'\n"),
            "{text}"
        );
        let set = |name: &str| text.lines().filter(|line| line.split(' ').next() == Some(name)).count();
        let others = ["", "_lsn", "_name", "_xid"].map(|kind| format!("recovery_target{kind} = ''\n"));
        assert!(others.iter().all(|other| text.contains(other)), "{text}");
        assert!(defaults().all(|(name, _)| set(name) == 1), "{text}");
    }

    #[test]
    fn settings_of_an_earlier_restore_are_taken_back() {
        let text = &files("15", key(), &options()).unwrap()[0].content;
        assert!(text.contains("recovery_target_timeline = 'latest'\n"), "{text}");
        assert!(text.contains("recovery_target_action = 'pause'\n"), "{text}");
    }

    #[test]
    fn quotes_and_backslashes_in_values_survive() {
        assert_eq!(escaped(r"it's a \ here"), r"it''s a \\ here");
    }
}
