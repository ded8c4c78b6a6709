//! A local WAL file to be stored, checked before anything else happens.

use std::{
    fmt,
    io::Read,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use swiftwal_compression::Format;
use swiftwal_postgres::{SegmentHeader, SegmentName, SegmentSize, Timeline, WalName};

use crate::{
    error::{Error, Result},
    local::{
        blocking::blocking,
        content::{Beginning, Content},
    },
    repository::{
        cluster::ClusterIdentity,
        history::{HISTORY_BYTES, check_history},
        layout::ObjectName,
        segment_check::check_segment,
        wal_variant::WalVariant,
    },
};

/// A file with a WAL file's name and, for a segment, with that segment's first page and size.
#[derive(Debug)]
pub(crate) struct WalFile {
    pub(crate) name: WalName,
    path: PathBuf,
    content: Content,
    header: Option<SegmentHeader>,
}

impl WalFile {
    /// Opens the file at `path`, whose name identifies the WAL file.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] for a name that isn't a WAL file's; [`Error::Damaged`] for a file that can't be the one of that
    /// name.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let name = name_of(path)?;
        let content = Content::open(path).map_err(Error::local("read", path))?;
        let mut opened = Self { name, path: path.to_owned(), content, header: None };
        opened.check()?;
        Ok(opened)
    }

    /// Returns a history that a server has sent.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] if it can't be the history of that timeline.
    pub(crate) fn history(timeline: Timeline, content: Bytes) -> Result<Self> {
        let name = WalName::History(timeline);
        check_history(timeline, &content, name)?;
        let path = format!("the server's {name}").into();
        Ok(Self { name, path, content: Content::Buffer(content), header: None })
    }

    /// Returns the beginning of a segment that is being received into the file at `path`. Its content is that of a
    /// `.partial` file. None if it isn't even long enough for the segment's header.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] for the beginning of another segment.
    pub(crate) fn beginning(segment: SegmentName, path: &Path, beginning: Beginning) -> Result<Option<Self>> {
        let bytes = beginning.bytes;
        let is_begun = beginning.written >= SegmentHeader::BYTES as u64;
        let content = Content::Beginning(beginning);
        let mut file = Self { name: WalName::Partial(segment), path: path.to_owned(), content, header: None };
        if is_begun {
            let start = file.start(SegmentHeader::BYTES as u64)?;
            file.header = Some(check_segment(segment, &start, bytes, path.display())?);
        }
        Ok(is_begun.then_some(file))
    }

    /// Refuses a file that can't be the one of its name.
    fn check(&mut self) -> Result<()> {
        match self.name {
            WalName::Segment(segment) => {
                let start = self.start(SegmentHeader::BYTES as u64)?;
                self.header = Some(check_segment(segment, &start, self.bytes(), self.path.display())?);
            }
            WalName::History(timeline) => {
                let content = self.start(HISTORY_BYTES + 1)?;
                if content.len() as u64 > HISTORY_BYTES {
                    let reason =
                        format!("a history has {HISTORY_BYTES} bytes at most, and this one has more");
                    return Err(Error::damaged(self.path.display(), reason));
                }
                check_history(timeline, &content, self.path.display())?;
                // Exactly the checked content is stored, even if the file changes.
                self.content = Content::Buffer(content.into());
            }
            // It is as large as a segment, although it wasn't written completely.
            WalName::Partial(_) => {
                let size = SegmentSize::new(self.bytes());
                let size = size.map_err(|error| Error::damaged(self.path.display(), error))?;
                let header = SegmentHeader::parse(&self.start(SegmentHeader::BYTES as u64)?);
                self.header = header.ok().filter(|header| header.segment_size == size);
            }
            WalName::Backup { .. } => {}
        }
        Ok(())
    }

    /// Returns the path of the file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the content of the file.
    pub(crate) fn content(&self) -> &Content {
        &self.content
    }

    /// Returns the size of its content.
    pub(crate) fn bytes(&self) -> u64 {
        self.content.bytes()
    }

    /// Returns the name of its object in this compression.
    pub(crate) fn object(&self, format: Format) -> ObjectName {
        ObjectName::Wal { name: self.name, format }
    }

    /// Returns the identity of the cluster that the WAL belongs to, if the file contains it.
    pub(crate) fn identity(&self) -> Option<ClusterIdentity> {
        self.header.as_ref().map(ClusterIdentity::of_segment)
    }

    /// Returns its variant, which is a hash of its complete content.
    pub(crate) async fn variant(&self) -> Result<WalVariant> {
        let (content, path) = (self.content.clone(), self.path.clone());
        blocking(move || WalVariant::of(content.reader()).map_err(Error::local("read", path))).await
    }

    /// Fails if the file has changed since it was opened: PostgreSQL is told that a file is archived only if exactly
    /// that file was read, and no mixture of two.
    pub(crate) fn ensure_unchanged(&self) -> Result<()> {
        self.content.ensure_unchanged().map_err(Error::local("archive", &self.path))
    }

    fn start(&self, bytes: u64) -> Result<Vec<u8>> {
        let mut start = Vec::new();
        let read = self.content.reader().take(bytes).read_to_end(&mut start);
        read.map_err(Error::local("read", &self.path))?;
        Ok(start)
    }
}

impl fmt::Display for WalFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

fn name_of(path: &Path) -> Result<WalName> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.parse().map_err(|error| Error::Usage(format!("{} can't be archived: {error}", path.display())))
}
