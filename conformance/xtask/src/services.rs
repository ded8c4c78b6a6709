//! `cargo xtask services`: PostgreSQL, Swift and Keystone, and Ceph on request, in the background, for a developer.

use std::env;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write, stdin};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use rustix::process::{Pid, Signal, kill_process};
use xtask::{CephInstallation, Installation, Postgres, Scratch, SwiftInstallation, cache_directory, until};

use crate::shared::Shared;

#[derive(Subcommand)]
pub(crate) enum Action {
    /// Start them and print what to export: eval "$(cargo xtask services up)"
    Up(Selection),
    /// Stop them and remove what they stored
    Down,
    /// Serve in the background: `up` starts this
    #[command(hide = true)]
    Run(Selection),
}

/// Which servers run beside PostgreSQL, Swift and Keystone.
#[derive(Clone, Copy, clap::Args)]
pub(crate) struct Selection {
    /// Also start a Ceph, whose gateway speaks Swift's API and accepts tokens of the same Keystone
    #[arg(long)]
    ceph: bool,
}

/// The output of `up` when it fails, so that the shell's `eval` fails as well, rather than exporting nothing.
const FAILED: &str = "false\n";

/// The beginning of the names of the exports for Ceph.
const OF_CEPH: &str = "SWIFT_TEST_CEPH_";

pub(crate) fn services(action: &Action) -> Result<ExitCode> {
    let done = Files::new().and_then(|files| match action {
        Action::Up(selection) => files.up(*selection),
        Action::Down => files.down(),
        Action::Run(selection) => files.run(*selection),
    });
    if done.is_err() && matches!(action, Action::Up(_)) {
        print!("{FAILED}");
    }
    done.map(|()| ExitCode::SUCCESS)
}

/// The files by which the background process can be found.
struct Files {
    /// Locked by the background process as long as it lives. Contains its process id, and each scratch directory on a
    /// line of its own.
    running: PathBuf,
    /// The exports, written when all servers are ready.
    exports: PathBuf,
    /// The log of a failure.
    log: PathBuf,
}

impl Files {
    /// The files of this user and this checkout: others have services of their own.
    fn new() -> Result<Self> {
        let mut hasher = DefaultHasher::new();
        env!("CARGO_MANIFEST_DIR").hash(&mut hasher);
        let directory = cache_directory()?.join(format!("services-{:016x}", hasher.finish()));
        fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
        Ok(Self {
            running: directory.join("pid"),
            exports: directory.join("env"),
            log: directory.join("log"),
        })
    }

    fn up(&self, selection: Selection) -> Result<()> {
        Installation::ensure()?;
        SwiftInstallation::ensure()?;
        if selection.ceph {
            CephInstallation::ensure()?;
        }
        if self.is_running()? {
            self.wait_for_exports()?;
            let exports = fs::read_to_string(&self.exports)?;
            if selection.ceph && !exports.contains(OF_CEPH) {
                bail!("the services are running without Ceph: run `cargo xtask services down` first");
            }
        } else {
            let started = self.start_in_background(selection)?;
            if let Err(error) = self.wait_for_exports() {
                drop(started);
                self.wait_for_end()?;
                return Err(error);
            }
            started.keep()?;
        }
        print!("{}", fs::read_to_string(&self.exports)?);
        eprintln!("xtask: the services are running; `cargo xtask services down` stops them");
        Ok(())
    }

    fn wait_for_exports(&self) -> Result<()> {
        until("the servers answer", || {
            if !self.is_running()? {
                bail!("the servers didn't start:\n{}", fs::read_to_string(&self.log)?);
            }
            Ok(self.exports.exists())
        })
    }

    fn down(&self) -> Result<()> {
        if !self.is_running()? {
            eprintln!("xtask: no services were running");
            return Ok(());
        }
        let told = fs::read_to_string(&self.running)?;
        let (pid, _) = told.split_once('\n').context("the servers are still starting: try again")?;
        let pid = Pid::from_raw(pid.parse()?).context("a process id is not 0")?;
        kill_process(pid, Signal::TERM)?;
        self.wait_for_end()
    }

    /// Returns when the background process and everything that it started have ended.
    fn wait_for_end(&self) -> Result<()> {
        let told = fs::read_to_string(&self.running)?;
        let scratches = told.lines().skip(1).map(Path::new);
        until("the servers have ended", || Ok(!self.is_running()? && !scratches.clone().any(Path::exists)))
    }

