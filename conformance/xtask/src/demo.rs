//! `cargo xtask demo`: archives, backs up, restores and prunes from end to end.

use std::fs;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use xtask::{
    Ceph, Container, Installation, Postgres, Scratch, Site, Swift, SwiftOptions, cache_directory, until,
};

use crate::build;

/// The options of `cargo xtask demo`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Use a container of a real OpenStack Swift with Keystone, instead of a directory
    #[arg(long)]
    swift: bool,
    /// Use a container of a real Ceph, through its gateway for Swift's API, instead of a directory
    #[arg(long, conflicts_with = "swift")]
    ceph: bool,
}

/// What the demo stores in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Storage {
    Directory,
    Swift,
    Ceph,
}

/// Runs the demo. It is an error if the restored rows differ.
pub(crate) fn demo(options: &Options) -> Result<ExitCode> {
    let storage = options.storage();
    println!("{}", storage.announcement());
    let began = Instant::now();
    let postgres = Installation::ensure()?;
    step("Building the program");
    let program = build::debug()?;
    match storage {
        Storage::Directory => main_job(&Site::start(&program)?)?,
        Storage::Swift => {
            step("An OpenStack Swift with Keystone");
            let swift = Swift::start(&Scratch::new(postgres)?, SwiftOptions::with_keystone())?;
            main_job(&Site::start_on_swift(&program, swift.environment_v3_password()?)?)?;
        }
        Storage::Ceph => {
            step("A Ceph with its gateway for Swift's API");
            let ceph = Ceph::start(&Scratch::new(postgres)?, None)?;
            main_job(&Site::start_on_swift(&program, ceph.environment_v1())?)?;
        }
    }
    // The servers and their directories have been removed.
    println!("\nThe demo passed, in {} s.", began.elapsed().as_secs());
    println!("{}", storage.what_stays()?);
    Ok(ExitCode::SUCCESS)
}

impl Options {
    fn storage(&self) -> Storage {
        match (self.swift, self.ceph) {
            (true, _) => Storage::Swift,
            (_, true) => Storage::Ceph,
            _ => Storage::Directory,
        }
    }
}

impl Storage {
    /// Says what the demo will change on the machine, and how long it takes.
    fn announcement(self) -> String {
        let (storage, minutes, downloads) = match self {
            Self::Directory => ("a directory", "one minute", ""),
            Self::Swift => (
                "a real OpenStack Swift with Keystone",
                "two minutes",
                "Swift and Keystone, if they aren't installed yet: 30 MB by pip, into ~/.cache/swiftwal-xtask\n",
            ),
            Self::Ceph => (
                "a real Ceph, through its gateway for Swift's API,",
                "two minutes",
                "Ceph, if it isn't installed yet: 75 MB by apt-get, without starting its services\n\
                 a client of Swift, in the same way: 30 MB by pip, into ~/.cache/swiftwal-xtask\n",
            ),
        };
        format!(
            "The demo archives, backs up and restores a scratch PostgreSQL, with {storage} as the repository.\n\
             It takes {minutes}; the first time, some minutes more to build and to download:\n\
             the crates that cargo builds: 30 MB\n\
             PostgreSQL and some tools, if they are missing: 60 MB by apt-get\n{downloads}\
             All servers listen on the loopback interface or in a scratch directory. Ctrl-C ends everything."
        )
    }

    /// Says what remains after the demo.
    fn what_stays(self) -> Result<String> {
        let environment = match self {
            Self::Directory => String::new(),
            Self::Swift | Self::Ceph => {
                format!(", and Swift's Python environment in {}", cache_directory()?.display())
            }
        };
        Ok(format!(
            "The servers have ended, and their scratch directories were removed. What remains: the build in target/, \
             packages that apt-get installed{environment}."
        ))
    }
}

fn main_job(site: &Site) -> Result<()> {
    if let Some(container) = site.swiftwal.place().container() {
        show_configuration(container)?;
    }
    step("A PostgreSQL cluster that archives its WAL with swiftwal, in postgresql.conf:");
    println!("archive_mode = on\narchive_command = '{}'", site.swiftwal.archive_command());
    let connection = site.postgres.environment().map(|(name, value)| format!("{name}={value}"));
    println!("$ export {}", connection.join(" "));
    // More than one segment of a large object.
    site.postgres.pgbench_init(30)?;

    back_up_under_load(site)?;
    show_objects(site)?;
    let (time, rows) = rows_before_the_mistake(site)?;
    restore_to(site, &time, &rows)?;
    prune(site)?;
    show_objects(site)?;

    println!(
        "\nThe {} rows restored to {time} were compared with the rows at that time: they are equal.",
        rows.0
    );
    Ok(())
}

