//! Installs missing Debian packages, and never changes installed ones.

use std::fs;
use std::io::stderr;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::run;

/// A file that Debian's `pg_createcluster` reads: the installation then creates no cluster of its own.
const NO_MAIN_CLUSTER: &str = "/etc/postgresql-common/createcluster.d/swiftwal.conf";

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
    fn what_is_installed_already_is_not_upgraded() {
        let line = run::line(&install_command(&["zstd", "lz4"]));
        assert!(line.contains(" --no-upgrade ") && line.contains(" --no-install-recommends "), "{line}");
        assert!(line.ends_with(" zstd lz4"), "{line}");
    }
}
