//! `cargo xtask services`: PostgreSQL, Swift and Keystone for a developer, in the background.

use std::env;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use rustix::process::{Pid, Signal, kill_process};
use xtask::{Installation, Postgres, Scratch, SwiftInstallation, cache_directory, until};

use crate::shared::Shared;

#[derive(Subcommand)]
pub(crate) enum Action {
    /// Starts them and prints what to export: eval "$(cargo xtask services up)"
    Up,
    /// Stops them and removes what they stored
    Down,
    /// What `up` leaves in the background
    #[command(hide = true)]
    Run,
}

pub(crate) fn services(action: &Action) -> Result<ExitCode> {
    let files = Files::new()?;
    match action {
        Action::Up => files.up(),
        Action::Down => files.down(),
        Action::Run => files.run(),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// What the background process tells those who look for it.
struct Files {
    /// Locked by it as long as it lives; its process id, and each scratch directory on a line of its own.
    running: PathBuf,
    /// The exports, once all servers answer.
    exports: PathBuf,
    /// What it said when it failed.
    log: PathBuf,
}

impl Files {
    /// This checkout's, of this user: others have services of their own.
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

    fn up(&self) -> Result<()> {
        Installation::ensure()?;
        SwiftInstallation::ensure()?;
        if !self.is_running()? {
            self.start_in_background()?;
        }
        until("the servers answer", || {
            if !self.is_running()? {
                bail!("the servers didn't start:\n{}", fs::read_to_string(&self.log)?);
            }
            Ok(self.exports.exists())
        })?;
        print!("{}", fs::read_to_string(&self.exports)?);
        eprintln!("xtask: all is up; `cargo xtask services down` ends it");
        Ok(())
    }

    fn down(&self) -> Result<()> {
        if !self.is_running()? {
            eprintln!("xtask: nothing was up");
            return Ok(());
        }
        let told = fs::read_to_string(&self.running)?;
        let (pid, scratches) = told.split_once('\n').context("the servers are just starting: try again")?;
        let pid = Pid::from_raw(pid.parse()?).context("a process id is not 0")?;
        kill_process(pid, Signal::TERM)?;
        until("the servers have ended", || {
            Ok(!self.is_running()? && !scratches.lines().any(|scratch| Path::new(scratch).exists()))
        })
    }

    /// Whether somebody holds the lock, which nobody's death leaves behind.
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

    fn start_in_background(&self) -> Result<()> {
        let _ = fs::remove_file(&self.exports);
        let log = File::create(&self.log)?;
        let mut run = Command::new(env::current_exe()?);
        // A group of its own: what ends ours (Ctrl-C) must not end it.
        run.args(["services", "run"]).process_group(0).current_dir("/");
        run.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut child = run.spawn().context("starting the background process")?;
        until("the background process has begun", || Ok(child.try_wait()?.is_some() || self.is_running()?))
    }

    /// Serves until it is killed; the scratch directory's guardian does the rest.
    fn run(&self) -> Result<()> {
        let mut running = self.open()?;
        running.try_lock().context("the servers are up already")?;
        running.set_len(0)?;
        let installation = Installation::ensure()?;
        let scratches = [Scratch::new(installation.clone())?, Scratch::new(installation)?];
        let paths = scratches.each_ref().map(|scratch| scratch.path().display().to_string());
        write!(running, "{}\n{}", std::process::id(), paths.join("\n"))?;

        let postgres = Postgres::create(&scratches[0], "data", &[])?;
        postgres.start()?;
        let shared = Shared::start(&scratches)?;
        let exports = self.exports.with_extension("new");
        fs::write(&exports, exports_of(&postgres, &shared)?)?;
        // Whole or not at all.
        fs::hard_link(&exports, &self.exports)?;
        loop {
            std::thread::park();
        }
    }
}

/// Lines for a shell: PostgreSQL, Keystone with a password, and as comments what else there is.
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
    let client = swift.client().get_program().display().to_string();
    Ok(format!(
        "{settings}# Instead of Keystone:\n{v1}# A client: {client}\n\
         # For cargo test -- --include-ignored:\n{tests}"
    ))
}
