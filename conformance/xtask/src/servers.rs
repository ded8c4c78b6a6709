//! The server processes of a cluster, which a test can freeze, kill and start again.

use std::collections::HashMap;
use std::fmt::Display;
use std::fs::{self, OpenOptions};
use std::hash::Hash;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::until;

/// How many lines of a log an error shows.
const LAST_LINES: usize = 30;

/// The running servers by name, killed when dropped. Each writes a log in the directory, under its name.
#[derive(Debug)]
pub(crate) struct Servers<Name> {
    directory: PathBuf,
    running: Mutex<HashMap<Name, Child>>,
}

impl<Name: Copy + Display + Eq + Hash> Servers<Name> {
    /// Returns none yet, with their logs in this directory.
    pub(crate) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), running: Mutex::default() }
    }

    /// Starts a server, which must not be running.
    pub(crate) fn spawn(&self, server: Name, mut command: Command) -> Result<()> {
        let mut running = self.running();
        ensure!(!running.contains_key(&server), "{server} is up already");
        let log = OpenOptions::new().create(true).append(true).open(self.log_file(server))?;
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
        running.insert(server, child.with_context(|| format!("starting {server}"))?);
        Ok(())
    }

    /// Returns when `answers` is true. A server that ends before that is an error with the end of its log.
    pub(crate) fn wait_for(&self, server: Name, answers: impl Fn() -> bool) -> Result<()> {
        until(&format!("{server} answers"), || {
            if let Some(child) = self.running().get_mut(&server)
                && let Some(status) = child.try_wait()?
            {
                bail!("{server} ended with {status}:\n{}", self.last_lines(server)?);
            }
            Ok(answers())
        })
    }

    /// Ends the server as `kill -9` does, and returns when it is gone. A stopped server is no error.
    pub(crate) fn kill(&self, server: Name) -> Result<()> {
        if let Some(mut child) = self.running().remove(&server) {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Sends a signal to a running server.
    pub(crate) fn signal(&self, server: Name, signal: Signal) -> Result<()> {
        let running = self.running();
        let child = running.get(&server).with_context(|| format!("{server} is not up"))?;
        Ok(kill_process(Pid::from_child(child), signal)?)
    }

    /// Returns the server's log of all its starts.
    pub(crate) fn log(&self, server: Name) -> Result<String> {
        let path = self.log_file(server);
        let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn log_file(&self, server: Name) -> PathBuf {
        self.directory.join(format!("{server}.log"))
    }

    fn last_lines(&self, server: Name) -> Result<String> {
        let log = self.log(server)?;
        let lines: Vec<&str> = log.lines().collect();
        Ok(lines[lines.len().saturating_sub(LAST_LINES)..].join("\n"))
    }

    fn running(&self) -> MutexGuard<'_, HashMap<Name, Child>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Name> Drop for Servers<Name> {
    fn drop(&mut self) {
        for child in self.running.get_mut().unwrap_or_else(PoisonError::into_inner).values_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
