//! Finds the programs of Swift and Keystone, and installs them with pip into a separate environment.

use std::env;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::stderr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::{apt, run};

/// Every package with its version.
const REQUIREMENTS: &str = include_str!("../swift/requirements.txt");
/// A check that fails with a Python that is too old or can't create environments.
const NEEDED: [&str; 2] = ["-c", "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))"];
/// The file that is written last, with the requirements in it: without it the installation is incomplete.
const MARKER: &str = "installed";

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
        let cache = cache_directory()?;
        let mut hasher = DefaultHasher::new();
        REQUIREMENTS.hash(&mut hasher);
        Self::ensure_in(&cache.join(format!("swift-{:016x}", hasher.finish())))
    }

    /// Installs at most once, even if several processes do this at the same time.
    fn ensure_in(directory: &Path) -> Result<Self> {
        let lock = File::create(directory.with_extension("lock"))?;
        lock.lock()?;
        let installation = Self { directory: directory.to_owned() };
        if !installation.is_complete() {
            installation.install()?;
        }
        Ok(installation)
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

    /// Whether an earlier installation was completed, and its Python still runs.
    fn is_complete(&self) -> bool {
        let marker = fs::read_to_string(self.directory.join(MARKER));
        marker.is_ok_and(|marker| marker == REQUIREMENTS)
            && run::stdout(Command::new(self.python()).args(["-I", "-c", ""])).is_ok()
    }

    fn install(&self) -> Result<()> {
        let python = ensure_python()?;
        eprintln!("xtask: installing Swift and Keystone into {}", self.directory.display());
        if self.directory.exists() {
            fs::remove_dir_all(&self.directory)?;
        }
        run_to_stderr(Command::new(python).args(["-I", "-m", "venv"]).arg(&self.directory))?;
        let requirements = self.directory.join("requirements.txt");
        fs::write(&requirements, REQUIREMENTS)?;
        let mut pip = Command::new(self.python());
        pip.args(["-I", "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]);
        pip.args(["--no-deps", "--only-binary", ":all:", "--requirement"]).arg(requirements);
        run_to_stderr(&mut pip)?;
        fs::write(self.directory.join(MARKER), REQUIREMENTS)?;
        Ok(())
    }
}

/// Returns the directory for files that outlive a run: `swiftwal-xtask` below `.cache` in the home directory. It is
/// created if missing.
pub fn cache_directory() -> Result<PathBuf> {
    let home = env::home_dir().context("no home directory: set HOME")?;
    let directory = home.join(".cache/swiftwal-xtask");
    fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
    Ok(directory)
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
