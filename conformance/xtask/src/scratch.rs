//! Scratch directories for real servers, which are removed whatever happens.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, Result, bail};

use crate::Installation;

/// A directory of the PostgreSQL user for one run of real servers.
///
/// A guardian process reads a pipe that closes when this value is dropped or the process ends, even by `kill -9`. Then
/// it stops every process that works below the directory, and removes the directory.
#[derive(Debug)]
pub struct Scratch {
    installation: Installation,
    path: PathBuf,
    guardian: Child,
    next_port: AtomicU16,
}

impl Scratch {
    /// Creates a directory with mode 755 below the system's directory for temporary files. Programs from the cache
    /// directory are copied into it.
    pub fn new(installation: Installation) -> Result<Arc<Self>> {
        let (uid, gid) = installation.owner();
        let mut guardian = Command::new("sh")
            .args(["-c", include_str!("guardian.sh"), "guardian", &format!("{uid}:{gid}")])
            // In a process group of its own: a signal to the group (Ctrl-C, the end of a job) must not end the
            // guardian.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the guardian of the scratch directory")?;
        let mut path = String::new();
        if let Some(stdout) = guardian.stdout.take() {
            BufReader::new(stdout).read_line(&mut path)?;
        }
        if path.is_empty() {
            bail!("making a scratch directory failed: {}", guardian.wait()?);
        }
        let path = PathBuf::from(path.trim_end());
        let mut scratch = Self { installation, path, guardian, next_port: AtomicU16::new(5432) };
        scratch.installation = scratch.installation.clone().copied_into(&scratch.path)?;
        Ok(Arc::new(scratch))
    }

    /// Returns its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns a command of the PostgreSQL user that works in this directory; see [`Installation::command`].
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        self.installation.command(program, &self.path)
    }

    /// Creates a directory of the PostgreSQL user here, with mode 700.
    pub fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        let made = || {
            fs::create_dir(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
            let (uid, gid) = self.installation.owner();
            chown(&path, Some(uid), Some(gid))
        };
        made().with_context(|| format!("making {}", path.display()))?;
        Ok(path)
    }

    /// Writes a new file that only the PostgreSQL user can read.
    pub fn secret_file(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        let written = || {
            let mut file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
            let (uid, gid) = self.installation.owner();
            chown(&path, Some(uid), Some(gid))?;
            file.write_all(text.as_bytes())
        };
        written().with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// Copies a program here, where the PostgreSQL user can run it: that user may have no permission for the directory
    /// in which it was built.
    pub fn program(&self, built: &Path) -> Result<PathBuf> {
        self.program_as(built, Path::new(built.file_name().context("a program has a name")?))
    }

    /// As [`Self::program`], under another name.
    pub fn program_as(&self, built: &Path, name: &Path) -> Result<PathBuf> {
        let path = self.path.join(name);
        fs::copy(built, &path)
            .with_context(|| format!("copying {} to {}", built.display(), path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(path)
    }

    /// Returns a port that no other server of this directory uses. Servers listen only on a socket in this directory,
    /// so the port is only a part of the socket's name.
    pub(crate) fn next_port(&self) -> u16 {
        self.next_port.fetch_add(1, Ordering::Relaxed)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Closes the guardian's standard input first.
        let _ = self.guardian.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{run, until};

    #[test]
    #[ignore = "needs PostgreSQL: run by cargo xtask test"]
    fn a_dropped_scratch_directory_leaves_neither_files_nor_processes() {
        let scratch = Scratch::new(Installation::ensure().unwrap()).unwrap();
        let path = scratch.path().to_owned();
        let mut sleeper = scratch.command("sleep").arg("600").spawn().unwrap();
        run::stdout(scratch.command("sh").args(["-c", "mkdir -m 0 closed; touch file"])).unwrap();
        drop(scratch);
        assert!(!path.exists());
        until("the sleeping process is gone", || Ok(sleeper.try_wait()?.is_some())).unwrap();
    }
}
