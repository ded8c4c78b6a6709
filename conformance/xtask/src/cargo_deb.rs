//! cargo-deb, which makes Debian packages.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::{cache, run};

/// The pinned version, as cargo names it.
const PINNED: &str = "cargo-deb@3.8.0";

/// An installed cargo-deb.
#[derive(Debug)]
pub struct CargoDeb {
    program: PathBuf,
}

impl CargoDeb {
    /// Finds cargo-deb in the cache directory, or builds it there, which takes minutes.
    pub fn ensure() -> Result<Self> {
        let program = |directory: &Path| directory.join("bin/cargo-deb");
        let works = |directory: &Path| run::stdout(Command::new(program(directory)).arg("--version")).is_ok();
        let install = |directory: &Path| {
            eprintln!("xtask: building {PINNED}");
            let mut cargo = Command::new("cargo");
            cargo.args(["install", "--quiet", "--locked", PINNED, "--root"]).arg(directory);
            run::stdout(&mut cargo).map(drop)
        };
        Ok(Self { program: program(&cache::installed("cargo-deb", PINNED, works, install)?) })
    }

    /// Returns the command `cargo deb` in the root of the workspace.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
        command
    }
}
