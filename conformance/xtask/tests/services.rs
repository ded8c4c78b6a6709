//! Tests of `cargo xtask services`, as the README shows it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result};
use xtask::{Installation, Scratch, SwiftInstallation, output, stdout, until};

const README: &str = include_str!("../../../README.md");
const UP: &str = "eval \"$(cargo xtask services up)\"";
const UP_WITH_CEPH: &str = "eval \"$(cargo xtask services up --ceph)\"";
const UP_ALONE: &str = "cargo xtask services up";
const DOWN: &str = "cargo xtask services down";
const CACHE: &str = ".cache/swiftwal-xtask";
/// Both servers answer clients that have only the exports.
const USE: &str = "psql -XAtq -c 'select 6 * 7'; swift post box; swift list";

#[test]
#[ignore = "needs PostgreSQL and Swift: run by cargo xtask test"]
fn services_serve_until_they_are_ended_and_leave_nothing() -> Result<()> {
    for command in [UP, DOWN] {
        assert!(README.contains(&format!("```sh\n{command}\n```")), "{command} isn't in the README");
    }
    let home = Home::new()?;
    let shell = |script: &str| home.shell(script);
    let _end = OnFailure(shell(DOWN));

    assert_eq!(stdout(&mut shell(&format!("{UP}; {USE}")))?, "42\nbox\n");
    // The services are running already, and stay the same.
    let told = stdout(&mut shell(&format!("{UP}; {USE}; echo $PGHOST; {DOWN}")))?;
    let place = told.strip_prefix("42\nbox\n").context(told.clone())?.trim_end();
    assert!(place.starts_with('/') && !Path::new(place).exists(), "{told}");
    let again = output(&mut shell(DOWN))?;
    assert!(again.status.success() && String::from_utf8(again.stderr)?.contains("no services were running"));
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL, Swift and Ceph: run by cargo xtask test"]
fn ceph_is_served_on_request_and_not_added_to_running_services() -> Result<()> {
    assert!(README.contains(UP_WITH_CEPH), "{UP_WITH_CEPH} isn't in the README");
    let home = Home::new()?;
    let shell = |script: &str| home.shell(script);
    let _end = OnFailure(shell(DOWN));
    let credentials =
        "-V 1 -A $SWIFT_TEST_CEPH_ST_AUTH -U $SWIFT_TEST_CEPH_ST_USER -K $SWIFT_TEST_CEPH_ST_KEY";
    let by_itself = format!("swift {credentials} post own; swift {credentials} list");
    let by_keystone = format!("export OS_STORAGE_URL=$SWIFT_TEST_CEPH_OS_STORAGE_URL; {USE}");
    let told = stdout(&mut shell(&format!("{UP_WITH_CEPH}; {by_itself}; {by_keystone}; {DOWN}")))?;
    assert_eq!(told, "own\n42\nbox\n");

    stdout(&mut shell(UP))?;
    let refused = output(&mut shell(UP_WITH_CEPH))?;
    let complaint = String::from_utf8(refused.stderr)?;
    assert!(!refused.status.success() && complaint.contains("running without Ceph"), "{complaint}");
    stdout(&mut shell(DOWN)).map(drop)
}

#[test]
#[ignore = "needs PostgreSQL and Swift: run by cargo xtask test"]
fn servers_whose_starter_gives_up_before_they_answer_are_ended() -> Result<()> {
    let home = Home::new()?;
    let _end = OnFailure(home.shell(DOWN));
    let mut up = home.shell(&format!("exec {UP_ALONE}")).stdout(Stdio::null()).spawn()?;
    // The location of the servers is known when the first of them is being started.
    let mut scratches = Vec::new();
    until("the servers are being started", || {
        scratches = home.scratches()?;
        Ok(!scratches.is_empty())
    })?;
    up.kill()?;
    up.wait()?;
    until("the servers are gone", || Ok(!scratches.iter().any(|scratch| scratch.exists())))?;
    let down = output(&mut home.shell(DOWN))?;
    assert!(String::from_utf8(down.stderr)?.contains("no services were running"));
    Ok(())
}

#[test]
fn where_the_servers_cannot_be_started_the_shell_s_command_fails_and_tells_the_reason_alone() {
    // The cache directory can't be created there.
    let mut shell = shell(Path::new("/dev/null"), Path::new("/nowhere"), UP);
    let failed = output(shell.env("RUST_BACKTRACE", "1")).unwrap();
    let told = String::from_utf8(failed.stderr).unwrap();
    assert!(!failed.status.success(), "{told}");
    assert!(told.contains("/dev/null") && !told.contains("acktrace"), "{told}");
}

/// A separate home: a developer's services aren't affected.
struct Home {
    scratch: Arc<Scratch>,
    /// The directory with the programs of Swift.
    programs: PathBuf,
}

impl Home {
    fn new() -> Result<Self> {
        let scratch = Scratch::new(Installation::ensure()?)?;
        let installed = SwiftInstallation::ensure()?;
        let programs = installed.client().parent().context("a program has a directory")?.to_owned();
        let environment = programs.parent().context("an environment has a directory")?;
        let cache = scratch.path().join(CACHE);
        fs::create_dir_all(&cache)?;
        symlink(environment, cache.join(environment.file_name().context("it has a name")?))?;
        Ok(Self { scratch, programs })
    }

    fn shell(&self, script: &str) -> Command {
        shell(self.scratch.path(), &self.programs, script)
    }

    /// Returns the directories of the servers that the background process has named so far.
    fn scratches(&self) -> Result<Vec<PathBuf>> {
        let cache = fs::read_dir(self.scratch.path().join(CACHE))?;
        let told = cache.filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("pid")).ok());
        Ok(told.flat_map(|told| told.lines().skip(1).map(PathBuf::from).collect::<Vec<_>>()).collect())
    }
}

/// Ends what a failed test has started.
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
