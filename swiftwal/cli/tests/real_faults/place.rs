//! The program with its own container, in a cluster of `crate::shared`.

use std::{
    fs::{self, File},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context, Result, bail, ensure};
use swiftwal_conformance::SyntheticCluster;
use xtask::{Break, Direction, Environment, Fault, stdout, until};

use crate::shared::Lease;

const PROGRAM: &str = env!("CARGO_BIN_EXE_swiftwal");

/// A container of a shared Swift, and the directory in which the program runs and keeps its state.
#[derive(Clone)]
pub(crate) struct Place<'a> {
    pub(crate) swift: &'a Lease,
    pub(crate) container: String,
    pub(crate) directory: PathBuf,
    pub(crate) settings: Environment,
}

impl<'a> Place<'a> {
    /// Creates the place for the container with this name, which must be the test's own, in the account of version 1.
    pub(crate) fn new(swift: &'a Lease, name: &str) -> Result<Self> {
        if !program(swift).exists() {
            swift.scratch().program(Path::new(PROGRAM))?;
        }
        let directory = swift.scratch().directory(name)?;
        Ok(Self { swift, container: name.to_owned(), directory, settings: swift.environment_v1() })
    }

    /// As [`new`](Self::new), in the account that these settings select.
    pub(crate) fn with(self, settings: Environment) -> Self {
        Self { settings, ..self }
    }

    /// As [`new`](Self::new), with the wire in between.
    pub(crate) fn wired(self) -> Self {
        Self { settings: self.settings.wired(), ..self }
    }

    /// As [`new`](Self::new), for a program that retries a failing request for one second instead of two minutes.
    pub(crate) fn impatient(&self) -> Self {
        let settings = self.settings.clone().with("SWIFT_RETRY_SECONDS", "1");
        self.clone().with(settings)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.swift.scratch().command(program(self.swift));
        // The time for retries must end it. archive-wal's own deadline would end too early on a busy machine, at the
        // same time as the first minute of silence.
        command.args(["--deadline", "0"]).args(arguments);
        command.current_dir(&self.directory).envs(self.settings.clone());
        command.env("XDG_STATE_HOME", self.directory.join("state"));
        command.env("SWIFTWAL_REPOSITORY", format!("swift://{}", self.container));
        command
    }

    /// Starts the program in the background.
    pub(crate) fn start(&self, arguments: &[&str]) -> Result<Running> {
        self.start_command(self.command(arguments))
    }

    /// Starts a base backup of the Swift's PostgreSQL that includes its WAL.
    pub(crate) fn start_backup(&self, options: &[&str]) -> Result<Running> {
        let mut command = self.command(&[options, &["backup", "--xlog", "-c", "fast"]].concat());
        command.envs(self.swift.postgres()?.environment());
        self.start_command(command)
    }

