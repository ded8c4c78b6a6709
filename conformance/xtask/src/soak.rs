//! `cargo xtask soak`: while PostgreSQL writes as fast as it can, programs, servers and the storage fail at random moments.
//! Afterwards each WAL file that PostgreSQL believes archived must be stored with the same bytes, and a restored server
//! must have the same rows.
//!
//! The seed decides what fails and how long the pauses are. The processes still race, so a failure may need several runs
//! with its seed.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use xtask::{
    Installation, Load, Place, Process, Scratch, Service, Site, Swift, SwiftOptions, output, stdout,
};

use crate::build;

/// How long things fail before everything is checked, and a new cluster begins.
const ROUND: Duration = Duration::from_secs(25);
/// The most milliseconds between two failures.
const MOST_PAUSE: u64 = 1500;
/// The longest wait for a program to kill: after failures, the server pauses for a minute.
const MOST_START: Duration = Duration::from_secs(1);
/// The most milliseconds that a program has run when it is killed.
const MOST_AGE: u64 = 300;
/// The most milliseconds for which the storage is away.
const MOST_AWAY: u64 = 4000;
/// The versions of PostgreSQL of the rounds, in turn.
const MAJORS: [u32; 2] = [18, 15];

/// The options of `cargo xtask soak`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// For how long; the last round is completed
    #[arg(long, value_name = "N", default_value_t = 10)]
    minutes: u64,
    /// Let the same things fail as in the run that printed this seed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// What happens.
#[derive(Clone, Copy, Debug)]
enum Event {
    KillProgram,
    KillServer,
    CrashServer,
    StorageAway,
    Backup,
    SwitchWal,
}

impl Event {
    /// The program is killed most often.
    const ALL: [Self; 10] = [
        Self::KillProgram,
        Self::KillProgram,
        Self::KillProgram,
        Self::KillProgram,
        Self::KillServer,
        Self::CrashServer,
        Self::StorageAway,
        Self::Backup,
        Self::SwitchWal,
        Self::SwitchWal,
    ];
}

/// What happened in all rounds.
#[derive(Debug, Default)]
struct Totals {
    rounds: usize,
    killed_programs: usize,
    killed_servers: usize,
    outages: usize,
    compared: usize,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rounds, killed_programs, killed_servers, outages, compared } = self;
        write!(
            f,
            "{rounds} rounds: {killed_programs} programs and {killed_servers} servers killed, the storage away {outages} \
             times; {compared} archived WAL files compared, and the rows of {rounds} restored servers: all equal"
        )
    }
}

/// Runs rounds until the time is over. It is an error if anything acknowledged is lost.
pub(crate) fn soak(options: &Options) -> Result<ExitCode> {
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("seed {seed}");
    let program = build::debug()?;
    let swift = Swift::start(&Scratch::new(Installation::ensure()?)?, SwiftOptions::with_keystone())?;
    let end = Instant::now() + Duration::from_secs(60 * options.minutes);
    let mut totals = Totals::default();
    let mut rng = Rng::with_seed(seed);
    while Instant::now() < end {
        let major = MAJORS[totals.rounds % MAJORS.len()];
        let is_on_swift = totals.rounds % 2 == 1;
        let site = match is_on_swift {
            true => Site::start_version_on_swift(&program, major, swift.environment_v3_password()?)?,
            false => Site::start_version(&program, major)?,
        };
        println!("round {}: PostgreSQL {major}, {}", totals.rounds + 1, site.swiftwal.place());
        let round = Round {
            site: &site,
            swift: &swift,
            rng: &mut rng,
            totals: &mut totals,
            load: None,
            backup: None,
        };
        round.run().with_context(|| format!("seed {seed}, round {}", totals.rounds + 1))?;
        totals.rounds += 1;
    }
    println!("{totals}");
    Ok(ExitCode::SUCCESS)
}

/// One cluster and its repository.
struct Round<'a> {
    site: &'a Site,
    swift: &'a Swift,
    rng: &'a mut Rng,
    totals: &'a mut Totals,
    /// None while the server is down.
    load: Option<Load>,
    backup: Option<Child>,
}