    /// Whether a process holds the lock, which ends with the process.
    fn is_running(&self) -> Result<bool> {
        match self.open()?.try_lock() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    fn open(&self) -> io::Result<File> {
        OpenOptions::new().create(true).truncate(false).write(true).open(&self.running)
    }

    fn start_in_background(&self, selection: Selection) -> Result<Started> {
        let _ = fs::remove_file(&self.exports);
        let log = File::create(&self.log)?;
        let mut run = Command::new(env::current_exe()?);
        // In a process group of its own: a signal to our group (Ctrl-C) must not end it.
        run.args(["services", "run"]).args(selection.ceph.then_some("--ceph"));
        run.process_group(0).current_dir("/");
        run.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        let mut started = Started(run.spawn().context("starting the background process")?);
        until("the background process has begun", || {
            Ok(started.0.try_wait()?.is_some() || self.is_running()?)
        })?;
        Ok(started)
    }

    /// Serves until it is killed; then the guardian of the scratch directory cleans up.
    fn run(&self, selection: Selection) -> Result<()> {
        let mut running = self.open()?;
        running.try_lock().context("the servers are up already")?;
        running.set_len(0)?;
        thread::spawn(end_unless_kept);
        let installation = Installation::ensure()?;
        let scratches = [Scratch::new(installation.clone())?, Scratch::new(installation)?];
        let paths = scratches.each_ref().map(|scratch| scratch.path().display().to_string());
        write!(running, "{}\n{}", std::process::id(), paths.join("\n"))?;

        let postgres = Postgres::create(&scratches[0], "data", &[])?;
        postgres.start()?;
        let shared = Shared::start(&scratches, selection.ceph)?;
        let exports = self.exports.with_extension("new");
        fs::write(&exports, exports_of(&postgres, &shared)?)?;
        // Appears complete or not at all.
        fs::hard_link(&exports, &self.exports)?;
        loop {
            thread::park();
        }
    }
}

/// A background process that ends, with its servers, unless [`Self::keep`] is called: so also when this process is
/// interrupted or gives up before the servers are ready.
struct Started(Child);

impl Started {
    fn keep(mut self) -> Result<()> {
        let mut stdin = self.0.stdin.take().context("the background process reads from us")?;
        stdin.write_all(KEEP).context("telling the background process to go on")
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // An empty pipe: the process wasn't told to continue.
        if self.0.stdin.take().is_some() {
            let _ = self.0.wait();
        }
    }
}

const KEEP: &[u8] = b"keep\n";

/// Ends this process if the one that started it ends without telling it to continue.
fn end_unless_kept() {
    let mut told = Vec::new();
    let _ = stdin().read_to_end(&mut told);
    if told != KEEP {
        eprintln!("xtask: given up by the process that started this one");
        std::process::exit(1);
    }
}

/// Returns lines for a shell: PostgreSQL, Keystone with a password, and the other settings, those for hands as comments.
fn exports_of(postgres: &Postgres, shared: &Shared) -> Result<String> {
    let swift = &shared.swift;
    let line = |name: &str, value: &str| format!("export {name}={value}\n");
    let settings: String = postgres
        .environment()
        .into_iter()
        .chain(swift.environment_v3_password()?)
        .map(|(name, value)| line(name, &value))
        .collect();
    let tests: String = shared.settings()?.iter().map(|(name, value)| line(name, value)).collect();
    let v1: String =
        swift.environment_v1().into_iter().map(|(name, value)| format!("# {}", line(name, &value))).collect();
    let ceph: String = tests
        .lines()
        .filter_map(|line| line.split_once(OF_CEPH))
        .filter(|(_, setting)| setting.starts_with("ST_") || setting.starts_with("OS_STORAGE_URL"))
        .map(|(_, setting)| format!("# export {setting}\n"))
        .collect();
    let ceph = if ceph.is_empty() {
        ceph
    } else {
        format!("# Ceph, by Keystone with this URL, or by its own version 1:\n{ceph}")
    };
    let client = swift.client().get_program().display().to_string();
    Ok(format!(
        "{settings}# Instead of Keystone:\n{v1}{ceph}# A client: {client}\n\
         # For cargo test -- --include-ignored:\n{tests}"
    ))
}
