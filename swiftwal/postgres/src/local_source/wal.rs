//! Adds the WAL that a backup needs to the archive of the data directory, as the server does with `WAL`.

use std::{fs, path::Path};

use bytes::Bytes;

use super::{failure::unreadable, plan::Planner, tar_header::Attributes};
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
            let message = format!("the server has removed the WAL segment {name}, which the backup needs");
            let hint = "raise max_replication_slots, or wal_keep_size, then take the backup again";
            return Err(SourceError::new(SourceErrorKind::Failed, message).with_hint(hint));
        }
    }
    for name in histories(&data_directory.join(WAL))? {
        add_file(planner, data_directory, &name, mark)?;
    }
    Ok(())
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
