//! Adds the WAL that a backup needs to the archive of the data directory, as the server does with `WAL`.

use std::{fs, path::Path};

use bytes::Bytes;

use super::{failure::unreadable, plan::Planner, tar_header::Attributes, walk::existing};
use crate::{SegmentName, SourceError, SourceErrorKind};

const WAL: &str = "pg_wal";

/// Adds these segments and all history files, each with the mark that it needn't be archived again.
pub(super) fn add(
    planner: &mut Planner<'_>,
    data_directory: &Path,
    segments: impl Iterator<Item = SegmentName>,
    mark: Attributes,
) -> Result<(), SourceError> {
    for segment in segments {
        let name = segment.to_string();
        if !add_file(planner, data_directory, &name, mark)? {
            return Err(removed(&name));
        }
    }
    for name in histories(&data_directory.join(WAL))? {
        add_file(planner, data_directory, &name, mark)?;
    }
    Ok(())
}

/// Checks that the server still has the segments that were read: otherwise it may have written other WAL into their
/// files meanwhile.
pub(super) fn ensure_kept(
    data_directory: &Path,
    segments: impl Iterator<Item = SegmentName>,
) -> Result<(), SourceError> {
    for name in segments.map(|segment| segment.to_string()) {
        let path = data_directory.join(WAL).join(&name);
        if existing(fs::metadata(&path)).map_err(|error| unreadable(&path, error))?.is_none() {
            return Err(removed(&name));
        }
    }
    Ok(())
}

fn removed(name: &str) -> SourceError {
    let message = format!("the server has removed the WAL segment {name}, which the backup needs");
    let hint = "raise max_replication_slots, or wal_keep_size, then take the backup again";
    SourceError::new(SourceErrorKind::Failed, message).with_hint(hint)
}

fn add_file(
    planner: &mut Planner<'_>,
    data_directory: &Path,
    name: &str,
    mark: Attributes,
) -> Result<bool, SourceError> {
    let file = Path::new(WAL).join(name);
    let is_there = planner.file(&file, &data_directory.join(&file), file.clone(), None)?;
    if is_there {
        planner.small(&format!("{WAL}/archive_status/{name}.done"), Bytes::new(), mark)?;
    }
    Ok(is_there)
}

fn histories(wal: &Path) -> Result<Vec<String>, SourceError> {
    let listing = fs::read_dir(wal).map_err(|error| unreadable(wal, error))?;
    let names = listing.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut histories: Vec<_> =
        names.filter(|name| name.strip_suffix(".history").is_some_and(|name| name.len() == 8)).collect();
    histories.sort_unstable();
    Ok(histories)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wal_that_was_removed_while_it_was_read_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join(WAL)).unwrap();
        let names = ["000000010000000000000003", "000000010000000000000004"];
        let segments = || names.iter().map(|name| name.parse::<SegmentName>().unwrap());
        names.iter().for_each(|name| fs::write(directory.path().join(WAL).join(name), "wal").unwrap());
        ensure_kept(directory.path(), segments()).unwrap();
        fs::remove_file(directory.path().join(WAL).join(names[1])).unwrap();
        let error = ensure_kept(directory.path(), segments()).unwrap_err().to_string();
        assert!(error.contains("has removed the WAL segment 000000010000000000000004"), "{error}");
    }
}
