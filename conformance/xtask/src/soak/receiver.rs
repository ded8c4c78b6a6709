//! receive-wal as a service, which is started again whenever it ends.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Child;

use anyhow::{Context, Result, bail};
use xtask::{Postgres, Site, until};

use super::stored::lsn;

/// A receive-wal; killed when dropped.
pub(super) struct Receiver<'a> {
    site: &'a Site,
    child: Child,
}

impl<'a> Receiver<'a> {
    /// Starts it. It stores incomplete segments often, and its spool is small, so that it is full when the storage is away.
    pub(super) fn start(site: &'a Site) -> Result<Self> {
        Ok(Self { site, child: spawn(site)? })
    }

    /// Returns where its WAL begins, once the server streams to it for the first time.
    pub(super) fn first_position(&mut self) -> Result<u64> {
        let mut first = None;
        self.until("the server streams", |server| {
            let position = "select s.restart_lsn from pg_replication_slots s \
                            join pg_stat_replication r on r.pid = s.active_pid where r.state = 'streaming'";
            first = Some(server.sql(position)?).filter(|position| !position.is_empty());
            Ok(first.is_some())
        })?;
        lsn(&first.context("it streams")?)
    }

    /// Starts it again if it has ended, because the server or the storage was away when it began.
    pub(super) fn restart_if_ended(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_some() {
            self.child = spawn(self.site)?;
        }
        Ok(())
    }

    /// Returns when everything before the position is stored.
    pub(super) fn wait_until_stored(&mut self, position: &str) -> Result<()> {
        self.wait_for("flush_lsn", position)
    }

    /// Returns when everything before the position is in the spool or stored.
    pub(super) fn wait_until_written(&mut self, position: &str) -> Result<()> {
        self.wait_for("write_lsn", position)
    }

    fn wait_for(&mut self, column: &str, position: &str) -> Result<()> {
        let reached = format!("select count(*) from pg_stat_replication where {column} >= '{position}'");
        self.restart_if_ended()?;
        self.until(&format!("{column} is {position}"), |server| Ok(server.sql(&reached)? == "1"))
    }

    /// Waits, as long as it runs.
    fn until(&mut self, what: &str, mut condition: impl FnMut(&Postgres) -> Result<bool>) -> Result<()> {
        let said = || fs::read_to_string(log_file(self.site)).unwrap_or_default();
        until(what, || {
            if let Some(status) = self.child.try_wait()? {
                bail!("receive-wal ended with {status}");
            }
            condition(&self.site.postgres)
        })
        .with_context(said)
    }

    pub(super) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop).map_err(Into::into)
    }

    /// Returns up to where a receiver has reported WAL as stored; None if no receiver ever has. The server has read all
    /// reports of one that has ended.
    pub(super) fn reported(server: &Postgres) -> Result<Option<u64>> {
        let slot = "pg_replication_slots where slot_name = 'swiftwal'";
        let is_used = format!("select count(*) from {slot} and active");
        until("the server has noticed the end of receive-wal", || Ok(server.sql(&is_used)? == "0"))?;
        let reported = server.sql(&format!("select restart_lsn from {slot}"))?;
        if reported.is_empty() { Ok(None) } else { lsn(&reported).map(Some) }
    }
}

impl Drop for Receiver<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(site: &Site) -> Result<Child> {
    let mut command = site.command(&["-v", "receive-wal", "--create-slot"]);
    command.args(["--partial-interval", "1", "--spool-size", "64M"]);
    let log = File::options().create(true).append(true).open(log_file(site))?;
    command.stderr(log).spawn().context("starting receive-wal")
}

fn log_file(site: &Site) -> PathBuf {
    site.scratch.path().join("receive-wal.log")
}
