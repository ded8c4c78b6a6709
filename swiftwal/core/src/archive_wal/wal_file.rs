//! A WAL file of this machine, checked before anything else happens.

use std::{
    fs::File,
    io::{Read, Seek},
    path::{Path, PathBuf},
};

use swiftwal_compression::Format;
use swiftwal_postgres::{SegmentHeader, SegmentSize, WalName};

use crate::{
    error::{Error, Result},
    local::regular_file::open_regular_file,
    repository::{
        cluster::ClusterIdentity,
        history::{HISTORY_BYTES, check_history},
        layout::ObjectName,
        segment_check::check_segment,
    },
};

/// A file with a WAL file's name, and, if it is a segment, with that segment's first page and size.
#[derive(Debug)]
pub(super) struct WalFile {
    pub(super) name: WalName,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    file: File,
    header: Option<SegmentHeader>,
}

impl WalFile {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let name = name_of(path)?;
        let file = open_regular_file(path).map_err(Error::local("read", path))?;
        let metadata = file.metadata().map_err(Error::local("read", path))?;
        let mut opened = Self { name, path: path.to_owned(), bytes: metadata.len(), file, header: None };
        opened.check()?;
        Ok(opened)
    }

    /// Refuses what can't be a file of that name.
    fn check(&mut self) -> Result<()> {
        match self.name {
            WalName::Segment(segment) => {
                let start = self.start(SegmentHeader::BYTES as u64)?;
                self.header = Some(check_segment(segment, &start, self.bytes, self.path.display())?);
            }
            WalName::History(timeline) => {
                let content = self.start(HISTORY_BYTES)?;
                check_history(timeline, &content, self.path.display())?;
            }
            // As large as a segment, though not all of it was written.
            WalName::Partial(_) => {
                let size = SegmentSize::new(self.bytes);
                let size = size.map_err(|error| Error::damaged(self.path.display(), error))?;
                let header = SegmentHeader::parse(&self.start(SegmentHeader::BYTES as u64)?);
                self.header = header.ok().filter(|header| header.segment_size == size);
            }
            WalName::Backup { .. } => {}
        }
        Ok(())
    }

    /// The object that holds it in this compression.
    pub(super) fn object(&self, format: Format) -> ObjectName {
        ObjectName::Wal { name: self.name, format }
    }

    /// Whose WAL it is, where the file tells.
    pub(super) fn identity(&self) -> Option<ClusterIdentity> {
        self.header.as_ref().map(ClusterIdentity::of_segment)
    }

    /// The file again, from its beginning. All readers share one position: one at a time.
    pub(super) fn reopen(&self) -> Result<File> {
        let again = || {
            let mut file = self.file.try_clone()?;
            file.rewind()?;
            Ok(file)
        };
        again().map_err(Error::local("read", &self.path))
    }

    fn start(&self, bytes: u64) -> Result<Vec<u8>> {
        let mut start = Vec::new();
        let read = self.reopen()?.take(bytes).read_to_end(&mut start);
        read.map_err(Error::local("read", &self.path))?;
        Ok(start)
    }
}

fn name_of(path: &Path) -> Result<WalName> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.parse().map_err(|error| Error::Usage(format!("{} can't be archived: {error}", path.display())))
}
