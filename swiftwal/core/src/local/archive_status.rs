//! The files that wait for PostgreSQL's archiver: `archive_status` in `pg_wal` has an empty file `NAME.ready` for each.
//! PostgreSQL's files are only read.

use std::{
    fs::{self, DirEntry},
    io,
    path::Path,
};

use jiff::Timestamp;

/// What PostgreSQL appends to the name of a file that waits to be archived.
const READY: &str = ".ready";

/// The files that wait, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) files: u64,
    /// Since when the first of them has waited, by the clock of this machine.
    pub(crate) oldest: Option<Timestamp>,
}

/// Returns the names of the files in `pg_wal` that wait to be archived.
///
/// # Errors
///
/// Those of the system for the directory itself. What can't be read in it is left out.
pub(crate) fn waiting_names(pg_wal: &Path) -> io::Result<impl Iterator<Item = String>> {
    Ok(ready(pg_wal)?.map(|(name, _)| name))
}

/// Counts the files in `pg_wal` that wait to be archived.
///
/// # Errors
///
/// As [`waiting_names`].
pub(crate) fn count_waiting(pg_wal: &Path) -> io::Result<Waiting> {
    let mut waiting = Waiting::default();
    for (_, entry) in ready(pg_wal)? {
        waiting.files += 1;
        let since = entry.metadata().and_then(|file| file.modified()).ok();
        let since = since.and_then(|since| Timestamp::try_from(since).ok());
        waiting.oldest = waiting.oldest.into_iter().chain(since).min();
    }
    Ok(waiting)
}

fn ready(pg_wal: &Path) -> io::Result<impl Iterator<Item = (String, DirEntry)>> {
    let entries = fs::read_dir(pg_wal.join("archive_status"))?.flatten();
    Ok(entries.filter_map(|entry| {
        let name = entry.file_name().to_str()?.strip_suffix(READY)?.to_owned();
        Some((name, entry))
    }))
}

#[cfg(test)]
mod tests {
    use std::{fs::File, time::Duration};

    use super::*;

    #[test]
    fn what_waits_is_counted_and_what_is_done_is_not() {
        let pg_wal = tempfile::tempdir().unwrap();
        assert_eq!(count_waiting(pg_wal.path()).unwrap_err().kind(), io::ErrorKind::NotFound);
        let status = pg_wal.path().join("archive_status");
        fs::create_dir(&status).unwrap();
        assert_eq!(count_waiting(pg_wal.path()).unwrap(), Waiting::default());
        for (name, seconds) in [("00000002.history.ready", 200), ("a.ready", 100), ("b.done", 50)] {
            let since = std::time::UNIX_EPOCH + Duration::from_secs(seconds);
            File::create(status.join(name)).unwrap().set_modified(since).unwrap();
        }
        let oldest = Some(Timestamp::from_second(100).unwrap());
        assert_eq!(count_waiting(pg_wal.path()).unwrap(), Waiting { files: 2, oldest });
        let mut names: Vec<_> = waiting_names(pg_wal.path()).unwrap().collect();
        names.sort();
        assert_eq!(names, ["00000002.history", "a"]);
    }
}
