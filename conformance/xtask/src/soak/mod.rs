//! `cargo xtask soak`: while PostgreSQL writes as fast as it can, programs, servers and the storage fail at random moments.
//! Whatever receive-wal has reported as stored must be there at any time. Afterwards each WAL file that PostgreSQL believes
//! archived, and each that was received, must be stored with the same bytes and without a hole, and a restored server must
//! have the same rows.
//!
//! The seed decides what fails and how long the pauses are. The processes still race, so a failure may need several runs
//! with its seed.

use std::fmt;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fastrand::Rng;
use xtask::{Installation, Scratch, Site, Swift, SwiftOptions};

use self::round::{Round, Wiring};
use crate::build;

mod receiver;
mod restored;
mod round;
mod stored;

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

/// What happened in all rounds.
#[derive(Debug, Default)]
struct Totals {
    rounds: usize,
    archivers: usize,
    receivers: usize,
    prefetchers: usize,
    backups: usize,
    servers: usize,
    outages: usize,
    compared: usize,
    reports: usize,
    fetched_ahead: usize,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rounds, archivers, receivers, prefetchers, backups, servers, outages, .. } = self;
        let Self { compared, reports, fetched_ahead, .. } = self;
        write!(
            f,
            "{rounds} rounds; {} programs killed: archive-wal {archivers} times, receive-wal {receivers}, prefetchers \
             {prefetchers}, backup {backups}; {servers} servers killed, the storage away {outages} times\n\
             {compared} WAL files compared, {reports} times what receive-wal had reported, and the rows of {rounds} restored \
             servers, which took {fetched_ahead} segments from a prefetcher: all equal",
            archivers + receivers + prefetchers + backups
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
        let wiring = Wiring::ALL[totals.rounds % Wiring::ALL.len()];
        let is_on_swift = totals.rounds % 2 == 1;
        let site = match is_on_swift {
            true => Site::start_version_on_swift(&program, major, swift.environment_v3_password()?)?,
            false => Site::start_version(&program, major)?,
        };
        println!("round {}: PostgreSQL {major}, {wiring}, {}", totals.rounds + 1, site.swiftwal.place());
        Round::new(&site, &swift, wiring, &mut rng, &mut totals)
            .and_then(Round::run)
            .with_context(|| format!("seed {seed}, round {}", totals.rounds + 1))?;
        totals.rounds += 1;
    }
    println!("{totals}");
    Ok(ExitCode::SUCCESS)
}
