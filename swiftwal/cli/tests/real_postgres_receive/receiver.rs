//! A receive-wal in the background, and what it has stored.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use xtask::{Postgres, Site, peak_memory_kib, until};

/// A receive-wal in the background; killed when dropped.
pub(crate) struct Receiver {
    child: Child,
    said: PathBuf,
}

impl Receiver {
    /// Starts it, and waits until the server streams to it.
    pub(crate) fn start(site: &Site, options: &[&str]) -> Result<Self> {
        let mut receiver = Self::begin(site, &site.postgres, options)?;
        receiver.wait_for_stream(&site.postgres)?;
        Ok(receiver)
    }

    pub(crate) fn begin(site: &Site, server: &Postgres, options: &[&str]) -> Result<Self> {
        Self::spawn(site, Self::command(site, server, options))
    }

    /// Returns the command that starts it.
    pub(crate) fn command(site: &Site, server: &Postgres, options: &[&str]) -> Command {
        let arguments = [&["-v", "receive-wal", "--create-slot"], options].concat();
        let mut command = site.swiftwal.command(&arguments);
        command.envs(server.environment());
        command
    }

    pub(crate) fn spawn(site: &Site, mut command: Command) -> Result<Self> {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let said = site.scratch.path().join(format!("receive-wal-{number}"));
        command.stderr(File::create(&said)?);
        Ok(Self { child: command.spawn()?, said })
    }

    pub(crate) fn wait_for_stream(&mut self, server: &Postgres) -> Result<()> {
        self.until("the server streams", || Ok(streams(server)? == "1"))
    }

    /// Waits, as long as it runs.
    pub(crate) fn until(&mut self, what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
        until(what, || {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended with {status}: {}", self.said()?);
            }
            condition()
        })
        .with_context(|| self.said().unwrap_or_default())
    }

    /// Waits until it has said something.
    pub(crate) fn until_said(&mut self, text: &str) -> Result<()> {
        let said = self.said.clone();
        self.until(text, || Ok(fs::read_to_string(&said)?.contains(text)))
    }

    /// Returns the most memory that it has had, in KiB.
    pub(crate) fn most_memory(&self) -> Result<u64> {
        peak_memory_kib(self.child.id()).context("it has ended")
    }

    pub(crate) fn said(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.said)?)
    }

    /// Stops it by SIGTERM, which is a success.
    pub(crate) fn stop(mut self) -> Result<String> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let status = self.child.wait()?;
        let said = self.said()?;
        ensure!(status.code() == Some(0), "{status}: {said}");
        Ok(said)
    }

    /// Waits until it fails, and returns what it has said.
    pub(crate) fn failed(mut self) -> Result<String> {
        until("it fails", || Ok(self.child.try_wait()?.is_some()))
            .with_context(|| self.said().unwrap_or_default())?;
        let (status, said) = (self.child.wait()?, self.said()?);
        ensure!(status.code() == Some(1), "{status}: {said}");
        Ok(said)
    }

    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop).map_err(Into::into)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns how many receivers stream from the server.
pub(crate) fn streams(server: &Postgres) -> Result<String> {
    // WAL that is only compared is streamed without the slot.
    server.sql(
        "select count(*) from pg_stat_replication join pg_replication_slots on pid = active_pid
         where application_name = 'swiftwal' and state = 'streaming'",
    )
}

/// Makes the server keep its WAL for the comparison, and archive nothing.
pub(crate) fn keep_wal(server: &Postgres) -> Result<()> {
    server.configure(&["archive_command = '/bin/true'", "wal_keep_size = 2GB"])?;
    server.reload()
}

/// Ends the current segment, and waits until the server knows that it is stored.
pub(crate) fn wait_until_stored(receiver: &mut Receiver, server: &Postgres) -> Result<()> {
    let end = server.sql("select pg_switch_wal()")?;
    let flushed = format!("select count(*) from pg_stat_replication where flush_lsn >= '{end}'");
    receiver.until("the WAL is stored", || Ok(server.sql(&flushed)? == "1"))
}

/// Compares what is stored with the server's files: every segment from the first stored one on, up to the one that is being
/// written. Returns how many they are.
pub(crate) fn compare(site: &Site, server: &Postgres) -> Result<usize> {
    let current = server.sql("select pg_walfile_name(pg_current_wal_insert_lsn())")?;
    let timeline = &current[..8];
    let listed = site.run(&["list-wal"])?;
    let first = listed
        .lines()
        .find(|name| name.len() == 24 && name.starts_with(timeline))
        .with_context(|| format!("nothing is stored: {listed}"))?;
    let mut names: Vec<String> = fs::read_dir(server.data().join("pg_wal"))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    names.retain(|name| {
        name.len() == 24 && name.as_str() >= first && *name < current && name.starts_with(timeline)
    });
    let fetched = site.scratch.path().join("fetched");
    for name in &names {
        site.run(&["restore-wal", name, &fetched.to_string_lossy()])?;
        let is_same = fs::read(&fetched)? == fs::read(server.data().join("pg_wal").join(name))?;
        ensure!(is_same, "{name} differs");
    }
    Ok(names.len())
}
