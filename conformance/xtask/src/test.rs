use std::collections::BTreeMap;
use std::process::ExitCode;
use std::thread;

use anyhow::{Context, Result, anyhow};
use xtask::{Installation, Scratch, SwiftInstallation};

use crate::{build::cargo, shared::Shared};

/// All there is; test files that are added need no mention here. Binaries run one after the other. Doc tests by
/// themselves: asked together with the rest, those marked `ignore` would be compiled.
const RUNS: [&[&str]; 3] = [
    &["--workspace", "--all-targets", "--", "--include-ignored"],
    &["--workspace", "--doc"],
    &["--package", "swiftwal-backends", "--features", "s3,gcs,azure", "--test", "s3"],
];

/// The first of them, without running it.
const BUILD: [&str; 3] = ["--workspace", "--all-targets", "--no-run"];

/// Installs what is missing, starts the servers that tests share, and runs everything; ends with the exit code of the
/// first run that fails.
pub(crate) fn test() -> Result<ExitCode> {
    let postgres = Installation::ensure()?;
    eprintln!("xtask: testing with PostgreSQL {}", postgres.version());
    if let Some(failed) = build_and_install()? {
        return Ok(failed);
    }
    let shared = Shared::start(&[Scratch::new(postgres.clone())?, Scratch::new(postgres)?])?;
    let settings = shared.settings()?;
    for arguments in RUNS {
        if let Some(failed) = run(arguments, &settings)? {
            return Ok(failed);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds the tests, while Swift is installed.
fn build_and_install() -> Result<Option<ExitCode>> {
    thread::scope(|scope| {
        let install = scope.spawn(SwiftInstallation::ensure);
        let failed = run(&BUILD, &BTreeMap::new())?;
        install.join().map_err(|_| anyhow!("installing Swift panicked"))??;
        Ok(failed)
    })
}

/// Runs `cargo test` with these arguments; its exit code, if it failed.
fn run(arguments: &[&str], settings: &BTreeMap<String, String>) -> Result<Option<ExitCode>> {
    let status = cargo().args(["test", "--locked"]).args(arguments).envs(settings).status();
    let status = status.context("starting cargo test")?;
    let code = status.code().and_then(|code| code.try_into().ok()).unwrap_or(1);
    Ok((!status.success()).then(|| ExitCode::from(code)))
}
