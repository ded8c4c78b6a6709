//! Writes a tar's members as files, nowhere but below one directory.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use rustix::fs::OFlags;
use tokio::sync::mpsc;

use super::{
    destination::{CONTROL, Destination},
    root::Root,
    tablespaces::Tablespaces,
};
use crate::{
    Error, Result,
    tar_stream::{Member, MemberKind, TarStream, TarVisitor},
};

/// What came out of the tars.
#[derive(Debug, Default)]
pub(super) struct Extracted {
    /// `global/pg_control`, which isn't written yet.
    pub(super) control: Option<Vec<u8>>,
    /// `tablespace_map`, which isn't written yet.
    pub(super) tablespace_map: Option<String>,
    /// The content of `PG_VERSION`.
    pub(super) version: Option<String>,
    pub(super) files: u64,
    pub(super) bytes: u64,
}

impl Extracted {
    /// Adds what came out of another tar.
    pub(super) fn add(&mut self, other: Self) {
        self.control = other.control.or(self.control.take());
        self.tablespace_map = other.tablespace_map.or(self.tablespace_map.take());
        self.version = other.version.or(self.version.take());
        self.files += other.files;
        self.bytes += other.bytes;
    }
}

/// Writes one tar below one directory.
#[derive(Debug)]
pub(super) struct Extractor {
    /// Held so that nothing is removed while this still writes.
    _destination: Arc<Destination>,
    tablespaces: Tablespaces,
    root: Root,
    current: Current,
    extracted: Extracted,
}

#[derive(Debug, Default)]
enum Current {
    /// Nothing, or a file that isn't wanted.
    #[default]
    Nothing,
    File(File),
    /// A file that is kept in memory, and perhaps written too.
    Kept {
        name: String,
        content: Vec<u8>,
        file: Option<File>,
    },
}

/// What becomes of a file.
enum Fate {
    Written,
    /// Written, and its content is wanted, too.
    WrittenAndKept,
    /// It is written later: pg_control must come last of all, and tablespace_map may have to be changed.
    Kept,
    /// How the original server recovered, if it ever did, must not decide how this one does. A backup that was
    /// taken from a standby holds its `standby.signal`.
    LeftOut,
}

impl Fate {
    fn of(name: &str) -> Self {
        match name {
            CONTROL | "tablespace_map" => Self::Kept,
            "PG_VERSION" => Self::WrittenAndKept,
            "standby.signal" | "recovery.signal" | "recovery.conf" => Self::LeftOut,
            _ => Self::Written,
        }
    }
}

impl Extractor {
    /// For the data directory's tar, or for that of a tablespace.
    pub(super) fn new(
        destination: Arc<Destination>,
        tablespace: Option<u32>,
        tablespaces: &Tablespaces,
    ) -> Result<Self> {
        let root = destination.root(tablespace)?;
        Ok(Self {
            _destination: destination,
            tablespaces: tablespaces.clone(),
            root,
            current: Current::Nothing,
            extracted: Extracted::default(),
        })
    }

    /// Writes what comes, until the sender is gone. `written` counts bytes of tar.
    pub(super) fn extract(
        mut self,
        mut pieces: mpsc::Receiver<Bytes>,
        written: &AtomicU64,
    ) -> Result<Extracted> {
        let mut tar = TarStream::default();
        while let Some(piece) = pieces.blocking_recv() {
            tar.push(&piece, &mut self)?;
            written.fetch_add(piece.len() as u64, Ordering::Relaxed);
        }
        tar.finish()?;
        Ok(self.extracted)
    }

    fn make_link(&mut self, name: &str, target: &str) -> Result<()> {
        let Some(oid) = name.strip_prefix("pg_tblspc/").and_then(|oid| oid.parse().ok()) else {
            let reason = format!("it has a link '{name}', and only tablespaces may be links");
            return Err(Error::damaged("the base backup", reason));
        };
        let target = self.tablespaces.directory(oid).map_or_else(|| PathBuf::from(target), Path::to_owned);
        self.root.make_link(name, &target)
    }

    fn begin_file(&mut self, member: Member) -> Result<Current> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
        let kept = |name, file| Current::Kept { name, content: Vec::new(), file };
        let fate = Fate::of(&member.name);
        if !matches!(fate, Fate::LeftOut) {
            self.extracted.files += 1;
            self.extracted.bytes += member.bytes;
        }
        Ok(match fate {
            Fate::Written => Current::File(self.root.file(&member.name, flags, member.mode)?),
            Fate::WrittenAndKept => {
                let file = self.root.file(&member.name, flags, member.mode)?;
                kept(member.name, Some(file))
            }
            Fate::Kept => kept(member.name, None),
            Fate::LeftOut => Current::Nothing,
        })
    }
}

impl TarVisitor for Extractor {
    type Error = Error;

    fn member(&mut self, member: Member) -> Result<()> {
        match &member.kind {
            // The root itself is there already.
            MemberKind::Directory if matches!(member.name.as_str(), "" | ".") => {}
            MemberKind::Directory => self.root.make_directory(&member.name, member.mode)?,
            MemberKind::Link { target } => self.make_link(&member.name, target)?,
            MemberKind::File => self.current = self.begin_file(member)?,
        }
        Ok(())
    }

    fn data(&mut self, data: &[u8]) -> Result<()> {
        let file = match &mut self.current {
            Current::Nothing => None,
            Current::File(file) => Some(file),
            Current::Kept { content, file, .. } => {
                content.extend_from_slice(data);
                file.as_mut()
            }
        };
        let Some(file) = file else { return Ok(()) };
        file.write_all(data).map_err(Error::local("write into", self.root.path()))
    }

    fn end(&mut self) -> Result<()> {
        let Current::Kept { name, content, .. } = std::mem::take(&mut self.current) else { return Ok(()) };
        let text = |content| String::from_utf8_lossy(content).into_owned();
        match name.as_str() {
            "PG_VERSION" => self.extracted.version = Some(text(&content)),
            "tablespace_map" => self.extracted.tablespace_map = Some(text(&content)),
            _ => self.extracted.control = Some(content),
        }
        Ok(())
    }
}