impl Round<'_> {
    fn run(mut self) -> Result<()> {
        let server = &self.site.postgres;
        // What is archived stays in pg_wal, to be compared.
        server.configure(&["wal_keep_size = '100GB'", "max_wal_size = '200MB'"])?;
        server.reload()?;
        server.pgbench_init(5)?;
        self.site.run(&["backup", "-c", "fast"])?;
        self.load = Some(server.pgbench()?);
        let end = Instant::now() + ROUND;
        while Instant::now() < end {
            sleep(Duration::from_millis(self.rng.u64(..MOST_PAUSE)));
            let event = Event::ALL[self.rng.usize(..Event::ALL.len())];
            self.happens(event).with_context(|| format!("{event:?}"))?;
        }
        self.end_backup()?;
        if let Some(load) = self.load.take() {
            load.end(server)?;
        }
        let rows = server.rows()?;
        server.archive_all()?;
        self.compare_wal()?;
        self.compare_rows(&rows)
    }

    fn happens(&mut self, event: Event) -> Result<()> {
        let server = &self.site.postgres;
        match event {
            Event::KillProgram => {
                server.sql("select pg_switch_wal()")?;
                let end = Instant::now() + MOST_START;
                while self.running()?.is_empty() && Instant::now() < end {
                    sleep(Duration::from_millis(2));
                }
                sleep(Duration::from_millis(self.rng.u64(..MOST_AGE)));
                for process in self.running()? {
                    process.kill();
                    self.totals.killed_programs += 1;
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
                let mut backup = self.site.command(&["backup", "-c", "fast"]);
                self.backup = Some(backup.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
            }
            Event::SwitchWal => drop(server.sql("select pg_switch_wal()")?),
        }
        Ok(())
    }

    /// Returns the programs that the server runs.
    fn running(&self) -> Result<Vec<Process>> {
        let processes = self.site.postgres.processes()?;
        Ok(processes.into_iter().filter(|process| process.name == "swiftwal").collect())
    }

    fn restart(&mut self) -> Result<()> {
        self.totals.killed_servers += 1;
        self.load = None;
        self.site.postgres.start()?;
        self.load = Some(self.site.postgres.pgbench()?);
        Ok(())
    }

    /// Returns what brings the storage back.
    fn take_storage_away(&mut self) -> Result<Box<dyn FnOnce() -> Result<()> + '_>> {
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
            self.totals.killed_programs += usize::from(backup.wait()?.code().is_none());
        }
        Ok(())
    }

    /// Compares each archived WAL file with the stored one.
    fn compare_wal(&mut self) -> Result<()> {
        let wal = self.site.postgres.data().join("pg_wal");
        let mut compared = 0;
        for entry in fs::read_dir(wal.join("archive_status"))? {
            let status = entry?.file_name().to_string_lossy().into_owned();
            let Some(name) = status.strip_suffix(".done") else { continue };
            let fetched = self.site.scratch.path().join("fetched");
            let path = fetched.to_string_lossy();
            let ended = output(&mut self.site.swiftwal.command(&["restore-wal", name, &path]))?;
            ensure!(
                ended.status.success(),
                "PostgreSQL believes that {name} is archived, and restore-wal ends with {}: {}",
                ended.status,
                String::from_utf8_lossy(&ended.stderr)
            );
            ensure!(fs::read(&fetched)? == fs::read(wal.join(name))?, "the stored {name} has other bytes");
            fs::remove_file(fetched)?;
            compared += 1;
        }
        ensure!(compared > 3, "only {compared} WAL files were archived");
        self.totals.compared += compared;
        Ok(())
    }

    /// Restores the newest backup, and compares the rows.
    fn compare_rows(&self, rows: &(u64, String)) -> Result<()> {
        let restored = self.site.restore("restored", "latest", &["--archive-mode", "off"])?;
        restored.start()?;
        restored.wait_for_promotion()?;
        let found = restored.rows()?;
        ensure!(found == *rows, "{} rows were written, and {} restored", rows.0, found.0);
        Ok(())
    }
}
