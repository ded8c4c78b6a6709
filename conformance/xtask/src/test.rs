use std::process::ExitCode;

use anyhow::{Context, Result};
use xtask::Installation;

use crate::build::cargo;

/// Installs what is missing and runs every test there is; ends with the exit code of the first run that fails.
pub(crate) fn test() -> Result<ExitCode> {
    let postgres = Installation::ensure()?;
    eprintln!("xtask: testing with PostgreSQL {}", postgres.version());
    // Two runs: asked together, doc tests marked `ignore` would be compiled.
    for arguments in [&["--all-targets", "--", "--include-ignored"][..], &["--doc"]] {
        let mut tests = cargo();
        let status = tests.args(["test", "--workspace", "--locked"]).args(arguments).status();
        let status = status.context("starting cargo test")?;
        if !status.success() {
            return Ok(ExitCode::from(status.code().and_then(|code| code.try_into().ok()).unwrap_or(1)));
        }
    }
    Ok(ExitCode::SUCCESS)
}
