//! `cargo xtask test`: runs the tests of the workspace, on real servers that it starts and ends itself.
//!
//! New test files are found automatically. Cargo builds the test binaries. This program runs some of them at a time,
//! since cargo would run one after the other. A failed phase doesn't prevent the later ones, unless nothing was built;
//! the exit code shows the failure.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::thread;

use anyhow::{Result, anyhow};
use xtask::{CephInstallation, Installation, Scratch, SwiftInstallation};

use self::binary::Binary;
use self::phases::Phases;
use self::report::Report;
use crate::shared::Shared;

mod binary;
mod doc;
mod libtest;
mod phases;
mod report;
mod run;

/// Parts of the names of the tests that only `--long` runs: those in a module `long`, and what the suite repeats on
/// prefixes of one container after it has run on containers, where it takes minutes.
const LONG: [&str; 3] = ["long::", "prefixes::faults::", "prefixes::damage::"];

/// The options of `cargo xtask test`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Also run the tests that take minutes each
    #[arg(long)]
    long: bool,
}

impl Options {
    /// Returns parts of the names of the tests to leave out.
    fn left_out(&self) -> &'static [&'static str] {
        if self.long { &[] } else { &LONG }
    }
}

/// Runs everything. The exit code is 1 if any test or phase has failed.
pub(crate) fn test(options: &Options) -> Result<ExitCode> {
    let mut phases = Phases::new(5);
    phases.begin("finding PostgreSQL, or installing it");
    let postgres = Installation::ensure()?;
    eprintln!("xtask: testing with PostgreSQL {}", postgres.version());

    phases.begin("building the tests, and installing Swift, Keystone and Ceph where they are missing");
    let binaries = build_and_install()?;

    phases.begin("starting Swift, Keystone and Ceph");
    let report = Report::default();
    let shared = start(&postgres).inspect_err(|error| {
        report.failed(&format!("the servers that tests share didn't start: {error:#}"));
    });
    // Without the servers, only the tests that need them fail.
    let settings = shared.as_ref().map_or_else(|_| Ok(BTreeMap::new()), Shared::settings)?;

    phases.begin(&format!("running {} test binaries, {} at a time", binaries.len(), run::AT_A_TIME));
    run::all(binaries, &settings, options.left_out(), &report);
    drop(shared);

    phases.begin("running the examples in the documentation of the code");
    doc::run(&report)?;

    phases.end();
    Ok(report.conclude())
}

/// Starts the servers that all tests share.
fn start(postgres: &Installation) -> Result<Shared> {
    Shared::start(&[Scratch::new(postgres.clone())?, Scratch::new(postgres.clone())?], true)
}

/// Builds the tests while Swift and Ceph are being installed, one after the other, since both may use apt-get.
fn build_and_install() -> Result<Vec<Binary>> {
    thread::scope(|scope| {
        let install = scope.spawn(|| SwiftInstallation::ensure().and_then(|_| CephInstallation::ensure()));
        let binaries = binary::build()?;
        install.join().map_err(|_| anyhow!("installing Swift or Ceph panicked"))??;
        Ok(binaries)
    })
}
