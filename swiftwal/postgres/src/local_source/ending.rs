//! The last files of the data directory's archive: the label, the map of the tablespaces, the control file, and the WAL if
//! it is included.

use std::{fs::Metadata, path::Path};

use bytes::Bytes;

use super::{
    plan::Planner,
    server::Stop,
    tar_header::{Attributes, Kind},
    wal,
};
use crate::{SegmentName, SourceError};

/// These files.
#[derive(Debug)]
pub(super) struct Ending {
    /// Name, content, and attributes.
    files: Vec<(&'static str, Bytes, Attributes)>,
    /// The attributes of a file that is written now.
    new: Attributes,
}

impl Ending {
    /// `control` is the control file, as it was before the backup ended on the server.
    pub(super) fn new(stop: &Stop, control: (Bytes, Metadata)) -> Self {
        let (control, metadata) = control;
        let of_control = Attributes::new(Kind::File { bytes: 0 }, &metadata);
        // With the owner and the permissions of the server's files.
        let new = Attributes { modified: stop.time, ..of_control };
        let files = vec![
            ("backup_label", stop.label.clone(), new),
            // As PostgreSQL does, even if there are no tablespaces.
            ("tablespace_map", stop.tablespace_map.clone(), new),
            ("global/pg_control", control, of_control),
        ];
        Self { files, new }
    }

    /// Returns name, content and date of each file.
    pub(super) fn files(&self) -> impl Iterator<Item = (&'static str, &Bytes, u64)> {
        self.files.iter().map(|(name, content, attributes)| (*name, content, attributes.modified))
    }

    /// Adds them to the tar, then these WAL segments of a data directory, then the end of the tar.
    pub(super) fn add(
        self,
        planner: &mut Planner<'_>,
        wal: Option<(&Path, impl Iterator<Item = SegmentName>)>,
    ) -> Result<(), SourceError> {
        for (name, content, attributes) in self.files {
            planner.small(name, content, attributes)?;
        }
        if let Some((data_directory, segments)) = wal {
            wal::add(planner, data_directory, segments, self.new)?;
        }
        planner.end()
    }
}
