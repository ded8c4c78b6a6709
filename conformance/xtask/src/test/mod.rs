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
use self::selection::Selection;
use crate::shared::Shared;

mod binary;
mod doc;
mod libtest;
mod phases;
mod report;
mod run;
mod selection;

/// The options of `cargo xtask test`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Also run the tests that take minutes each, and all cases on Swift and Ceph
    #[arg(long)]
    long: bool,
    /// Test every PostgreSQL version, also one that isn't released yet, and fail if one can't be installed
    #[arg(long)]
    matrix: bool,
}

/// Runs everything. The exit code is 1 if any test or phase has failed.
pub(crate) fn test(options: &Options) -> Result<ExitCode> {
    let mut phases = Phases::new(5);
    phases.begin("finding PostgreSQL, or installing it");
    let postgres = Installation::ensure()?;
    eprintln!("xtask: testing with PostgreSQL {}", postgres.version());

    phases.begin(
        "building the tests, and installing Swift, Keystone, Ceph and PostgreSQL versions that are missing",
    );
    let (binaries, selection) = build_and_install(options)?;

    phases.begin("starting Swift, Keystone and Ceph");
    let report = Report::default();
    if options.matrix {
        selection.unavailable().for_each(|reason| report.failed(reason));
    }
    let shared = start(&postgres).inspect_err(|error| {
        report.failed(&format!("the servers that tests share didn't start: {error:#}"));
    });
    // Without the servers, only the tests that need them fail.
    let mut settings = shared.as_ref().map_or_else(|_| Ok(BTreeMap::new()), Shared::settings)?;
    if options.long {
        settings.insert("SWIFT_TEST_ALL_CASES".to_owned(), "1".to_owned());
    }

    phases.begin(&format!("running {} test binaries, {} at a time", binaries.len(), run::AT_A_TIME));
    run::all(binaries, &settings, &selection, &report);
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

/// Builds the tests while the other programs are being installed, one after the other, since two of them use apt-get.
fn build_and_install(options: &Options) -> Result<(Vec<Binary>, Selection)> {
    thread::scope(|scope| {
        let install = scope.spawn(|| {
            SwiftInstallation::ensure()?;
            CephInstallation::ensure()?;
            Ok::<_, anyhow::Error>(Selection::new(options.long, options.matrix))
        });
        let binaries = binary::build()?;
        let selection = install.join().map_err(|_| anyhow!("installing what is missing panicked"))??;
        Ok((binaries, selection))
    })
}
