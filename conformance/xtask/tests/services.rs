//! `cargo xtask services`, as the README shows it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use xtask::{Installation, Scratch, SwiftInstallation, output, stdout};

const README: &str = include_str!("../../../README.md");
const UP: &str = "eval \"$(cargo xtask services up)\"";
const DOWN: &str = "cargo xtask services down";
/// Both servers answer with what only the exports lead to.
const USE: &str = "psql -XAtq -c 'select 6 * 7'; swift post box; swift list";

#[test]
#[ignore = "needs PostgreSQL and Swift: run by cargo xtask test"]
fn services_serve_until_they_are_ended_and_leave_nothing() -> Result<()> {
    for command in [UP, DOWN] {
        assert!(README.contains(&format!("```sh\n{command}\n```")), "{command} isn't in the README");
    }
    let scratch = Scratch::new(Installation::ensure()?)?;
    // A home of its own: a developer's services are let alone.
    let installed = SwiftInstallation::ensure()?;
    let programs = installed.client().parent().context("a program has a directory")?.to_owned();
    let environment = programs.parent().context("an environment has a directory")?;
    let cache = scratch.path().join(".cache/swiftwal-xtask");
    fs::create_dir_all(&cache)?;
    symlink(environment, cache.join(environment.file_name().context("it has a name")?))?;
    let shell = |script: &str| shell(scratch.path(), &programs, script);
    let _end = OnFailure(shell(DOWN));

    assert_eq!(stdout(&mut shell(&format!("{UP}; {USE}")))?, "42\nbox\n");
    // They are up already, and the same.
    let told = stdout(&mut shell(&format!("{UP}; {USE}; echo $PGHOST; {DOWN}")))?;
    let place = told.strip_prefix("42\nbox\n").context(told.clone())?.trim_end();
    assert!(place.starts_with('/') && !Path::new(place).exists(), "{told}");
    let again = output(&mut shell(DOWN))?;
    assert!(again.status.success() && String::from_utf8(again.stderr)?.contains("nothing was up"));
    Ok(())
}

/// Sees to it that nothing outlives a test that fails.
struct OnFailure(Command);

impl Drop for OnFailure {
    fn drop(&mut self) {
        let _ = output(&mut self.0);
    }
}

/// Runs the script, in which `cargo xtask` is this program.
fn shell(home: &Path, programs: &Path, script: &str) -> Command {
    let mut shell = Command::new("sh");
    let script = script.replace("cargo xtask", env!("CARGO_BIN_EXE_xtask"));
    shell.args(["-euc", &format!("PATH={}:$PATH; {script}", programs.display())]);
    shell.env("HOME", home);
    shell
}
