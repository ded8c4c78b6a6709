//! Checks the values that will be written into PostgreSQL's configuration.

use swiftwal_postgres::printable;

use super::{super::RestoreOptions, ArchiveMode, RecoveryTarget};
use crate::error::{Error, Result};

/// The longest name of a restore point, in bytes: PostgreSQL's `MAXFNAMELEN`, less the zero byte.
const MOST_NAME_BYTES: usize = 63;

/// Refuses a value that PostgreSQL couldn't read from its configuration, before hours of copying.
pub(in crate::restore) fn check(options: &RestoreOptions) -> Result<()> {
    refuse_unwritten(options)?;
    let cleanup = options.archive_cleanup_command.as_deref().unwrap_or_default();
    let name = match &options.target {
        Some(RecoveryTarget::Name(name)) => Some(name.as_str()),
        _ => None,
    };
    let values = [
        ("restore_command", options.restore_command.as_str()),
        ("archive_cleanup_command", cleanup),
        ("the name of the restore point", name.unwrap_or_default()),
    ];
    if let Some((what, value)) = values.iter().find(|(_, value)| value.contains(char::is_control)) {
        return Err(Error::Usage(format!(
            "{what} has a line break or another control character in it ('{}'), which isn't allowed in PostgreSQL's \
             configuration; give names and paths without one",
            printable(*value)
        )));
    }
    match name {
        Some("") => Err(Error::Usage("the name of the restore point is empty".to_owned())),
        Some(name) if name.len() > MOST_NAME_BYTES => Err(Error::Usage(format!(
            "the name of the restore point has {} bytes; PostgreSQL's names have at most {MOST_NAME_BYTES}",
            name.len()
        ))),
        _ => Ok(()),
    }
}

/// Refuses settings that would be dropped silently, while those of an earlier recovery might remain in the backup.
fn refuse_unwritten(options: &RestoreOptions) -> Result<()> {
    let settings = [
        ("a recovery target", options.target.is_some()),
        ("an action at the target", options.target_action.is_some()),
        ("a standby", options.standby),
        ("an archive mode", options.archive_mode != ArchiveMode::Keep),
    ];
    match settings.iter().find(|(_, is_wanted)| options.no_recovery && *is_wanted) {
        Some((what, _)) => Err(Error::Usage(format!(
            "{what} has no effect if the recovery settings aren't written; leave out one of the two options"
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::TargetAction, *};

    #[test]
    fn a_target_is_refused_where_no_settings_are_written() {
        let files_only = RestoreOptions { no_recovery: true, ..RestoreOptions::default() };
        check(&files_only).unwrap();
        let with_target = RestoreOptions { target: Some(RecoveryTarget::Immediate), ..files_only.clone() };
        let with_action = RestoreOptions { target_action: Some(TargetAction::Pause), ..files_only.clone() };
        let standby = RestoreOptions { standby: true, ..files_only };
        for options in [with_target, with_action, standby] {
            let message = check(&options).unwrap_err().to_string();
            assert!(message.contains("recovery settings aren't written"), "{message}");
        }
    }

    #[test]
    fn what_postgresql_could_not_read_back_is_refused() {
        let named = |name: &str| {
            let target = Some(RecoveryTarget::Name(name.to_owned()));
            check(&RestoreOptions { target, ..RestoreOptions::default() })
        };
        named("before the Übernahme").unwrap();
        for name in ["a\nb", "a\rb", "", &"x".repeat(64)] {
            assert!(matches!(named(name), Err(Error::Usage(_))), "{name:?}");
        }
        let restore_command = "swiftwal --config '/etc/a\nb' restore-wal %f %p".to_owned();
        let message =
            check(&RestoreOptions { restore_command, ..RestoreOptions::default() }).unwrap_err().to_string();
        assert!(message.contains("restore_command") && message.contains(r"/etc/a\nb"), "{message}");
    }
}
