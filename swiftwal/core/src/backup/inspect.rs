//! Inspects the tar while it is received: extracts what the commit record needs, and the position of each file.

use swiftwal_postgres::{
    printable,
    tar_stream::{Member, TarError, TarVisitor},
};

use crate::{
    error::{Error, Result},
    repository::index::IndexedMember,
};

/// The size limit of a file that is kept in memory; real files are far smaller.
const SMALL_FILE_BYTES: u64 = 1 << 20;

/// The data that is extracted from the tar of the data directory.
#[derive(Debug, Default)]
pub(super) struct Inspector {
    pub(super) label: Option<Vec<u8>>,
    /// When the server wrote the label, by its own clock, in seconds since 1970.
    pub(super) label_modified: u64,
    /// The newest date of the files that the server writes last, other than the included WAL.
    pub(super) last_modified: u64,
    pub(super) version: Option<Vec<u8>>,
    /// `global/pg_control`, once it is complete.
    pub(super) control: Option<Vec<u8>>,
    /// The members that have ended since the previous call.
    pub(super) members: Vec<IndexedMember>,
    current: Kept,
    /// The current member.
    member: Option<Member>,
    content: blake3::Hasher,
}

#[derive(Debug, Default)]
enum Kept {
    #[default]
    Nothing,
    Small(SmallFile, Vec<u8>),
}

#[derive(Clone, Copy, Debug)]
enum SmallFile {
    Label,
    Version,
    Control,
}

impl Inspector {
    /// Returns the part of `global/pg_control` that has arrived, if it has begun. PostgreSQL sends it after all other
    /// files of the cluster, and a source may delay its end while the server waits for its archiver.
    pub(super) fn control_so_far(&self) -> Option<&[u8]> {
        match &self.current {
            Kept::Small(SmallFile::Control, content) => Some(content),
            _ => self.control.as_deref(),
        }
    }
}

impl TarVisitor for Inspector {
    type Error = Error;

    fn member(&mut self, member: Member) -> Result<()> {
        self.current = match member.name.as_slice() {
            b"backup_label" => {
                self.label_modified = member.modified;
                small(SmallFile::Label, &member)?
            }
            b"PG_VERSION" => small(SmallFile::Version, &member)?,
            b"global/pg_control" => small(SmallFile::Control, &member)?,
            _ => Kept::Nothing,
        };
        // The server writes these when it includes the WAL, whatever existed before.
        if member.name.starts_with(b"pg_wal/archive_status/") {
            self.last_modified = self.last_modified.max(member.modified);
        }
        self.content.reset();
        self.member = Some(member);
        Ok(())
    }

    fn data(&mut self, data: &[u8]) -> Result<()> {
        self.content.update(data);
        if let Kept::Small(_, content) = &mut self.current {
            content.extend_from_slice(data);
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        if let Some(member) = self.member.take() {
            self.members.push(IndexedMember::new(member, &self.content));
        }
        if let Kept::Small(file, content) = std::mem::take(&mut self.current) {
            let place = match file {
                SmallFile::Label => &mut self.label,
                SmallFile::Version => &mut self.version,
                SmallFile::Control => &mut self.control,
            };
            *place = Some(content);
        }
        Ok(())
    }
}

fn small(file: SmallFile, member: &Member) -> Result<Kept> {
    if member.bytes > SMALL_FILE_BYTES {
        let name = printable(&member.name);
        return Err(Error::damaged(name, format!("it has {} bytes", member.bytes)));
    }
    Ok(Kept::Small(file, Vec::new()))
}

impl From<TarError> for Error {
    fn from(error: TarError) -> Self {
        Self::damaged("the base backup", error)
    }
}