fn back_up_under_load(site: &Site) -> Result<()> {
    step("A base backup, while pgbench writes");
    let (rows, _) = site.postgres.rows()?;
    let mut load = site.postgres.pgbench()?;
    until("pgbench writes", || Ok(site.postgres.rows()?.0 > rows))?;
    show(&mut site.command(&["-v", "backup", "-c", "fast"]))?;
    ensure!(load.is_running()?, "pgbench ended before the backup did");
    load.end(&site.postgres)?;
    show(&mut site.command(&["list-backups"]))
}

/// Writes rows after the backup, records the time and the rows, and then deletes some.
fn rows_before_the_mistake(site: &Site) -> Result<(String, (u64, String))> {
    let server = &site.postgres;
    server.sql("update pgbench_accounts set abalance = abalance + 1 where aid % 10 = 0")?;
    site.swiftwal.wait_for_end_of_backups(server)?;
    let rows = server.rows()?;
    let time = server.sql("select to_char(clock_timestamp(), 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")?;
    step(&format!("At {time} there are {} rows; then somebody forgets a WHERE", rows.0));
    server.sql("delete from pgbench_history; update pgbench_accounts set abalance = 0")?;
    ensure!(server.rows()? != rows, "the mistake changed nothing");
    server.archive_all()?;
    Ok((time, rows))
}

fn restore_to(site: &Site, time: &str, rows: &(u64, String)) -> Result<()> {
    step("Restoring to the moment before, beside the running server");
    let restored = Postgres::open(&site.scratch, &site.scratch.path().join("restored"));
    let directory = restored.data().to_string_lossy();
    let target = ["--target-time", time, "--target-action", "promote"];
    show(&mut site.swiftwal.command(&[&["restore", "latest", &directory], &target[..]].concat()))?;
    restored.configure(&["archive_mode = off"])?;
    restored.start()?;
    restored.wait_for_promotion()?;
    let found = restored.rows()?;
    println!("rows then:     {} with checksum {}", rows.0, rows.1);
    println!("rows restored: {} with checksum {}", found.0, found.1);
    if found != *rows {
        bail!("the restored rows differ");
    }
    Ok(())
}

fn prune(site: &Site) -> Result<()> {
    step("A second backup, and pruning the first one and the WAL that only it needs");
    show(&mut site.command(&["backup", "-c", "fast"]))?;
    show(&mut site.swiftwal.command(&["prune", "--keep-backups", "1", "--keep-wals", "0"]))?;
    show(&mut site.swiftwal.command(&["-v", "list-backups"]))?;
    show(&mut site.swiftwal.command(&["-v", "list-wal"]))
}

/// Prints the configuration file without the secret.
fn show_configuration(container: &Container) -> Result<()> {
    step("The configuration file, which only the PostgreSQL user can read:");
    for line in fs::read_to_string(container.configuration())?.lines() {
        let secret = ["OS_PASSWORD", "ST_KEY"].iter().find(|secret| line.starts_with(*secret));
        println!("{}", secret.map_or_else(|| line.to_owned(), |secret| format!("{secret}=...")));
    }
    Ok(())
}

/// Prints the container and that of its segments, as another client of Swift shows them.
fn show_objects(site: &Site) -> Result<()> {
    let Some(container) = site.swiftwal.place().container() else { return Ok(()) };
    step("The content of Swift: the container, and the segments of its large objects");
    for name in [container.name().to_owned(), format!("{}_segments", container.name())] {
        show(&mut container.client(&["list", "--long", &name]))?;
    }
    Ok(())
}

fn step(what: &str) {
    println!("\n== {what}");
}

/// Prints the command as a user would type it, and then its output.
fn show(command: &mut Command) -> Result<()> {
    println!("$ {}", xtask::line(command));
    let status = command.status()?;
    ensure!(status.success(), "it ended with {status}");
    Ok(())
}
