//! Looks into the tar as it passes: for what the record needs, and for where each file lies.

use bytes::Bytes;
use swiftwal_compression::Encoder;
use swiftwal_postgres::printable;

use crate::{
    error::{Error, Result},
    repository::{
        index::IndexedMember,
        layout::SIDE_FORMAT,
        tar_stream::{Member, MemberKind, TarError, TarVisitor},
    },
};

/// None of the files that are kept whole comes near this.
const SMALL_FILE_BYTES: u64 = 1 << 20;

/// What is taken from the tar of the data directory.
#[derive(Debug, Default)]
pub(super) struct Inspector {
    pub(super) label: Option<Vec<u8>>,
    /// When the server wrote the label, by its own clock, in seconds since 1970.
    pub(super) label_modified: u64,
    /// The newest date of what the server wrote at the end, beside the WAL it included.
    pub(super) last_modified: u64,
    pub(super) version: Option<Vec<u8>>,
    /// `global/pg_control`, once it is whole.
    pub(super) control: Option<Vec<u8>>,
    manifest: Option<Encoder>,
    /// The members whose headers came since they were last taken.
    pub(super) members: Vec<IndexedMember>,
    current: Kept,
}

#[derive(Debug, Default)]
enum Kept {
    #[default]
    Nothing,
    Small(SmallFile, Vec<u8>),
    Manifest,
}

#[derive(Clone, Copy, Debug)]
enum SmallFile {
    Label,
    Version,
    Control,
}

impl Inspector {
    /// What came of `global/pg_control`, once it has begun. PostgreSQL sends it last, and `pg_basebackup` holds the end
    /// of it back while the server waits for its archiver.
    pub(super) fn control_so_far(&self) -> Option<&[u8]> {
        match &self.current {
            Kept::Small(SmallFile::Control, content) => Some(content),
            _ => self.control.as_deref(),
        }
    }

    /// PostgreSQL's manifest, compressed, where the tar held one.
    pub(super) fn take_manifest(&mut self) -> Result<Option<Vec<Bytes>>> {
        let finished = self.manifest.take().map(Encoder::finish).transpose();
        finished.map_err(|error| Error::damaged("backup_manifest", error))
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
            b"backup_manifest" => {
                let encoder = Encoder::new(SIDE_FORMAT.into(), None);
                self.manifest = Some(encoder.map_err(|error| Error::damaged("backup_manifest", error))?);
                Kept::Manifest
            }
            _ => Kept::Nothing,
        };
        // The server writes these when it includes the WAL, whatever lay there before.
        if member.name.starts_with(b"pg_wal/archive_status/") {
            self.last_modified = self.last_modified.max(member.modified);
        }
        if member.kind == MemberKind::File {
            self.members.push(IndexedMember {
                name: member.name,
                offset: member.offset,
                bytes: member.bytes,
            });
        }
        Ok(())
    }

    fn data(&mut self, data: &[u8]) -> Result<()> {
        match &mut self.current {
            Kept::Nothing => Ok(()),
            Kept::Small(_, content) => {
                content.extend_from_slice(data);
                Ok(())
            }
            Kept::Manifest => {
                let Some(encoder) = &mut self.manifest else { return Ok(()) };
                encoder.write(data).map_err(|error| Error::damaged("backup_manifest", error))
            }
        }
    }

    fn end(&mut self) -> Result<()> {
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