    fn start_command(&self, mut command: Command) -> Result<Running> {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let file = |name| self.swift.scratch().path().join(format!("{name}-{number}"));
        let (stdout, stderr) = (file("stdout"), file("stderr"));
        command.stdin(Stdio::null()).stdout(File::create(&stdout)?).stderr(File::create(&stderr)?);
        Ok(Running { child: command.spawn()?, stdout, stderr })
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<Ended> {
        self.start(arguments)?.wait()
    }

    /// Runs a command that must succeed, and returns its standard output.
    pub(crate) fn succeed(&self, arguments: &[&str]) -> Result<String> {
        Ok(self.run(arguments)?.expect(0)?.stdout)
    }

    /// Takes a base backup that must succeed, and returns its key.
    pub(crate) fn back_up(&self) -> Result<String> {
        let ended = self.start_backup(&[])?.wait()?.expect(0)?;
        ended.key().with_context(|| format!("no key in {}", ended.stdout))
    }

    /// Whether this backup is restored with everything that the server has, ready to be started. The restored directory
    /// is then removed.
    pub(crate) fn restores(&self, key: &str) -> Result<bool> {
        let restored = self.directory.join("restored");
        self.succeed(&["restore", key, &restored.to_string_lossy()])?;
        let same = self.has_restored(&restored)?;
        fs::remove_dir_all(restored)?;
        Ok(same)
    }

    /// Whether a restored directory has everything that the server has.
    pub(crate) fn has_restored(&self, directory: &Path) -> Result<bool> {
        let noise = fs::read(self.swift.postgres()?.data().join("noise"))?;
        Ok(fs::read(directory.join("noise"))? == noise && directory.join("global/pg_control").exists())
    }

    /// Writes a WAL segment into the directory, and returns its name.
    pub(crate) fn segment(&self, number: u64) -> Result<String> {
        let cluster = SyntheticCluster::new(1);
        let name = cluster.wal_name(number).to_string();
        fs::write(self.directory.join(&name), cluster.segment(number))?;
        Ok(name)
    }

    /// Writes a WAL segment and archives it, and returns its name.
    pub(crate) fn archive(&self, number: u64) -> Result<String> {
        let name = self.segment(number)?;
        self.succeed(&["archive-wal", &name])?;
        Ok(name)
    }

    /// Whether a segment that was refused isn't stored, and can be archived now.
    pub(crate) fn archives_after_a_refusal(&self, name: &str) -> Result<bool> {
        self.run(&["restore-wal", name, "fetched"])?.expect(1)?;
        self.succeed(&["archive-wal", name])?;
        self.fetches(name)
    }

    /// Whether restore-wal fetches that segment with the content in the directory.
    pub(crate) fn fetches(&self, name: &str) -> Result<bool> {
        self.succeed(&["restore-wal", name, "fetched"])?;
        self.has_fetched(name)
    }

    /// Whether `fetched` is that segment. The file is then removed.
    pub(crate) fn has_fetched(&self, name: &str) -> Result<bool> {
        let fetched = self.directory.join("fetched");
        let same = fs::read(&fetched)? == fs::read(self.directory.join(name))?;
        fs::remove_file(fetched)?;
        Ok(same)
    }

    /// Whether any file is left where restore-wal was to write `fetched`, under any name.
    pub(crate) fn has_rest_of_fetched(&self) -> Result<bool> {
        let mut entries = fs::read_dir(&self.directory)?;
        let is_rest = |name: &str| name.contains("fetched");
        Ok(entries.any(|entry| entry.is_ok_and(|entry| is_rest(&entry.file_name().to_string_lossy()))))
    }

    /// Returns the name of the object with a segment.
    pub(crate) fn object(&self, segment: &str) -> String {
        format!("wal_{segment}.zst")
    }

    /// Returns the names that Swift's own client lists in the container, or with `_segments` in the container of the
    /// segments.
    pub(crate) fn listed(&self, suffix: &str) -> Result<Vec<String>> {
        let listed = self.client(&["list", &format!("{}{suffix}", self.container)])?;
        Ok(listed.lines().map(str::to_owned).collect())
    }

    /// Runs Swift's own client directly, and returns its standard output.
    pub(crate) fn client(&self, arguments: &[&str]) -> Result<String> {
        stdout(self.swift.client().envs(self.settings.clone()).args(arguments))
    }

    /// Runs `start`, and returns when this number of bytes has passed the wire in this direction. The connection with
    /// the next byte then stalls until [`xtask::Wire::heal`].
    pub(crate) fn in_the_middle(
        &self,
        direction: Direction,
        after: u64,
        start: impl FnOnce(&Self) -> Result<Running>,
    ) -> Result<Running> {
        let wire = self.swift.wire();
        wire.arm(Fault { direction, after, kind: Break::Stall });
        let mut running = start(self)?;
        until("half of it has passed", || {
            running.must_run()?;
            Ok(wire.armed() == 0)
        })?;
        Ok(running)
    }
}

fn program(swift: &Lease) -> PathBuf {
    swift.scratch().path().join("swiftwal")
}

/// The program in the background; killed when dropped.
pub(crate) struct Running {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Running {
    /// Returns when the program has reported a retry.
    pub(crate) fn wait_for_retry(&mut self) -> Result<()> {
        self.wait_for_retries(1)
    }

    /// Returns when the program has reported this number of retries.
    pub(crate) fn wait_for_retries(&mut self, count: usize) -> Result<()> {
        until(&format!("something is tried again {count} times"), || {
            self.must_run()?;
            Ok(fs::read_to_string(&self.stderr)?.matches("trying again").count() >= count)
        })
    }

    /// Waits for its end; an error if it doesn't end.
    pub(crate) fn wait(mut self) -> Result<Ended> {
        let mut status = None;
        let ended = until("the program has ended", || {
            status = self.child.try_wait()?;
            Ok(status.is_some())
        });
        ended.with_context(|| fs::read_to_string(&self.stderr).unwrap_or_default())?;
        let status = status.context("it has ended")?;
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
        let [stdout, stderr] = [fs::read_to_string(&self.stdout)?, fs::read_to_string(&self.stderr)?];
        Ok(Ended { code, stdout, stderr })
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn must_run(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("it ended with {status}: {}", fs::read_to_string(&self.stderr)?);
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The result of a run of the program.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code as a shell shows it.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Returns the result itself, if it has this exit code.
    pub(crate) fn expect(self, code: i32) -> Result<Self> {
        ensure!(self.code == code, "{} instead of {code}: {}{}", self.code, self.stdout, self.stderr);
        Ok(self)
    }

    /// Returns the key of the backup that it reported.
    pub(crate) fn key(&self) -> Option<String> {
        let (key, _) = self.stdout.strip_prefix("Creating backup ")?.split_once(' ')?;
        Some(key.to_owned())
    }

    /// Returns the result itself, if the command has failed at once with a message about a quota.
    pub(crate) fn expect_over_quota(self) -> Result<Self> {
        let ended = self.expect(1)?;
        ensure!(ended.reason().to_lowercase().contains("quota"), "{}", ended.reason());
        ensure!(!ended.has_retried(), "{}", ended.stderr);
        Ok(ended)
    }

    /// Returns the last line on standard error: the reason of the failure.
    pub(crate) fn reason(&self) -> &str {
        self.stderr.trim_end().lines().next_back().unwrap_or_default()
    }

    /// Whether it retried anything.
    pub(crate) fn has_retried(&self) -> bool {
        self.stderr.contains(" again")
    }
}
