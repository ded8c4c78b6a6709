//! Builds the program under test.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Returns a `cargo` command in the root of the workspace. It doesn't inherit what the cargo that runs this program says
/// of this package: ring's build script looks at it, and would compile ring and all that uses it again whenever one is
/// started in another way than the time before.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
    let of_package = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(of_package)) {
        cargo.env_remove(name);
    }
    cargo
}

/// Builds the program as users do, for the bench, and returns its path.
pub(crate) fn release() -> Result<PathBuf> {
    executable("swiftwal", &["--package", "swiftwal", "--release"])
}

/// Builds the program with the same dependencies as the tests, and returns its path.
///
/// Cargo unites the features that the selected packages request: if only the program were selected, cargo would compile
/// tokio, reqwest and everything that uses them again.
pub(crate) fn debug() -> Result<PathBuf> {
    executable("swiftwal", &["--workspace", "--bin", "swiftwal"])
}

/// Builds an example with the same dependencies as the tests, and returns its path.
pub(crate) fn example(name: &str) -> Result<PathBuf> {
    executable(name, &["--workspace", "--example", name])
}

fn executable(name: &str, selection: &[&str]) -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--locked", "--message-format", "json-render-diagnostics"]).args(selection);
    let output = build.stderr(Stdio::inherit()).output().context("starting cargo")?;
    if !output.status.success() {
        bail!("building {name} failed");
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let built = messages.lines().find_map(|message| built(name, message));
    built.with_context(|| format!("cargo built no program {name}"))
}

/// Returns the path of the program, if this message of cargo is about it.
fn built(name: &str, message: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    Some(message["executable"].as_str().filter(|_| message["target"]["name"] == name)?.into())
}
