//! A server whose base backup waits at a gate until the test opens it: a `pg_basebackup` of a few lines, which sends
//! the backup of a synthetic cluster.

use std::{
    fs::{self, OpenOptions, Permissions},
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use swiftwal_conformance::{Entry, SyntheticSource};
use swiftwal_postgres::BaseBackupRequest;

use crate::{
    site::{Site, ran},
    stopping::until,
};

/// The points at which a backup waits until the test lets it continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Nothing was sent.
    Start,
    /// The label and some files were sent.
    Middle,
}

/// The number of bytes that are sent before [`Gate::Middle`].
const FIRST_BYTES: usize = 100_000;

/// A server with a synthetic cluster.
pub(crate) struct Server {
    directory: PathBuf,
    source: SyntheticSource,
    request: BaseBackupRequest,
}

impl Server {
    /// Creates a server whose backups are `source`, with a directory of this name for its programs.
    pub(crate) fn new(site: &Site, name: &str, source: SyntheticSource, include_wal: bool) -> Self {
        let mut request = BaseBackupRequest::new("held");
        request.include_wal = include_wal;
        let server = Self { directory: site.path(name), source, request };
        site.write(&format!("{name}/tar"), server.source.tar(&server.request).unwrap());
        for gate in [Gate::Start, Gate::Middle] {
            mknodat(CWD, server.gate(gate), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        }
        let (here, end) = (server.directory.display(), server.source.stop_lsn());
        let [start, middle] = [Gate::Start, Gate::Middle].map(|gate| server.gate(gate).display().to_string());
        server.install(
            "pg_basebackup",
            &format!(
                "read -r go < '{start}'\nhead -c {FIRST_BYTES} '{here}/tar'\nread -r go < '{middle}'\n\
                 tail -c +{} '{here}/tar'\necho 'pg_basebackup: write-ahead log end point: {end}' >&2\n",
                FIRST_BYTES + 1
            ),
        );
        // Without it, a server on this machine might be queried.
        server.install("psql", "exit 1\n");
        server
    }

    fn install(&self, program: &str, script: &str) {
        let path = self.directory.join(program);
        fs::write(&path, format!("#!/bin/sh\n{script}")).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }

    fn gate(&self, gate: Gate) -> PathBuf {
        self.directory.join(format!("{gate:?}"))
    }

    /// Returns the command that backs up this server; `arguments` end with those of `backup`.
    pub(crate) fn command(&self, site: &Site, arguments: &[&str]) -> Command {
        let mut command = site.command(arguments);
        command.args(["--method", "pg_basebackup"]);
        command.env("PATH", format!("{}:/usr/bin:/bin", self.directory.display()));
        command.stdout(Stdio::piped());
        command
    }

    /// Takes a backup without waiting at any gate, and returns its key.
    pub(crate) fn back_up(&self, site: &Site, arguments: &[&str]) -> String {
        let child = self.command(site, arguments).stderr(Stdio::piped()).spawn().unwrap();
        self.open(Gate::Start);
        self.open(Gate::Middle);
        let ran = ran(child.wait_with_output().unwrap());
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.stdout.split(' ').nth(2).unwrap().to_owned()
    }

    /// Lets a backup continue that waits at this gate, now or later.
    pub(crate) fn open(&self, gate: Gate) {
        self.open_unless(gate, || false);
    }

    /// As [`pass`](Self::pass), for a backup that may have `ended` before.
    pub(crate) fn open_unless(&self, gate: Gate, mut ended: impl FnMut() -> bool) {
        let mut options = OpenOptions::new();
        options.write(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
        // It can't be opened for writing before it is opened for reading.
        let opened =
            || options.open(self.gate(gate)).is_ok_and(|mut opened| opened.write_all(b"go\n").is_ok());
        until(|| opened() || ended());
    }

    /// Checks that a restored directory has every file that the server had, with its content.
    pub(crate) fn assert_restored(&self, directory: &Path) {
        for (path, entry) in self.source.data_directory(&self.request).iter() {
            match entry {
                // The restore adds settings to it.
                Entry::File { .. } if path == "postgresql.auto.conf" => {}
                Entry::File { bytes, .. } => {
                    assert!(fs::read(directory.join(path)).unwrap() == *bytes, "{path} differs");
                }
                Entry::Directory { .. } | Entry::Link { .. } => {
                    assert!(directory.join(path).exists(), "{path}")
                }
            }
        }
    }
}
