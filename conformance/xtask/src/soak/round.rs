//! One cluster and its repository: what fails there, and when.

use std::fmt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fastrand::Rng;
use xtask::{Load, Place, Process, Service, Site, Swift, stdout};

use super::Totals;
use super::receiver::Receiver;
use super::restored::compare_rows;
use super::stored::{Stored, lsn};

/// How long things fail before everything is checked, and a new cluster begins.
const ROUND: Duration = Duration::from_secs(25);
/// The most milliseconds between two failures.
const MOST_PAUSE: u64 = 500;
/// The longest wait for a program to kill: after three failures, the server pauses.
const MOST_START: Duration = Duration::from_millis(1500);
/// The most milliseconds that a program has run when it is killed.
const MOST_AGE: u64 = 300;
/// The most milliseconds for which the storage is away.
const MOST_AWAY: u64 = 4000;

/// How the server's WAL gets into the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wiring {
    Both,
    ReceiveWal,
    ArchiveWal,
}

impl Wiring {
    /// In the order of the rounds.
    pub(super) const ALL: [Self; 3] = [Self::Both, Self::ReceiveWal, Self::ArchiveWal];

    fn archives(self) -> bool {
        self != Self::ReceiveWal
    }

    fn receives(self) -> bool {
        self != Self::ArchiveWal
    }
}

impl fmt::Display for Wiring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Both => "archive-wal and receive-wal",
            Self::ReceiveWal => "receive-wal",
            Self::ArchiveWal => "archive-wal",
        })
    }
}

/// What happens.
#[derive(Clone, Copy, Debug)]
enum Event {
    KillArchiver,
    KillReceiver,
    KillServer,
    CrashServer,
    StorageAway,
    Backup,
    SwitchWal,
}

impl Event {
    /// Programs are killed most often.
    const ALL: [Self; 16] = [
        Self::KillArchiver,
        Self::KillArchiver,
        Self::KillArchiver,
        Self::KillArchiver,
        Self::KillArchiver,
        Self::KillReceiver,
        Self::KillReceiver,
        Self::KillReceiver,
        Self::KillReceiver,
        Self::KillReceiver,
        Self::KillServer,
        Self::CrashServer,
        Self::StorageAway,
        Self::Backup,
        Self::SwitchWal,
        Self::SwitchWal,
    ];

    /// Returns a program that runs, if this kills one that doesn't.
    fn with(self, wiring: Wiring) -> Self {
        match self {
            Self::KillArchiver if !wiring.archives() => Self::KillReceiver,
            Self::KillReceiver if !wiring.receives() => Self::KillArchiver,
            other => other,
        }
    }
}

/// One cluster and its repository.
pub(super) struct Round<'a> {
    site: &'a Site,
    swift: &'a Swift,
    wiring: Wiring,
    rng: &'a mut Rng,
    totals: &'a mut Totals,
    stored: Stored<'a>,
    receiver: Option<Receiver<'a>>,
    /// None while the server is down.
    load: Option<Load>,
    backup: Option<Child>,
}

impl<'a> Round<'a> {
    /// Sets the server up.
    pub(super) fn new(
        site: &'a Site,
        swift: &'a Swift,
        wiring: Wiring,
        rng: &'a mut Rng,
        totals: &'a mut Totals,
    ) -> Result<Self> {
        let server = &site.postgres;
        // What is archived stays in pg_wal, to be compared.
        server.configure(&["wal_keep_size = '100GB'", "max_wal_size = '200MB'"])?;
        // PostgreSQL pauses for ten seconds after a command that was killed, and for one after another failure.
        let archive_command = match wiring.archives() {
            true => format!("{} || exit 1", site.swiftwal.archive_command()),
            false => "/bin/true".to_owned(),
        };
        server.configure(&[&format!("archive_command = '{archive_command}'")])?;
        server.reload()?;
        let mut receiver = wiring.receives().then(|| Receiver::start(site)).transpose()?;
        let received_from = receiver.as_mut().map(Receiver::first_position).transpose()?;
        let stored = Stored::new(site, received_from);
        Ok(Self { site, swift, wiring, rng, totals, stored, receiver, load: None, backup: None })
    }

    pub(super) fn run(mut self) -> Result<()> {
        let server = &self.site.postgres;
        server.pgbench_init(5)?;
        self.site.run(self.backup_arguments())?;
        self.load = Some(server.pgbench()?);
        let end = Instant::now() + ROUND;
        while Instant::now() < end {
            sleep(Duration::from_millis(self.rng.u64(..MOST_PAUSE)));
            let event = Event::ALL[self.rng.usize(..Event::ALL.len())].with(self.wiring);
            self.happens(event).with_context(|| format!("{event:?}"))?;
            if let Some(receiver) = &mut self.receiver {
                receiver.restart_if_ended()?;
            }
        }
        self.end_backup()?;
        if let Some(load) = self.load.take() {
            load.end(server)?;
        }
        let rows = server.rows()?;
        let options = self.store_rest()?;
        self.totals.compared += self.stored.compare(self.wiring.archives())?;
        compare_rows(self.site, &options, &rows, self.rng, self.totals)
    }

