//! Finds the programs of Swift and Keystone, and installs them with pip into a separate environment.

use std::fs;
use std::io::stderr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::{apt, cache, run};

/// Every package with its version.
const REQUIREMENTS: &str = include_str!("../swift/requirements.txt");
/// A check that fails with a Python that is too old or can't create environments.
const NEEDED: [&str; 2] = ["-c", "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))"];

/// The programs of OpenStack Swift, Keystone and python-swiftclient.
///
/// They are installed once, in a Python environment below the user's cache directory. Only the installation needs the
/// network.
#[derive(Debug, Clone)]
pub struct SwiftInstallation {
    directory: PathBuf,
}

impl SwiftInstallation {
    /// Returns the installation with this version's requirements. Missing programs are installed, `python3-venv` with
    /// `apt-get` if this is root; otherwise the error names the package to install.
    pub fn ensure() -> Result<Self> {
        let works =
            |directory: &Path| run::stdout(Self::at(directory).isolated_python().args(["-c", ""])).is_ok();
        let install = |directory: &Path| Self::at(directory).install();
        Ok(Self { directory: cache::installed("swift", REQUIREMENTS, works, install)? })
    }

    fn at(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Returns the Python of the environment.
    #[must_use]
    pub fn python(&self) -> PathBuf {
        self.directory.join("bin/python")
    }

    /// Returns the command-line client `swift`.
    #[must_use]
    pub fn client(&self) -> PathBuf {
        self.directory.join("bin/swift")
    }

    /// Returns the spelling checker, which is installed beside them.
    #[must_use]
    pub fn typos(&self) -> PathBuf {
        self.directory.join("bin/typos")
    }

    /// Returns a command of the Python, which ignores the user's settings and packages.
    pub(crate) fn isolated_python(&self) -> Command {
        let mut python = Command::new(self.python());
        python.arg("-I");
        python
    }

    fn install(&self) -> Result<()> {
        let python = ensure_python()?;
        eprintln!("xtask: installing Swift and Keystone into {}", self.directory.display());
        run_to_stderr(Command::new(python).args(["-I", "-m", "venv"]).arg(&self.directory))?;
        let requirements = self.directory.join("requirements.txt");
        fs::write(&requirements, REQUIREMENTS)?;
        let mut pip = self.isolated_python();
        pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]);
        pip.args(["--no-deps", "--only-binary", ":all:", "--requirement"]).arg(requirements);
        run_to_stderr(&mut pip)
    }
}

/// Finds a Python that can create environments, 3.11 or later.
fn ensure_python() -> Result<&'static str> {
    let found = || ["python3", "/usr/bin/python3"].into_iter().find(|python| can_make_environments(python));
    if let Some(python) = found() {
        return Ok(python);
    }
    let packages = ["python3-venv"];
    ensure!(
        apt::may_install(),
        "Swift needs Python 3.11 or later with its venv module: run `{}` as root, or this as root",
        run::line(&apt::install_command(&packages))
    );
    apt::install(&packages)?;
    found().context("the installed python3 still can't make environments")
}

fn can_make_environments(python: &str) -> bool {
    run::stdout(Command::new(python).args(NEEDED)).is_ok()
}

fn run_to_stderr(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).stdout(stderr().as_fd().try_clone_to_owned()?).status();
    let status = status.with_context(|| format!("starting {:?}", command.get_program()))?;
    ensure!(status.success(), "{} ended with {status}", run::line(command));
    Ok(())
}
