//! The data directory of a server in recovery.

use std::{
    fmt, fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf, absolute},
};

use swiftwal_postgres::{ControlFile, SegmentHeader, SegmentSize};

use crate::{
    error::{Error, Result},
    local::{regular_file::read_regular_file, server_process::ServerProcess},
};

/// More than PostgreSQL's 8 KiB.
const MOST_CONTROL_BYTES: u64 = 64 << 10;

/// The data directory of a server that runs, as it was when it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataDirectory {
    path: PathBuf,
    device: u64,
    inode: u64,
    server: ServerProcess,
    pub(super) system_identifier: u64,
    pub(super) segment_size: SegmentSize,
}

impl DataDirectory {
    /// Opens the data directory at `path`.
    ///
    /// # Errors
    ///
    /// Those of the system; [`io::ErrorKind::NotFound`] if it isn't a data directory, or no server runs there;
    /// [`io::ErrorKind::InvalidData`] if its control file can't be understood.
    pub fn open(path: &Path) -> io::Result<Self> {
        let path = path.canonicalize()?;
        let server = server_of(&path)?;
        let found = fs::metadata(&path)?;
        let control = read_regular_file(&path.join("global/pg_control"), MOST_CONTROL_BYTES)?;
        let control = ControlFile::parse(&control)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(Self {
            path,
            device: found.dev(),
            inode: found.ino(),
            server,
            system_identifier: control.system_identifier,
            segment_size: control.segment_size,
        })
    }

    /// Returns the size of the cluster's WAL segments.
    #[must_use]
    pub fn segment_size(&self) -> SegmentSize {
        self.segment_size
    }

    /// Whether the server is the first process of a container. The kernel gives it the processes whose parents have ended,
    /// and it takes the crash of one for that of its own.
    #[must_use]
    pub fn server_adopts_processes(&self) -> bool {
        self.server.is_first()
    }

    /// Whether it is still there and the same server runs.
    pub(super) fn is_used(&self) -> bool {
        server_of(&self.path).is_ok_and(|server| server == self.server)
            && fs::metadata(&self.path)
                .is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode))
    }

    /// Fails if a segment with this header belongs to another cluster. `place` is its name in the error.
    pub(super) fn check(&self, header: &SegmentHeader, place: impl fmt::Display) -> Result<()> {
        let (found, own) = (header.system_identifier, self.system_identifier);
        if found == own {
            return Ok(());
        }
        let reason = format!(
            "it belongs to the PostgreSQL cluster with system identifier {found}, and the data directory to {own}"
        );
        Err(Error::damaged(place, reason))
    }

    /// Whether `path`, which needn't exist, is in the data directory or in its `pg_wal`, which may be elsewhere.
    pub(super) fn contains(&self, path: &Path) -> io::Result<bool> {
        let path = absolute(path)?;
        let existing = path.ancestors().find_map(|ancestor| ancestor.canonicalize().ok());
        let wal = self.path.join("pg_wal").canonicalize();
        let is_below = |directory: &Path| existing.as_ref().is_some_and(|path| path.starts_with(directory));
        Ok(is_below(&self.path) || wal.is_ok_and(|wal| is_below(&wal)))
    }

    /// Returns a text that no other data directory of this machine has.
    pub(super) fn identity(&self) -> String {
        identity(self.device, self.inode, &self.path)
    }

    /// Whether there is no data directory any more with this [`identity`](Self::identity).
    pub(super) fn is_gone(identity_before: &str) -> bool {
        let Some((_, path)) = identity_before.split_once(' ') else { return false };
        match fs::metadata(path) {
            Ok(found) => identity(found.dev(), found.ino(), Path::new(path)) != identity_before,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }
}

fn identity(device: u64, inode: u64, path: &Path) -> String {
    format!("{device}:{inode} {}", path.display())
}

/// Returns the server of the data directory at `path`. [`io::ErrorKind::NotFound`] if it isn't a data directory, or no
/// server runs there.
fn server_of(path: &Path) -> io::Result<ServerProcess> {
    fs::metadata(path.join("PG_VERSION"))?;
    ServerProcess::running_in(path)
}
