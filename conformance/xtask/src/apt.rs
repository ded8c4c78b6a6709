//! Installs missing Debian packages, and never changes installed ones.

use std::fs::{self, Permissions};
use std::io::stderr;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::run;

/// A file that Debian's `pg_createcluster` reads: the installation then creates no cluster of its own.
const NO_MAIN_CLUSTER: &str = "/etc/postgresql-common/createcluster.d/swiftwal.conf";

/// A script by which Debian's packages ask whether they may start a service; 101 means no.
const POLICY: &str = "/usr/sbin/policy-rc.d";
const OUR_POLICY: &str = "# Written by cargo xtask while it installs packages.";

/// Whether packages can be installed: on Debian, as root.
pub(crate) fn may_install() -> bool {
    rustix::process::getuid().is_root() && Path::new("/usr/bin/apt-get").exists()
}

/// The command that installs these packages and upgrades no installed one.
pub(crate) fn install_command(packages: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.args(["-qq", "install", "-y", "--no-install-recommends", "--no-upgrade"]).args(packages);
    command
}

/// Installs these packages, which must all be missing.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    eprintln!("xtask: installing {} with apt-get", packages.join(", "));
    let drop_in = Path::new(NO_MAIN_CLUSTER);
    let directory = drop_in.parent().context("a file has a directory")?;
    fs::create_dir_all(directory)?;
    fs::write(drop_in, "create_main_cluster = false\n")?;
    let mut update = Command::new("apt-get");
    let installed =
        apt_get(update.args(["-qq", "update"])).and_then(|()| apt_get(&mut install_command(packages)));
    fs::remove_file(drop_in)?;
    // Removed only if it contains no other file.
    let _ = fs::remove_dir(directory);
    installed
}

/// As [`install`], and starts none of the services in these packages.
pub(crate) fn install_without_services(packages: &[&str]) -> Result<()> {
    // Another policy is the administrator's, and is kept.
    let ours = fs::read_to_string(POLICY).map_or(true, |policy| policy.contains(OUR_POLICY));
    if ours {
        fs::write(POLICY, policy(std::process::id())).with_context(|| format!("writing {POLICY}"))?;
        fs::set_permissions(POLICY, Permissions::from_mode(0o755))?;
    }
    let installed = install(packages);
    if ours {
        fs::remove_file(POLICY)?;
    }
    installed
}

/// Returns a script that forbids services as long as this process runs: if it is killed, the script does no harm.
fn policy(process: u32) -> String {
    format!("#!/bin/sh\n{OUR_POLICY}\nif [ -e /proc/{process} ]; then exit 101; fi\n")
}

fn apt_get(command: &mut Command) -> Result<()> {
    command.env("DEBIAN_FRONTEND", "noninteractive");
    // Standard output is for results only.
    let status = command.stdin(Stdio::null()).stdout(stderr().as_fd().try_clone_to_owned()?).status()?;
    ensure!(status.success(), "{} ended with {status}", run::line(command));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_forbidden_as_long_as_the_installing_process_runs() {
        let status = |process| Command::new("sh").args(["-c", &policy(process)]).status().unwrap().code();
        assert_eq!(status(std::process::id()), Some(101));
        // No process has the largest number.
        assert_eq!(status(u32::MAX), Some(0));
    }

    #[test]
    fn what_is_installed_already_is_not_upgraded() {
        let line = run::line(&install_command(&["zstd", "lz4"]));
        assert!(line.contains(" --no-upgrade ") && line.contains(" --no-install-recommends "), "{line}");
        assert!(line.ends_with(" zstd lz4"), "{line}");
    }
}
