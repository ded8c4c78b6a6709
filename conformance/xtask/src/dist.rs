//! `cargo xtask dist`: makes what is shipped: the program, its man pages and completions, and a Debian package of all.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Result, ensure};
use xtask::CargoDeb;

use crate::build;

/// The options of `cargo xtask dist`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Package the program as the tests use it, which is large and slow, but built already
    #[arg(long)]
    debug: bool,
}

/// Makes everything in `target/dist`, and prints the path of the package.
pub(crate) fn dist(options: &Options) -> Result<ExitCode> {
    let cargo_deb = CargoDeb::ensure()?;
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/dist");
    if dist.exists() {
        fs::remove_dir_all(&dist)?;
    }
    let documents = dist.join("documents");
    fs::create_dir_all(&documents)?;
    let program = if options.debug { build::debug()? } else { build::release()? };
    // Without the symbols that only the debug program has.
    run(Command::new("strip").arg(program).arg("-o").arg(dist.join("swiftwal")))?;
    run(Command::new(build::example("write_man_and_completions")?).arg(&documents))?;
    // What the package contains is in the metadata of the crate.
    let mut package = cargo_deb.command();
    package.args(["--package", "swiftwal", "--no-build", "--locked", "--output"]).arg(&dist);
    if options.debug {
        package.arg("--fast");
    }
    run(&mut package)?;
    Ok(ExitCode::SUCCESS)
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status()?;
    ensure!(status.success(), "{} ended with {status}", xtask::line(command));
    Ok(())
}
