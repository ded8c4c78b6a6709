//! Installs missing Debian packages, and never changes installed ones.

mod own_file;

use std::fs::{self, File};
use std::io::stderr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use self::own_file::OwnFile;
use crate::{cache_directory, run};

/// A file that Debian's `pg_createcluster` reads: the installation then creates no cluster of its own.
const NO_MAIN_CLUSTER: &str = "/etc/postgresql-common/createcluster.d/swiftwal.conf";

/// A script by which Debian's packages ask whether they may start a service; 101 means no.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Forbids services only to what this program starts: if it is killed, the script that it leaves does no harm.
const OUR_POLICY: &str = "#!/bin/sh
# Written by cargo xtask while it installs packages.
if [ \"$SWIFTWAL_XTASK_INSTALLS\" ]; then exit 101; fi
exit 0
";
const INSTALLS: &str = "SWIFTWAL_XTASK_INSTALLS";

/// Where Debian's packages have their programs.
const DIRECTORIES: [&str; 4] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"];

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

/// Finds these programs, each given with its Debian package. Missing ones are installed with `apt-get` if this is root;
/// otherwise the error names the packages to install for `what`. No service is started.
pub fn ensure(what: &str, programs: &[(&str, &str)]) -> Result<()> {
    let missing = || missing_packages(programs, |program| find(program).is_some());
    if missing().is_empty() {
        return Ok(());
    }
    // Several tests may need programs at the same time, and apt-get runs only once.
    let lock = File::create(cache_directory()?.join("apt.lock"))?;
    lock.lock()?;
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    ensure!(
        may_install(),
        "{what} needs packages, which root can install on Debian: run `{}` as root, or run this as root",
        run::line(&install_command(&missing))
    );
    install_without_services(&missing)
}

/// Returns the path of an installed program.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    DIRECTORIES.iter().map(|directory| Path::new(directory).join(program)).find(|path| path.exists())
}

/// Returns the Debian packages of the programs that are missing, each once.
fn missing_packages<'a>(programs: &[(&str, &'a str)], is_there: impl Fn(&str) -> bool) -> Vec<&'a str> {
    let missing = programs.iter().filter(|(program, _)| !is_there(program));
    let mut packages: Vec<_> = missing.map(|(_, package)| *package).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

/// Installs these packages, which must all be missing.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    eprintln!("xtask: installing {} with apt-get", packages.join(", "));
    let drop_in = Path::new(NO_MAIN_CLUSTER);
    let directory = drop_in.parent().context("a file has a directory")?;
    fs::create_dir_all(directory)?;
    let no_cluster = OwnFile::create(drop_in, "create_main_cluster = false\n", 0o644)?;
    let mut update = Command::new("apt-get");
    let installed =
        apt_get(update.args(["-qq", "update"])).and_then(|()| apt_get(&mut install_command(packages)));
    drop(no_cluster);
    // Removed only if it contains no other file.
    let _ = fs::remove_dir(directory);
    installed
}

/// As [`install`], and starts none of the services in these packages, unless the administrator has a policy.
pub(crate) fn install_without_services(packages: &[&str]) -> Result<()> {
    let _policy = OwnFile::create(Path::new(POLICY), OUR_POLICY, 0o755)?;
    install(packages)
}

fn apt_get(command: &mut Command) -> Result<()> {
    command.env("DEBIAN_FRONTEND", "noninteractive").env(INSTALLS, "1");
    // Standard output is for results only.
    let status = command.stdin(Stdio::null()).stdout(stderr().as_fd().try_clone_to_owned()?).status()?;
    ensure!(status.success(), "{} ended with {status}", run::line(command));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_forbidden_to_what_this_program_installs() {
        let policy = || {
            let mut sh = Command::new("sh");
            sh.args(["-c", OUR_POLICY]).env_remove(INSTALLS);
            sh
        };
        assert_eq!(policy().env(INSTALLS, "1").status().unwrap().code(), Some(101));
        assert_eq!(policy().status().unwrap().code(), Some(0));
    }

    #[test]
    fn only_packages_of_missing_programs_are_asked_for() {
        let programs = [("ceph", "ceph-common"), ("radosgw", "radosgw"), ("radosgw-admin", "ceph-common")];
        assert_eq!(missing_packages(&programs, |_| true), [""; 0]);
        assert_eq!(missing_packages(&programs, |program| program != "radosgw"), ["radosgw"]);
        assert_eq!(missing_packages(&programs, |_| false), ["ceph-common", "radosgw"]);
    }

    #[test]
    fn what_is_installed_already_is_not_upgraded() {
        let line = run::line(&install_command(&["zstd", "lz4"]));
        assert!(line.contains(" --no-upgrade ") && line.contains(" --no-install-recommends "), "{line}");
        assert!(line.ends_with(" zstd lz4"), "{line}");
    }
}
