//! A scratch directory with a repository, in which the program runs.

use std::{
    fs,
    future::pending,
    io::ErrorKind,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::Arc,
    time::{Duration, SystemTime},
};

use swiftwal_compression::Codec;
use swiftwal_conformance::SyntheticCluster;
use swiftwal_core::{BackupMode, BackupOptions, Options, Repository, SystemClock};
use swiftwal_postgres::Checkpoint;
use tempfile::TempDir;

/// The size of a WAL segment in these tests: the smallest that PostgreSQL supports.
pub(crate) const SEGMENT_BYTES: usize = 1 << 20;

/// A scratch directory that contains a repository, `repository`, and is the program's working directory.
pub(crate) struct Site {
    scratch: TempDir,
}

/// The result of a run of the program.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self { scratch: TempDir::new().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Returns the path of an object of the repository.
    pub(crate) fn object(&self, name: &str) -> PathBuf {
        self.path("repository").join(name)
    }

    pub(crate) fn repository_url(&self) -> String {
        format!("file://{}", self.path("repository").display())
    }

    /// Returns a command with an environment that names only the repository.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.bare_command(arguments);
        command.env("SWIFTWAL_REPOSITORY", self.repository_url());
        command
    }

    /// Returns a command with an environment that names only a state directory.
    pub(crate) fn bare_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_swiftwal"));
        command.args(arguments).current_dir(self.scratch.path()).env_clear().stdin(Stdio::null());
        command.env("XDG_STATE_HOME", self.path("state"));
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        run(&mut self.command(arguments))
    }

    /// Runs a command that must succeed, and returns its standard output.
    pub(crate) fn succeed(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {ran:?}");
        ran.stdout
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// Writes the segment `number` of timeline 1 where a server would, and returns its path relative to the scratch
    /// directory.
    pub(crate) fn write_segment(&self, number: u32, fill: u8) -> String {
        let path = format!("pg_wal/{}", segment_name(number));
        self.write(&path, segment(number, fill));
        path
    }

    /// Archives the segments of timeline 1 with these numbers.
    pub(crate) fn archive(&self, numbers: impl IntoIterator<Item = u32>) {
        for number in numbers {
            let path = self.write_segment(number, 0);
            self.succeed(&["archive-wal", &path]);
        }
    }

    /// Stores a backup as SwiftWAL 0.2.2 did, which begins in the segment `number`; its content isn't a tar.
    pub(crate) fn store_legacy_backup(&self, key: &str, number: u32) {
        self.write(&format!("repository/pg_basebackup_{key}.tgz"), [0; 2000]);
        self.write(&format!("repository/backup_label_{key}.txt"), legacy_label(number));
    }

    /// Stores a backup of a synthetic cluster that includes the WAL it needs, and returns its key.
    pub(crate) fn store_backup(&self) -> String {
        self.store_backup_as(BackupMode::Full)
    }

    /// As [`store_backup`](Self::store_backup), of this kind.
    pub(crate) fn store_backup_as(&self, mode: BackupMode) -> String {
        let url = self.repository_url().parse().unwrap();
        let create = Options { create: true, ..Options::default() };
        let storage = swiftwal_backends::registry().open(&url, &create).unwrap();
        let repository = Repository::new(storage, url, Arc::new(SystemClock));
        let options = BackupOptions {
            label: "made up".to_owned(),
            mode,
            checkpoint: Checkpoint::Fast,
            include_wal: true,
            codec: Codec::default(),
            archive_timeout: Duration::ZERO,
            copy: swiftwal_postgres::CopyOptions::default(),
            estimate_size: false,
        };
        let source = SyntheticCluster::new(1).backup(3, 4).that_sends_a_manifest();
        let backup = swiftwal_core::backup(&repository, &source, &options, &|_| {}, pending());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(backup).unwrap().key.to_string()
    }

    /// Does what unmounting the repository's disk does.
    #[expect(clippy::disallowed_methods, reason = "nothing is published")]
    pub(crate) fn move_repository_away(&self) {
        fs::rename(self.path("repository"), self.path("elsewhere")).unwrap();
    }

    /// Does what mounting it again does.
    #[expect(clippy::disallowed_methods, reason = "nothing is published")]
    pub(crate) fn move_repository_back(&self) {
        fs::rename(self.path("elsewhere"), self.path("repository")).unwrap();
    }

    /// Sets the date of everything in the repository back by an hour.
    pub(crate) fn age_repository(&self) {
        #[expect(clippy::disallowed_methods, reason = "the repository's files are dated by this clock")]
        let then = SystemTime::now() - Duration::from_secs(3600);
        for (path, _) in self.stored() {
            fs::File::options().write(true).open(&path).unwrap().set_modified(then).unwrap();
        }
    }

    /// Returns every file below the repository, with its content. A file that another process has just removed or renamed
    /// is left out.
    pub(crate) fn stored(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        collect(&self.path("repository"), &mut files);
        files.sort();
        files
    }
}

fn collect(directory: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            match fs::read(&path) {
                Ok(content) => files.push((path, content)),
                Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{}", path.display()),
            }
        }
    }
}

pub(crate) fn run(command: &mut Command) -> Ran {
    ran(command.output().unwrap())
}

/// Returns the result of a process that wasn't killed.
pub(crate) fn ran(output: Output) -> Ran {
    assert_eq!(output.status.signal(), None, "{output:?}");
    Ran {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

pub(crate) fn segment_name(number: u32) -> String {
    format!("00000001{:08X}{:08X}", number / 4096, number % 4096)
}

/// Returns a segment with the first page's header of PostgreSQL 15, otherwise filled with the byte `fill`.
pub(crate) fn segment(number: u32, fill: u8) -> Vec<u8> {
    segment_of(number, fill, SEGMENT_BYTES)
}

/// As [`segment`], for a server with segments of this size.
pub(crate) fn segment_of(number: u32, fill: u8, bytes: usize) -> Vec<u8> {
    let mut segment = vec![fill; bytes];
    let header = [
        &0xD110_u16.to_ne_bytes()[..],
        &2_u16.to_ne_bytes(),
        &1_u32.to_ne_bytes(),
        &(u64::from(number) * bytes as u64).to_ne_bytes(),
        &[0; 8],
        &7_u64.to_ne_bytes(),
        &(bytes as u32).to_ne_bytes(),
        &8192_u32.to_ne_bytes(),
    ]
    .concat();
    segment[..header.len()].copy_from_slice(&header);
    segment
}

pub(crate) fn legacy_label(number: u32) -> String {
    let start = format!("{:X}/{:X}", number / 4096, number % 4096 * SEGMENT_BYTES as u32 + 0x28);
    format!(
        "START WAL LOCATION: {start} (file {})\nCHECKPOINT LOCATION: {start}\nBACKUP METHOD: streamed\n\
         START TIME: 2013-08-28 18:10:42 UTC\nLABEL: pg_basebackup base backup\n",
        segment_name(number)
    )
}