    /// Waits until everything that was written is stored. Returns the options for its restore.
    fn store_rest(&mut self) -> Result<Vec<&'static str>> {
        let server = &self.site.postgres;
        if self.wiring.archives() {
            server.archive_all()?;
        }
        let Some(mut receiver) = self.receiver.take() else { return Ok(Vec::new()) };
        let end = server.sql("select pg_current_wal_flush_lsn()")?;
        if self.wiring.archives() {
            receiver.wait_until_stored(&end)?;
            receiver.kill()?;
            self.check_reported()?;
            return Ok(Vec::new());
        }
        // The server is lost with what is only in the spool.
        receiver.wait_until_written(&end)?;
        receiver.kill()?;
        self.check_reported()?;
        server.kill_all()?;
        self.site.swiftwal.run(&["receive-wal", "--drain"])?;
        self.stored.check_up_to(lsn(&end)?)?;
        Ok(vec!["--use-partial"])
    }

    fn happens(&mut self, event: Event) -> Result<()> {
        let server = &self.site.postgres;
        match event {
            Event::KillArchiver => {
                server.sql("select pg_switch_wal()")?;
                let end = Instant::now() + MOST_START;
                while self.archivers()?.is_empty() && Instant::now() < end {
                    sleep(Duration::from_millis(2));
                }
                sleep(Duration::from_millis(self.rng.u64(..MOST_AGE)));
                for process in self.archivers()? {
                    process.kill();
                    self.totals.archivers += 1;
                }
            }
            Event::KillReceiver => {
                if let Some(receiver) = self.receiver.take() {
                    receiver.kill()?;
                    self.totals.receivers += 1;
                    self.check_reported()?;
                    self.receiver = Some(Receiver::start(self.site)?);
                }
            }
            Event::KillServer => {
                server.kill_all()?;
                self.restart()?;
            }
            Event::CrashServer => {
                server.crash()?;
                self.restart()?;
            }
            Event::StorageAway => {
                let pause = Duration::from_millis(self.rng.u64(..MOST_AWAY));
                self.totals.outages += 1;
                let back = self.take_storage_away()?;
                sleep(pause);
                back()?;
            }
            Event::Backup if self.backup.is_some() => self.end_backup()?,
            Event::Backup => {
                let mut backup = self.site.command(self.backup_arguments());
                self.backup = Some(backup.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
            }
            Event::SwitchWal => drop(server.sql("select pg_switch_wal()")?),
        }
        Ok(())
    }

    /// Without an archive_command that stores it, the backup contains the WAL that it needs.
    fn backup_arguments(&self) -> &'static [&'static str] {
        if self.wiring.archives() { &["backup", "-c", "fast"] } else { &["backup", "-c", "fast", "--xlog"] }
    }

    /// Checks what the receiver that was killed had reported to the server as stored.
    fn check_reported(&mut self) -> Result<()> {
        if let Some(flushed) = Receiver::reported(&self.site.postgres)? {
            self.stored.check_up_to(flushed).context("receive-wal reported it as stored")?;
            self.totals.reports += 1;
        }
        Ok(())
    }

    /// Returns the programs that the server runs.
    fn archivers(&self) -> Result<Vec<Process>> {
        let processes = self.site.postgres.processes()?;
        Ok(processes.into_iter().filter(|process| process.name == "swiftwal").collect())
    }

    fn restart(&mut self) -> Result<()> {
        self.totals.servers += 1;
        self.load = None;
        self.site.postgres.start()?;
        self.load = Some(self.site.postgres.pgbench()?);
        Ok(())
    }

    /// Returns what brings the storage back.
    fn take_storage_away(&mut self) -> Result<Box<dyn FnOnce() -> Result<()> + 'a>> {
        if let Place::Directory(directory) = self.site.swiftwal.place() {
            let away = directory.with_extension("away");
            let rename =
                |from: &PathBuf, to: &PathBuf| stdout(Command::new("mv").args(["-T"]).arg(from).arg(to));
            rename(directory, &away)?;
            return Ok(Box::new(move || rename(&away, directory).map(drop)));
        }
        let service = [Service::Proxy, Service::Object(1), Service::Container(1)][self.rng.usize(..3)];
        self.swift.kill(service)?;
        let swift = self.swift;
        Ok(Box::new(move || swift.up(service)))
    }

    /// Kills the backup that runs.
    fn end_backup(&mut self) -> Result<()> {
        if let Some(mut backup) = self.backup.take() {
            backup.kill()?;
            self.totals.backups += usize::from(backup.wait()?.code().is_none());
        }
        Ok(())
    }
}
