use std::process::ExitCode;

use anyhow::{Context, Result};
use xtask::{Installation, Scratch, Swift, SwiftOptions};

use crate::build::cargo;

/// Installs what is missing and runs every test there is; ends with the exit code of the first run that fails.
pub(crate) fn test() -> Result<ExitCode> {
    let postgres = Installation::ensure()?;
    eprintln!("xtask: testing with PostgreSQL {}", postgres.version());
    let swift = Swift::start(&Scratch::new(postgres)?, SwiftOptions::with_keystone())?;
    let settings = swift.test_settings()?;
    let runs: [&[&str]; 3] = [
        &["--workspace", "--all-targets", "--", "--include-ignored"],
        // By themselves: asked together with the rest, doc tests marked `ignore` would be compiled.
        &["--workspace", "--doc"],
        &["--package", "swiftwal-backends", "--features", "s3,gcs,azure", "--test", "s3"],
    ];
    for arguments in runs {
        let status = cargo().args(["test", "--locked"]).args(arguments).envs(&settings).status();
        let status = status.context("starting cargo test")?;
        if !status.success() {
            return Ok(ExitCode::from(status.code().and_then(|code| code.try_into().ok()).unwrap_or(1)));
        }
    }
    Ok(ExitCode::SUCCESS)
}
