//! Notices about the configuration file, and about a directory that a command uses.
//!
//! PostgreSQL runs archive-wal and restore-wal for each WAL file, so there each notice is a warning once a day only.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::Path,
};

use jiff::{SignedDuration, Timestamp};
use swiftwal_core::{Clock, SystemClock, read_regular_file};

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// More than the notices about a file have.
const MOST_BYTES: u64 = 64 << 10;

/// Logs the notices about the file or directory at `path` as warnings. If PostgreSQL runs this for each file, notices
/// that were warnings within the last day are shown only with `-v`. `state` is the program's directory for that;
/// without one nothing can be remembered.
pub(crate) fn give(notices: &[String], path: &Path, for_each_file: bool, state: Option<&Path>) {
    if notices.is_empty() {
        return;
    }
    let is_repeated = for_each_file
        && state.is_some_and(|state| note(notices, path, state, SystemClock.now()).unwrap_or(false));
    for notice in notices {
        if is_repeated {
            tracing::info!("{notice}");
        } else {
            tracing::warn!("{notice}");
        }
    }
}

/// Returns whether the same notices were given in the day before `now`; if not, notes that they are now.
fn note(notices: &[String], path: &Path, state: &Path, now: Timestamp) -> io::Result<bool> {
    let directory = state.join("notices");
    let file = directory.join(blake3::hash(path.as_os_str().as_encoded_bytes()).to_hex().as_str());
    let notices = notices.join("\n");
    let before = read_regular_file(&file, MOST_BYTES).unwrap_or_default();
    let before = String::from_utf8_lossy(&before);
    let given = before.split_once('\n').filter(|(_, given)| *given == notices);
    let since = given.and_then(|(since, _)| since.parse::<Timestamp>().ok());
    if since.is_some_and(|since| (SignedDuration::ZERO..DAY).contains(&now.duration_since(since))) {
        return Ok(true);
    }
    DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
    fs::write(file, format!("{now}\n{notices}"))?;
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_are_repeated_after_a_day_or_if_they_are_others() {
        let state = tempfile::tempdir().unwrap();
        let note = |notice: &str, file: &str, hours| {
            let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours);
            note(&[notice.to_owned()], Path::new(file), state.path(), now).unwrap()
        };
        assert!(!note("a", "/etc/conf", 48));
        assert!(note("a", "/etc/conf", 48) && note("a", "/etc/conf", 71));
        assert!(!note("a", "/etc/other", 71), "each file has its own");
        assert!(!note("a", "/etc/conf", 72), "a day later");
        assert!(!note("b", "/etc/conf", 73), "another notice");
        assert!(!note("b", "/etc/conf", 72), "a clock that was ahead");
    }
}
