//! Finds the programs that the tests need, and installs them on Debian when we are root.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::{apt, run};

const OLDEST_VERSION: u32 = 13;
/// Programs that the tests and the bench use; each is in a Debian package of its own name.
const TOOLS: [&str; 5] = ["b3sum", "curl", "lz4", "time", "zstd"];
const DEBIAN_ROOT: &str = "/usr/lib/postgresql";
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The programs of one PostgreSQL version, and the user and group who run them.
///
/// PostgreSQL refuses to run as root: as root, everything runs as the user `postgres`.
#[derive(Debug, Clone)]
pub struct Installation {
    bin: PathBuf,
    version: u32,
    uid: u32,
    gid: u32,
}

impl Installation {
    /// The newest PostgreSQL, 13 or later, with the tools that the tests use beside it. What is missing is
    /// installed with `apt-get` when we are root; otherwise the error says what to install.
    pub fn ensure() -> Result<Self> {
        let missing = missing_packages(server_programs().is_some(), runs);
        if !missing.is_empty() {
            ensure!(
                apt::may_install(),
                "programs are missing that only root can install on Debian: run `{}` as root, or this as root",
                run::line(&apt::install_command(&missing))
            );
            apt::install(&missing)?;
        }
        Self::find()
    }

    /// The newest PostgreSQL under `/usr/lib/postgresql`, else the one in `PATH`; an error unless it is version
    /// 13 or later.
    fn find() -> Result<Self> {
        let bin = server_programs().context("no PostgreSQL server programs found")?;
        let version = run::stdout(Command::new(bin.join("postgres")).arg("--version"))?;
        let version = major(&version).with_context(|| format!("no version in {version:?}"))?;
        if version < OLDEST_VERSION {
            bail!("PostgreSQL {version} in {} is older than {OLDEST_VERSION}", bin.display());
        }
        let (uid, gid) = server_user()?;
        Ok(Self { bin, version, uid, gid })
    }

    /// The major version, as 15.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The ids of the user and the group that run the servers.
    #[must_use]
    pub fn owner(&self) -> (u32, u32) {
        (self.uid, self.gid)
    }

    /// A command of that user, in `directory`, which is its home too, with nothing of our own environment;
    /// `PATH` begins with PostgreSQL's programs.
    pub fn command(&self, program: impl AsRef<Path>, directory: &Path) -> Command {
        // Rust looks a bare name up in our PATH, not in the one the child gets.
        let known = self.bin.join(&program);
        let mut command = Command::new(if known.exists() { known.as_path() } else { program.as_ref() });
        command.current_dir(directory).env_clear();
        command.env("PATH", format!("{}:{SYSTEM_PATH}", self.bin.display()));
        command.envs([("LC_ALL", "C.UTF-8"), ("TZ", "UTC")]).env("HOME", directory);
        if rustix::process::getuid().is_root() {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }
}

/// The Debian packages of what isn't there: the server, with its client programs, and the tools that don't run.
fn missing_packages(server: bool, runs: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let server: &[&str] = if server { &[] } else { &["postgresql", "postgresql-client"] };
    server.iter().copied().chain(TOOLS.into_iter().filter(|tool| !runs(tool))).collect()
}

fn runs(tool: &str) -> bool {
    run::stdout(Command::new(tool).arg("--version")).is_ok()
}

/// The directory of PostgreSQL's programs.
fn server_programs() -> Option<PathBuf> {
    newest_on_debian().or_else(in_path)
}

fn newest_on_debian() -> Option<PathBuf> {
    let versions = fs::read_dir(DEBIAN_ROOT).ok()?.flatten().filter_map(|entry| {
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        Some((version, entry.path().join("bin")))
    });
    let complete = versions.filter(|(_, bin)| bin.join("initdb").exists() && bin.join("psql").exists());
    complete.max().map(|(_, bin)| bin)
}

fn in_path() -> Option<PathBuf> {
    let initdb = run::stdout(Command::new("sh").args(["-c", "command -v initdb"])).ok()?;
    Some(fs::canonicalize(initdb.trim()).ok()?.parent()?.to_owned())
}

/// The 15 of `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`, also of `… 18beta1`.
fn major(version: &str) -> Option<u32> {
    let number = version.split_whitespace().nth(2)?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn server_user() -> Result<(u32, u32)> {
    if !rustix::process::getuid().is_root() {
        return Ok((rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw()));
    }
    let id = |which| -> Result<u32> {
        let id = run::stdout(Command::new("id").args([which, "postgres"]));
        Ok(id.context("PostgreSQL can't run as root: make a user `postgres`")?.trim().parse()?)
    };
    Ok((id("-u")?, id("-g")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_releases_and_betas() {
        assert_eq!(major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major("postgres"), None);
    }

    #[test]
    fn only_packages_of_missing_programs_are_asked_for() {
        assert_eq!(missing_packages(true, |_| true), [""; 0]);
        assert_eq!(missing_packages(true, |tool| tool != "lz4"), ["lz4"]);
        let all = ["postgresql", "postgresql-client", "b3sum", "curl", "lz4", "time", "zstd"];
        assert_eq!(missing_packages(false, |_| false), all);
    }
}
