//! Writes a tar's members as files, nowhere but below one directory.

use std::{
    fs::{File, Permissions},
    io::{self, Write},
    os::{fd::OwnedFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags};
use tokio::sync::mpsc;

use super::{
    destination::{Destination, give},
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
    destination: Arc<Destination>,
    tablespaces: Tablespaces,
    path: PathBuf,
    root: OwnedFd,
    /// The directory that was written into last: a tar goes through them one by one.
    directory: Option<(PathBuf, Arc<OwnedFd>)>,
    current: Current,
    extracted: Extracted,
}

#[derive(Debug, Default)]
enum Current {
    #[default]
    Nothing,
    File(File),
    /// A file that is kept in memory, and whether it is written too.
    Kept {
        name: String,
        content: Vec<u8>,
        file: Option<File>,
    },
}

impl Extractor {
    /// For the data directory's tar, or for that of a tablespace.
    pub(super) fn new(
        destination: Arc<Destination>,
        tablespace: Option<u32>,
        tablespaces: &Tablespaces,
    ) -> Result<Self> {
        let path = match tablespace {
            None => Some(destination.root()),
            Some(oid) => tablespaces.directory(oid),
        };
        let Some(path) = path.map(Path::to_owned) else {
            return Err(Error::damaged("the commit record", "it has a tablespace without a place"));
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, &path, flags, Mode::empty());
        let root = root.map_err(io::Error::from).map_err(Error::local("restore into", &path))?;
        Ok(Self {
            destination,
            tablespaces: tablespaces.clone(),
            path,
            root,
            directory: None,
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

    /// Where `name` belongs: its directory, opened, and its last component.
    ///
    /// The kernel sees to it that no name and no link leads out of the root.
    fn place<'a>(&mut self, name: &'a str) -> Result<(Arc<OwnedFd>, &'a str)> {
        let (directory, file) = name.rsplit_once('/').unwrap_or((".", name));
        if file.is_empty() || file == ".." {
            return Err(Error::damaged("the base backup", format!("it names a file '{name}'")));
        }
        if let Some((path, opened)) = &self.directory
            && path.as_os_str() == directory
        {
            return Ok((Arc::clone(opened), file));
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let opened = rustix::fs::openat2(&self.root, directory, flags, Mode::empty(), resolve);
        let opened = Arc::new(opened.map_err(|error| self.failed(directory)(error))?);
        self.directory = Some((directory.into(), Arc::clone(&opened)));
        Ok((opened, file))
    }

    fn make_directory(&mut self, member: &Member) -> Result<()> {
        let (parent, name) = self.place(&member.name)?;
        let make = || {
            match rustix::fs::mkdirat(&parent, name, Mode::RWXU) {
                Err(rustix::io::Errno::EXIST) | Ok(()) => {}
                Err(error) => return Err(error),
            }
            rustix::fs::chmodat(&parent, name, Mode::from_raw_mode(member.mode & 0o777), AtFlags::empty())?;
            self.give_at(&parent, name)
        };
        make().map_err(self.failed(&member.name))
    }

    fn make_link(&mut self, member: &Member, target: &str) -> Result<()> {
        let oid = member.name.strip_prefix("pg_tblspc/").and_then(|oid| oid.parse().ok());
        let Some(oid) = oid else {
            let reason = format!("it has a link '{}', and only tablespaces may be links", member.name);
            return Err(Error::damaged("the base backup", reason));
        };
        let target = self.tablespaces.directory(oid).map_or_else(|| PathBuf::from(target), Path::to_owned);
        let (parent, name) = self.place(&member.name)?;
        let make = || {
            rustix::fs::symlinkat(&target, &parent, name)?;
            self.give_at(&parent, name)
        };
        make().map_err(self.failed(&member.name))
    }

    fn give_at(&self, parent: &OwnedFd, name: &str) -> rustix::io::Result<()> {
        let Some((user, group)) = self.destination.owner() else { return Ok(()) };
        let (user, group) = (rustix::process::Uid::from_raw(user), rustix::process::Gid::from_raw(group));
        rustix::fs::chownat(parent, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)
    }

    fn make_file(&mut self, member: &Member) -> Result<File> {
        let (parent, name) = self.place(&member.name)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = member.mode & 0o777;
        let opened = rustix::fs::openat(&parent, name, flags, Mode::RUSR | Mode::WUSR);
        let make = |opened: OwnedFd| {
            let file = File::from(opened);
            if mode != 0o600 {
                file.set_permissions(Permissions::from_mode(mode))?;
            }
            give(&file, self.destination.owner())?;
            Ok(file)
        };
        opened.map_err(io::Error::from).and_then(make).map_err(self.failed(&member.name))
    }

    fn failed<E: Into<io::Error>>(&self, name: &str) -> impl FnOnce(E) -> Error {
        let path = self.path.join(name);
        move |error| Error::local("write", path)(error.into())
    }

    /// `pg_control` must come last of all, and `tablespace_map` may have to be changed.
    fn is_held_back(name: &str) -> bool {
        matches!(name, "global/pg_control" | "tablespace_map")
    }
}

impl TarVisitor for Extractor {
    type Error = Error;

    fn member(&mut self, member: Member) -> Result<()> {
        match &member.kind {
            // The root itself is there already.
            MemberKind::Directory if matches!(member.name.as_str(), "" | ".") => {}
            MemberKind::Directory => self.make_directory(&member)?,
            MemberKind::Link { target } => self.make_link(&member, target)?,
            MemberKind::File => {
                self.extracted.files += 1;
                self.extracted.bytes += member.bytes;
                let held_back = Self::is_held_back(&member.name);
                let file = if held_back { None } else { Some(self.make_file(&member)?) };
                self.current = match file {
                    Some(file) if member.name != "PG_VERSION" => Current::File(file),
                    file => Current::Kept { name: member.name, content: Vec::new(), file },
                };
            }
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
        file.write_all(data).map_err(Error::local("write into", &self.path))
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
