//! The next steps after a restore.

use std::{
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::Path,
};

use swiftwal_core::{ArchiveMode, RestoreOptions, TargetAction};
use swiftwal_postgres::printable;

use crate::{command::target_args::target_text, server_commands::quoted};

/// Returns the administrator's next steps with a server of this version, one on each line. `owner` is the user id of
/// the directory's owner; `is_beyond_wal` says that the stored WAL doesn't reach the target.
pub(super) fn next_steps(
    directory: &Path,
    owner: Option<u32>,
    version: &str,
    options: &RestoreOptions,
    is_beyond_wal: bool,
) -> Vec<String> {
    let shown = quoted(&printable(directory.as_os_str().as_bytes()).to_string());
    let mut steps = Vec::new();
    let is_roots = owner == Some(0);
    if is_roots {
        steps.push(format!("Give the directory to PostgreSQL's user: chown -R postgres: {shown}"));
    }
    if options.no_recovery {
        steps.push(
            "No recovery settings were written. Before you start PostgreSQL, set restore_command and create recovery.signal \
             (before version 12: recovery.conf), unless pg_wal has all the WAL that the backup needs. Don't remove \
             backup_label: PostgreSQL would lose data without a message."
                .to_owned(),
        );
        return steps;
    }
    let user = if is_roots { "that user" } else { "the directory's owner" };
    steps.push(format!("As {user}, start PostgreSQL: pg_ctl -D {shown} start"));
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    let wal = if major.is_some_and(|major| major < 10) { "xlog" } else { "wal" };
    let recovery = recovery(options, wal);
    steps.push(match is_beyond_wal {
        true => format!("Only if the missing WAL is archived first: {recovery}"),
        false => recovery,
    });
    if !options.standby {
        steps.push("To see whether recovery is done: SELECT pg_is_in_recovery();".to_owned());
        steps.push(archiving(options.archive_mode).to_owned());
    }
    steps
}

/// Describes where recovery ends, and what happens then. `wal` is the word for WAL in this version's functions.
fn recovery(options: &RestoreOptions, wal: &str) -> String {
    let end = target_text(options.target.as_ref());
    let then = match (&options.target, options.target_action) {
        _ if options.standby => "and continues as a standby".to_owned(),
        (None, _) => "then ends recovery and accepts writes on a new timeline".to_owned(),
        (_, Some(TargetAction::Promote)) => "then accepts writes on a new timeline".to_owned(),
        (_, Some(TargetAction::Shutdown)) => "then shuts down".to_owned(),
        (_, Some(TargetAction::Pause) | None) => {
            format!("then pauses: check the data, then run SELECT pg_{wal}_replay_resume() to accept writes")
        }
    };
    format!("It recovers to {end}, {then}; its log says how far it is.")
}

fn archiving(mode: ArchiveMode) -> &'static str {
    match mode {
        ArchiveMode::Off => {
            "It archives nothing (archive_mode = off). To keep it after all: ALTER SYSTEM RESET archive_mode, restart, and \
             take a new backup."
        }
        ArchiveMode::Keep => {
            "If it replaces the original, take a new backup when it accepts writes. If it is only a copy, set archive_mode = \
             off before you start it."
        }
    }
}

/// Returns the step that removes the databases that were restored without their content, if there are any.
pub(super) fn drop_databases(left_out: &[String]) -> Option<String> {
    let commands = left_out.iter().map(|name| {
        let name = printable(name).to_string().replace('"', "\"\"");
        format!("DROP DATABASE \"{name}\";")
    });
    let commands: Vec<_> = commands.collect();
    (!commands.is_empty()).then(|| {
        format!("When it accepts writes, drop the databases that weren't restored: {}", commands.join(" "))
    })
}

/// The user id of a directory's owner.
pub(super) fn owner(directory: &Path) -> Option<u32> {
    directory.metadata().ok().map(|found| found.uid())
}

#[cfg(test)]
mod tests {
    use swiftwal_core::RecoveryTarget;

    use super::*;

    fn steps(owner: u32, options: &RestoreOptions) -> String {
        next_steps(Path::new("/restore/data"), Some(owner), "15", options, false).join("\n")
    }

    #[test]
    fn the_steps_fit_how_recovery_ends() {
        let to_the_end = steps(70, &RestoreOptions::default());
        assert!(
            to_the_end
                .starts_with("As the directory's owner, start PostgreSQL: pg_ctl -D /restore/data start\n")
        );
        assert!(
            to_the_end.contains("end of the stored WAL") && to_the_end.contains("take a new backup"),
            "{to_the_end}"
        );
        let target = Some(RecoveryTarget::Name("before\u{1b}".to_owned()));
        let off = RestoreOptions { target, archive_mode: ArchiveMode::Off, ..RestoreOptions::default() };
        let message = steps(70, &off);
        assert!(
            message.contains(r"restore point before\x1b, then pauses")
                && message.contains("archives nothing"),
            "{message}"
        );
        let standby = steps(70, &RestoreOptions { standby: true, ..RestoreOptions::default() });
        assert!(standby.contains("as a standby") && !standby.contains("new backup"), "{standby}");
    }

    #[test]
    fn a_target_that_the_stored_wal_does_not_reach_is_no_promise() {
        let target = Some(RecoveryTarget::Lsn("0/9000000".parse().unwrap()));
        let options = RestoreOptions { target, ..RestoreOptions::default() };
        let steps = next_steps(Path::new("/data"), Some(70), "15", &options, true);
        let promise = "Only if the missing WAL is archived first: It recovers to 0/9000000, ";
        assert!(steps.iter().any(|step| step.starts_with(promise)), "{steps:?}");
    }

    #[test]
    fn functions_are_called_as_in_that_version() {
        let options = RestoreOptions { target: Some(RecoveryTarget::Immediate), ..RestoreOptions::default() };
        for (version, function) in [
            ("9.6", "pg_xlog_replay_resume()"),
            ("10", "pg_wal_replay_resume()"),
            ("15", "pg_wal_replay_resume()"),
        ] {
            let steps = next_steps(Path::new("/data"), None, version, &options, false).join(" ");
            assert!(steps.contains(function), "{version}: {steps}");
        }
    }

    #[test]
    fn files_without_settings_are_not_to_be_started_as_they_are() {
        let options = RestoreOptions { no_recovery: true, ..RestoreOptions::default() };
        let steps = next_steps(Path::new("/data"), Some(70), "15", &options, false).join(" ");
        assert!(steps.contains("set restore_command") && !steps.contains("pg_ctl"), "{steps}");
    }

    #[test]
    fn databases_without_content_are_to_be_dropped() {
        assert_eq!(drop_databases(&[]), None);
        let step = drop_databases(&["shop".to_owned(), "a\"b".to_owned()]).unwrap();
        assert!(step.ends_with(r#"DROP DATABASE "shop"; DROP DATABASE "a""b";"#), "{step}");
    }

    #[test]
    fn a_path_with_spaces_can_be_copied_into_a_shell() {
        let steps =
            next_steps(Path::new("/my restore/data"), Some(70), "15", &RestoreOptions::default(), false);
        assert!(steps[0].ends_with("pg_ctl -D '/my restore/data' start"), "{steps:?}");
    }

    #[test]
    fn roots_directory_is_given_away_first() {
        let message = steps(0, &RestoreOptions::default());
        assert!(message.starts_with(
            "Give the directory to PostgreSQL's user: chown -R postgres: /restore/data\nAs that user"
        ));
    }
}
