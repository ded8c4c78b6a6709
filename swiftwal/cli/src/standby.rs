//! Whether a data directory is a standby's.

use std::{path::Path, time::Duration};

use swiftwal_core::read_regular_file;

use crate::within::within;

/// How long the data directory may take to answer. It doesn't answer if its disk hangs.
const LIMIT: Duration = Duration::from_secs(1);

/// More than any recovery.conf has.
const MOST_BYTES: u64 = 1 << 20;

/// Whether the working directory is the data directory of a standby: it contains `standby.signal` (PostgreSQL 12 and
/// later) or a `recovery.conf` with `standby_mode` on (up to 11).
///
/// An unreadable file counts as absent: a server that stops is safer than one that promotes.
pub(crate) fn serves_standby() -> bool {
    within("standby", LIMIT, || is_standby(Path::new("."))).unwrap_or(false)
}

fn is_standby(data_directory: &Path) -> bool {
    data_directory.join("standby.signal").exists()
        || read_regular_file(&data_directory.join("recovery.conf"), MOST_BYTES)
            .is_ok_and(|text| standby_mode(&String::from_utf8_lossy(&text)))
}

/// Returns the last setting of `standby_mode` in a recovery.conf, parsed as PostgreSQL parses a boolean.
fn standby_mode(recovery_conf: &str) -> bool {
    let settings = recovery_conf.lines().filter_map(setting);
    let mut modes = settings.filter(|(name, _)| name.eq_ignore_ascii_case("standby_mode"));
    modes.next_back().is_some_and(|(_, value)| {
        let value = value.to_ascii_lowercase();
        let begins = |word: &str| !value.is_empty() && word.starts_with(&value);
        value == "on" || value == "1" || begins("true") || begins("yes")
    })
}

/// Parses the name and the unquoted value in a line such as `name = 'value'  # comment`; the `=` may be omitted.
fn setting(line: &str) -> Option<(&str, &str)> {
    let line = line.split('#').next()?.trim();
    let (name, value) = line.split_once(|separator: char| separator == '=' || separator.is_whitespace())?;
    Some((name, value.trim_start_matches(|c: char| c == '=' || c.is_whitespace()).trim_matches('\'')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standby_mode_is_read_as_postgresql_reads_it() {
        for on in [
            "standby_mode = on",
            "standby_mode='on'",
            "Standby_Mode 'TRUE' # warm",
            "standby_mode=off\nstandby_mode=1",
        ] {
            assert!(standby_mode(on), "{on}");
        }
        for off in [
            "",
            "# standby_mode = on",
            "standby_mode = off",
            "standby_mode=on\nstandby_mode=off",
            "standby_mode = ''",
        ] {
            assert!(!standby_mode(off), "{off}");
        }
    }
}
