use std::{collections::BTreeMap, process::ExitCode};

use anyhow::{Context, Result};
use xtask::{Installation, Scratch, Swift, SwiftOptions};

use crate::build::cargo;

/// What `cargo xtask test` runs.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The tests of the Swift client on a real Swift and Keystone too; it isn't part of the program yet
    #[arg(long)]
    swift: bool,
}

/// All but the tests that need a Swift. Doc tests by themselves: asked together with the rest, those marked `ignore`
/// would be compiled.
const RUNS: [&[&str]; 5] = [
    &[
        "--workspace",
        "--exclude",
        "object_store_swift",
        "--exclude",
        "xtask",
        "--all-targets",
        "--",
        "--include-ignored",
    ],
    &["--package", "xtask", "--lib", "--bins", "--", "--include-ignored"],
    &["--package", "object_store_swift", "--all-targets"],
    &["--workspace", "--doc"],
    &["--package", "swiftwal-backends", "--features", "s3,gcs,azure", "--test", "s3"],
];

/// Those that need a Swift; each that starts one of its own after the other.
const SWIFT_RUNS: [&[&str]; 2] = [
    &["--package", "object_store_swift", "--all-targets", "--", "--include-ignored"],
    &["--package", "xtask", "--test", "swift", "--", "--include-ignored", "--test-threads", "1"],
];

/// Installs what is missing and runs the tests; ends with the exit code of the first run that fails.
pub(crate) fn test(options: &Options) -> Result<ExitCode> {
    let postgres = Installation::ensure()?;
    eprintln!("xtask: testing with PostgreSQL {}", postgres.version());
    for arguments in RUNS {
        if let Some(failed) = run(arguments, &BTreeMap::new())? {
            return Ok(failed);
        }
    }
    if !options.swift {
        return Ok(ExitCode::SUCCESS);
    }
    let swift = Swift::start(&Scratch::new(postgres.clone())?, SwiftOptions::with_keystone())?;
    let narrow = Swift::start(&Scratch::new(postgres)?, SwiftOptions::narrow())?;
    let mut settings = swift.test_settings()?;
    settings.extend(narrow.narrow_test_settings());
    for arguments in SWIFT_RUNS {
        if let Some(failed) = run(arguments, &settings)? {
            return Ok(failed);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs `cargo test` with these arguments; its exit code, if it failed.
fn run(arguments: &[&str], settings: &BTreeMap<String, String>) -> Result<Option<ExitCode>> {
    let status = cargo().args(["test", "--locked"]).args(arguments).envs(settings).status();
    let status = status.context("starting cargo test")?;
    let code = status.code().and_then(|code| code.try_into().ok()).unwrap_or(1);
    Ok((!status.success()).then(|| ExitCode::from(code)))
}
