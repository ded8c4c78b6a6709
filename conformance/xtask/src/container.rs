//! The container of a test in Swift, examined with python-swiftclient.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, bail};

use crate::{Scratch, SwiftInstallation, run};

/// The settings of a user with a password, which `cargo xtask test` puts into the environment with the prefix
/// `SWIFT_TEST_`.
const PASSWORD_SETTINGS: [&str; 8] = [
    "OS_AUTH_URL",
    "OS_IDENTITY_API_VERSION",
    "OS_PASSWORD",
    "OS_PROJECT_DOMAIN_NAME",
    "OS_PROJECT_NAME",
    "OS_REGION_NAME",
    "OS_USERNAME",
    "OS_USER_DOMAIN_NAME",
];

/// The settings of a user of Ceph's gateway, in the same way with the prefix `SWIFT_TEST_CEPH_`.
const GATEWAY_SETTINGS: [&str; 3] = ["ST_AUTH", "ST_KEY", "ST_USER"];

/// Returns the settings of the Swift that `cargo xtask test` has started: a user with a password.
///
/// # Errors
///
/// No settings in the environment; the error says how to start a Swift.
pub fn swift_test_settings() -> Result<Vec<(&'static str, String)>> {
    PASSWORD_SETTINGS.into_iter().map(|name| Ok((name, swift_test_setting(name)?))).collect()
}

/// Returns the settings of the Ceph that `cargo xtask test` has started: a user of the gateway itself.
///
/// # Errors
///
/// No settings in the environment; the error says how to start a Ceph.
pub fn ceph_test_settings() -> Result<Vec<(&'static str, String)>> {
    GATEWAY_SETTINGS
        .into_iter()
        .map(|name| Ok((name, swift_test_setting(&format!("CEPH_{name}"))?)))
        .collect()
}

/// Returns one of the settings in [`crate::Swift::test_settings`] or [`crate::Ceph::test_settings`], by its name without `SWIFT_TEST_`.
#[expect(clippy::disallowed_methods, reason = "this is how cargo xtask test reaches its tests")]
pub fn swift_test_setting(name: &str) -> Result<String> {
    let value = std::env::var(format!("SWIFT_TEST_{name}"));
    value.with_context(|| format!("no SWIFT_TEST_{name} in the environment; run cargo xtask test"))
}

/// A container of Swift for the program under test, examined with another client: python-swiftclient.
#[derive(Debug)]
pub struct Container {
    scratch: Arc<Scratch>,
    installation: SwiftInstallation,
    name: String,
    settings: Vec<(String, String)>,
    configuration: PathBuf,
}

impl Container {
    /// Chooses a name that no other scratch directory has, and writes the configuration file for it. It doesn't create
    /// the container: the program does.
    pub(crate) fn new(scratch: &Arc<Scratch>, settings: Vec<(String, String)>) -> Result<Self> {
        let installation = SwiftInstallation::ensure()?;
        let name = scratch.path().file_name().context("a scratch directory has a name")?;
        let name = name.to_string_lossy().into_owned();
        let lines = settings.iter().map(|(name, value)| format!("{name}={}\n", run::quoted(value)));
        let text = format!("CONTAINER={name}\n{}", lines.collect::<String>());
        let configuration = scratch.secret_file("swiftwal.conf", &text)?;
        Ok(Self { scratch: Arc::clone(scratch), installation, name, settings, configuration })
    }

    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the program's configuration file with this container and credentials, which only the PostgreSQL user can
    /// read.
    #[must_use]
    pub fn configuration(&self) -> &Path {
        &self.configuration
    }

    /// Returns the settings of the account.
    #[must_use]
    pub fn settings(&self) -> &[(String, String)] {
        &self.settings
    }

    /// Returns the command `swift ARGUMENTS` in the scratch directory, with credentials in its environment.
    ///
    /// It runs as the current user: the PostgreSQL user may have no permission for the Python that it needs.
    pub fn client(&self, arguments: &[&str]) -> Command {
        let mut swift = self.command(&self.installation.client());
        swift.args(arguments);
        swift
    }

    /// Returns a command that runs a line of shell, in which `swift` is the same client.
    pub fn shell(&self, line: &str) -> Command {
        let mut shell = self.command(Path::new("sh"));
        shell.args(["-euc", line]);
        shell
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.scratch.path()).env_clear();
        let client = self.installation.client();
        let tools = client.parent().unwrap_or(Path::new("/")).display().to_string();
        command.envs([("LC_ALL", "C.UTF-8"), ("TZ", "UTC"), ("PATH", &format!("{tools}:/usr/bin:/bin"))]);
        command.env("HOME", self.scratch.path());
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Returns the names of all objects, sorted; None if the container doesn't exist.
    pub fn objects(&self) -> Result<Option<Vec<String>>> {
        self.list(&self.name)
    }

    /// Returns the names of the segments of large objects, sorted; None if their container doesn't exist.
    pub fn segments(&self) -> Result<Option<Vec<String>>> {
        self.list(&format!("{}_segments", self.name))
    }

    fn list(&self, container: &str) -> Result<Option<Vec<String>>> {
        let output = run::output(&mut self.client(&["list", container]))?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        if complaint.starts_with(&format!("Container '{container}' not found")) {
            return Ok(None);
        }
        if !output.status.success() {
            bail!("swift list {container} ended with {}\n{complaint}", output.status);
        }
        let mut names: Vec<_> = String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect();
        names.sort();
        Ok(Some(names))
    }
}
