//! Finds the programs that the tests need. As root on Debian it installs the missing ones.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::postgres_versions::{self, Programs};
use crate::{apt, run};

const OLDEST_VERSION: u32 = 13;
/// Programs that the tests and the bench use. Each is in the Debian package of the same name.
const TOOLS: [&str; 5] = ["b3sum", "curl", "lz4", "time", "zstd"];
const DEBIAN_ROOT: &str = "/usr/lib/postgresql";
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The programs of one PostgreSQL version, and the user and group that run them.
///
/// PostgreSQL refuses to run as root: as root, everything runs as the user `postgres`.
#[derive(Debug, Clone)]
pub struct Installation {
    bin: PathBuf,
    /// Other programs of PostgreSQL, for those that aren't in `bin`: some packages have no client programs.
    clients: PathBuf,
    /// A directory to copy before the programs in it can be run, which include those in `bin`.
    cached: Option<PathBuf>,
    version: u32,
    uid: u32,
    gid: u32,
}

impl Installation {
    /// Finds the newest PostgreSQL, 13 or later, and the tools that the tests use. Missing programs are installed with
    /// `apt-get` if this is root; otherwise the error names the packages to install.
    pub fn ensure() -> Result<Self> {
        let missing = missing_packages(server_programs().is_some(), runs);
        if !missing.is_empty() {
            ensure!(
                apt::may_install(),
                "programs are missing, which root can install on Debian: run `{}` as root, or run this as root",
                run::line(&apt::install_command(&missing))
            );
            apt::install(&missing)?;
        }
        Self::find()
    }

    /// Finds one of [`VERSIONS`](crate::VERSIONS), and installs it if it is missing; the error says why it can't be.
    /// Client programs that its package lacks are those of [`Self::ensure`].
    pub fn of_version(major: u32) -> Result<Self> {
        let newest = Self::ensure()?;
        let (bin, cached) = match postgres_versions::programs(major)? {
            Programs::Shared(bin) => (bin, None),
            Programs::Cached { directory, bin } => (directory.join(bin), Some(directory)),
        };
        Ok(Self { bin, cached, version: major, ..newest })
    }

    /// Finds the newest PostgreSQL under `/usr/lib/postgresql`, or else the one in `PATH`. It is an error unless that
    /// is version 13 or later.
    fn find() -> Result<Self> {
        let bin = server_programs().context("no PostgreSQL server programs found")?;
        let version = run::stdout(Command::new(bin.join("postgres")).arg("--version"))?;
        let version = major(&version).with_context(|| format!("no version in {version:?}"))?;
        if version < OLDEST_VERSION {
            bail!("PostgreSQL {version} in {} is older than {OLDEST_VERSION}", bin.display());
        }
        let (uid, gid) = server_user()?;
        Ok(Self { clients: bin.clone(), bin, cached: None, version, uid, gid })
    }

    /// Copies programs that are in the cache directory, for which the PostgreSQL user may have no permission, into a
    /// new directory in `scratch`. Returns the installation with the copy.
    pub(crate) fn copied_into(self, scratch: &Path) -> Result<Self> {
        let Some(cached) = &self.cached else { return Ok(self) };
        let copy = scratch.join("postgresql");
        run::stdout(Command::new("cp").arg("-R").args([cached, &copy]))?;
        run::stdout(Command::new("chmod").args(["-R", "a+rX"]).arg(&copy))?;
        let bin = copy.join(self.bin.strip_prefix(cached)?);
        Ok(Self { bin, cached: None, ..self })
    }

    /// Returns the major version, such as 15.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Returns the ids of the user and the group that run the servers.
    #[must_use]
    pub fn owner(&self) -> (u32, u32) {
        (self.uid, self.gid)
    }

    /// Returns a command of that user, in `directory`, which is also its home. It doesn't inherit our environment;
    /// `PATH` begins with PostgreSQL's programs.
    pub fn command(&self, program: impl AsRef<Path>, directory: &Path) -> Command {
        // Rust searches our PATH for a name without a directory, not the PATH of the child process.
        let known = [&self.bin, &self.clients].map(|directory| directory.join(&program));
        let known = known.iter().find(|path| path.exists());
        let mut command = Command::new(known.map_or(program.as_ref(), PathBuf::as_path));
        command.current_dir(directory).env_clear();
        command.env("PATH", format!("{}:{}:{SYSTEM_PATH}", self.bin.display(), self.clients.display()));
        command.envs([("LC_ALL", "C.UTF-8"), ("TZ", "UTC")]).env("HOME", directory);
        if rustix::process::getuid().is_root() {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }
}

/// Returns the Debian packages that are missing: the server with its client programs, and the tools that can't be run.
fn missing_packages(server: bool, runs: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let server: &[&str] = if server { &[] } else { &["postgresql", "postgresql-client"] };
    server.iter().copied().chain(TOOLS.into_iter().filter(|tool| !runs(tool))).collect()
}

fn runs(tool: &str) -> bool {
    run::stdout(Command::new(tool).arg("--version")).is_ok()
}

/// Returns the directory of PostgreSQL's programs.
fn server_programs() -> Option<PathBuf> {
    newest_on_debian().or_else(in_path)
}

/// Returns the directory in which Debian's packages of a major version have their programs.
pub(crate) fn debian_programs(major: u32) -> PathBuf {
    Path::new(DEBIAN_ROOT).join(major.to_string()).join("bin")
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

/// Parses the major version: 15 in `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`, 18 in `… 18beta1`.
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
