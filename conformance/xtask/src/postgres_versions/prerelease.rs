//! The version that PostgreSQL's developers haven't released yet, from the suite in which Debian prepares it.
//!
//! Nothing of it is installed on this machine: its packages, and the libraries that they need, down to the C library,
//! are unpacked into one directory. apt-get finds and checks them by the mirrors and the keys that this machine uses.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::run;

/// The major version.
pub(super) const MAJOR: u32 = 19;
/// The directory of its programs.
pub(super) const BIN: &str = "root/usr/lib/postgresql/19/bin";
/// Where the programs of the package are; those in [`BIN`] are [`RUNNER`].
const PROGRAMS: &str = "root/usr/lib/postgresql/19/programs";
/// The suite with the packages, and the one with the libraries that they were built with.
const SUITES: [&str; 2] = ["experimental", "unstable"];
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Runs the program of the same name with the unpacked C library, as this machine's is older.
const RUNNER: &str = r#"#!/bin/sh
bin=$(dirname "$0")
libraries=$bin/../../../x86_64-linux-gnu
exec "$libraries/ld-linux-x86-64.so.2" --argv0 "$0" --library-path "$libraries" "$bin/../programs/$(basename "$0")" "$@"
"#;

/// Unpacks the packages below `directory`.
pub(super) fn install(directory: &Path) -> Result<()> {
    ensure!(cfg!(target_arch = "x86_64"), "only the packages for x86-64 are used");
    let apt = Apt::new(directory)?;
    run::stdout(apt.command("apt-get").args(["-qq", "update"]))?;
    let [server, client] = ["postgresql", "postgresql-client"].map(|name| format!("{name}-{MAJOR}"));
    let mut packages = vec![server.clone(), client, format!("libpq5/{}", SUITES[0])];
    packages.extend(apt.libraries(&server)?);
    let downloaded = directory.join("packages");
    fs::create_dir(&downloaded)?;
    run::stdout(apt.command("apt-get").arg("-qq").arg("download").args(packages).current_dir(&downloaded))?;
    for package in fs::read_dir(&downloaded)? {
        run::stdout(Command::new("dpkg-deb").arg("-x").arg(package?.path()).arg(directory.join("root")))?;
    }
    for unneeded in [downloaded, apt.directory] {
        fs::remove_dir_all(unneeded)?;
    }
    create_runners(directory)
}

/// Moves the programs away, and puts [`RUNNER`] in the place of each.
fn create_runners(directory: &Path) -> Result<()> {
    let (programs, bin) = (directory.join(PROGRAMS), directory.join(BIN));
    run::stdout(Command::new("mv").args([&bin, &programs]))?;
    fs::create_dir(&bin)?;
    for program in fs::read_dir(programs)? {
        let runner = bin.join(program?.file_name());
        fs::write(&runner, RUNNER)?;
        fs::set_permissions(runner, Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// apt-get with lists and packages of its own, for a machine on which nothing is installed.
struct Apt {
    directory: PathBuf,
}

impl Apt {
    fn new(directory: &Path) -> Result<Self> {
        let directory = directory.join("apt");
        for part in ["lists/partial", "cache/archives/partial", "sources"] {
            fs::create_dir_all(directory.join(part))?;
        }
        File::create(directory.join("status"))?;
        let source = format!(
            "Types: deb\nURIs: {}\nSuites: {}\nComponents: main\nSigned-By: {KEYRING}\n",
            mirror()?,
            SUITES.join(" ")
        );
        fs::write(directory.join("sources/debian.sources"), source)?;
        Ok(Self { directory })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for (option, path) in [
            ("Dir::State::Lists", "lists"),
            ("Dir::State::status", "status"),
            ("Dir::Cache", "cache"),
            ("Dir::Etc::sourceparts", "sources"),
        ] {
            command.arg("-o").arg(format!("{option}={}", self.directory.join(path).display()));
        }
        // As root, apt-get would download as another user, who can't read the directory.
        command.args(["-o", "Dir::Etc::sourcelist=/dev/null", "-o", "APT::Sandbox::User=root"]);
        command
    }

    /// Returns the packages with libraries that `package` needs, directly or not.
    fn libraries(&self, package: &str) -> Result<BTreeSet<String>> {
        let mut depends = self.command("apt-cache");
        depends.args(["depends", "--recurse", "--no-recommends", "--no-suggests", "--no-conflicts"]);
        depends.args(["--no-breaks", "--no-replaces", "--no-enhances", package]);
        let all = run::stdout(&mut depends)?;
        let is_library = |name: &&str| {
            name.starts_with("lib")
                && !name.ends_with("-perl")
                && !name.starts_with("libperl")
                && *name != "libpq5"
        };
        Ok(all.lines().filter(is_library).map(str::to_owned).collect())
    }
}

/// Returns the address of this machine's mirror of Debian.
fn mirror() -> Result<String> {
    let mut targets = Command::new("apt-get");
    targets.args(["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian"]);
    let all = run::stdout(&mut targets)?;
    let first = all.lines().find(|uri| !uri.contains("security"));
    first.map(str::to_owned).context("apt-get knows no mirror of Debian: run apt-get update")
}
