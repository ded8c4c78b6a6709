//! A WAL file of this machine that is to be stored, checked before anything else happens.

use std::{
    fmt,
    io::Read,
    path::{Path, PathBuf},
};

use swiftwal_compression::Format;
use swiftwal_postgres::{SegmentHeader, SegmentSize, WalName};

use crate::{
    error::{Error, Result},
    local::{blocking::blocking, content::Content},
    repository::{
        cluster::ClusterIdentity,
        history::{HISTORY_BYTES, check_history},
        layout::ObjectName,
        segment_check::check_segment,
        wal_variant::WalVariant,
    },
};

/// A file with a WAL file's name, and, if it is a segment, with that segment's first page and size.
#[derive(Debug)]
pub(crate) struct WalFile {
    pub(crate) name: WalName,
    path: PathBuf,
    content: Content,
    header: Option<SegmentHeader>,
}

impl WalFile {
    /// Opens the file at `path`, whose name says which WAL file it is.
    ///
    /// # Errors
    /// [`Error::Usage`] for a name that is no WAL file's; [`Error::Damaged`] for what can't be the file of that name.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let name = name_of(path)?;
        let content = Content::open(path).map_err(Error::local("read", path))?;
        let mut opened = Self { name, path: path.to_owned(), content, header: None };
        opened.check()?;
        Ok(opened)
    }

    /// Refuses what can't be a file of that name.
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
                // What was checked is what is stored, whatever becomes of the file.
                self.content = Content::Buffer(content.into());
            }
            // As large as a segment, though not all of it was written.
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

    /// Where the file lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What it holds.
    pub(crate) fn content(&self) -> &Content {
        &self.content
    }

    /// The size of its content.
    pub(crate) fn bytes(&self) -> u64 {
        self.content.bytes()
    }

    /// The object that holds it in this compression.
    pub(crate) fn object(&self, format: Format) -> ObjectName {
        ObjectName::Wal { name: self.name, format }
    }

    /// Whose WAL it is, if the file tells.
    pub(crate) fn identity(&self) -> Option<ClusterIdentity> {
        self.header.as_ref().map(ClusterIdentity::of_segment)
    }

    /// Its variant, which is a hash of all of its content.
    pub(crate) async fn variant(&self) -> Result<WalVariant> {
        let (content, path) = (self.content.clone(), self.path.clone());
        blocking(move || WalVariant::of(content.reader()).map_err(Error::local("read", path))).await
    }

    /// Fails if the file changed since it was opened: PostgreSQL is told that a file is archived only if that file, and
    /// no mixture of two, was read.
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
