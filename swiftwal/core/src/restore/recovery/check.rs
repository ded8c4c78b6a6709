//! Checks the values that will be written into PostgreSQL's configuration.

use swiftwal_postgres::printable;

use super::{super::RestoreOptions, RecoveryTarget};
use crate::error::{Error, Result};

/// The longest name of a restore point, in bytes: PostgreSQL's `MAXFNAMELEN`, less the zero byte.
const MOST_NAME_BYTES: usize = 63;

/// Refuses a value that PostgreSQL couldn't read from its configuration, before hours of copying.
pub(in crate::restore) fn check(options: &RestoreOptions) -> Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
