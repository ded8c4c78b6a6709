//! A complete setup for a test: PostgreSQL, swiftwal, and a repository.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Result, ensure};

use crate::{Installation, Postgres, Scratch, Swiftwal, run};

/// Makes tests of scenarios, which are functions with a [`Site`]: each runs on a directory, in a module `file`, and as
/// with [`on_swift_and_on_ceph`](crate::on_swift_and_on_ceph). The first argument is the path of the built program.
#[macro_export]
macro_rules! on_file_swift_and_ceph {
    ($built:expr, $($scenario:ident),+ $(,)?) => {
        mod file {
            $(
                #[test]
                #[ignore = "needs PostgreSQL: run by cargo xtask test"]
                fn $scenario() -> anyhow::Result<()> {
                    super::$scenario(&$crate::Site::start(std::path::Path::new($built))?)
                }
            )+
        }

        $crate::on_swift_and_on_ceph!($built, $($scenario),+);
    };
}

/// Makes a test of each scenario with each of its versions of PostgreSQL, on a directory, in a module named after the
/// version. The first argument is the path of the built program.
#[macro_export]
macro_rules! on_versions {
    ($built:expr; $($version:ident, $major:literal: $($scenario:ident),+;)+) => {
        $(mod $version {
            $(
                #[test]
                #[ignore = "needs PostgreSQL: run by cargo xtask test"]
                fn $scenario() -> anyhow::Result<()> {
                    let built = std::path::Path::new($built);
                    super::$scenario(&$crate::Site::start_version(built, $major)?)
                }
            )+
        })+
    };
}

/// As [`on_versions`](crate::on_versions), on the Swift of `cargo xtask test`, in a module `swift`.
#[macro_export]
macro_rules! on_versions_on_swift {
    ($built:expr; $($version:ident, $major:literal: $($scenario:ident),+;)+) => {
        mod swift {
            $(mod $version {
                $(
                    #[test]
                    #[ignore = "needs PostgreSQL and Swift: run by cargo xtask test"]
                    fn $scenario() -> anyhow::Result<()> {
                        let built = std::path::Path::new($built);
                        let settings = $crate::swift_test_settings()?;
                        super::super::$scenario(&$crate::Site::start_version_on_swift(built, $major, settings)?)
                    }
                )+
            })+
        }
    };
}

/// Makes tests of scenarios on the servers of `cargo xtask test`: on Swift, in a module `swift`, and on the gateway of
/// Ceph, in a module `ceph`.
#[macro_export]
macro_rules! on_swift_and_on_ceph {
    ($built:expr, $($scenario:ident),+ $(,)?) => {
        mod swift {
            $(
                #[test]
                #[ignore = "needs PostgreSQL and Swift: run by cargo xtask test"]
                fn $scenario() -> anyhow::Result<()> {
                    let settings = $crate::swift_test_settings()?;
                    super::$scenario(&$crate::Site::start_on_swift(std::path::Path::new($built), settings)?)
                }
            )+
        }

        mod ceph {
            $(
                #[test]
                #[ignore = "needs PostgreSQL and Ceph: run by cargo xtask test"]
                fn $scenario() -> anyhow::Result<()> {
                    let settings = $crate::ceph_test_settings()?;
                    super::$scenario(&$crate::Site::start_on_swift(std::path::Path::new($built), settings)?)
                }
            )+
        }
    };
}

/// One PostgreSQL cluster that archives through the program under test into one repository.
#[derive(Debug)]
pub struct Site {
    /// The directory of everything.
    pub scratch: Arc<Scratch>,
    /// The program and its repository.
    pub swiftwal: Swiftwal,
    /// The cluster.
    pub postgres: Postgres,
}

impl Site {
    /// Sets up everything for the program `built`, with a directory as its repository, and starts the server.
    pub fn start(built: &Path) -> Result<Self> {
        let scratch = Scratch::new(Installation::ensure()?)?;
        let swiftwal = Swiftwal::new(&scratch, built)?;
        Self::with(scratch, swiftwal)
    }

    /// As [`Self::start`], with a container of a Swift; see [`Swiftwal::on_swift`].
    pub fn start_on_swift<Name: Into<String>>(
        built: &Path,
        settings: impl IntoIterator<Item = (Name, String)>,
    ) -> Result<Self> {
        let scratch = Scratch::new(Installation::ensure()?)?;
        let swiftwal = Swiftwal::on_swift(&scratch, built, settings)?;
        Self::with(scratch, swiftwal)
    }

    /// As [`Self::start`], with one of [`VERSIONS`](crate::VERSIONS), and page checksums.
    pub fn start_version(built: &Path, major: u32) -> Result<Self> {
        let scratch = Scratch::new(Installation::of_version(major)?)?;
        let swiftwal = Swiftwal::new(&scratch, built)?;
        Self::of_version(scratch, swiftwal, major)
    }

    /// As [`Self::start_version`], with a container of a Swift; see [`Swiftwal::on_swift`].
    pub fn start_version_on_swift<Name: Into<String>>(
        built: &Path,
        major: u32,
        settings: impl IntoIterator<Item = (Name, String)>,
    ) -> Result<Self> {
        let scratch = Scratch::new(Installation::of_version(major)?)?;
        let swiftwal = Swiftwal::on_swift(&scratch, built, settings)?;
        Self::of_version(scratch, swiftwal, major)
    }

    fn with(scratch: Arc<Scratch>, swiftwal: Swiftwal) -> Result<Self> {
        let postgres = Postgres::create(&scratch, "data", &[&archive_setting(&swiftwal)])?;
        Self::started(scratch, swiftwal, postgres)
    }

    fn of_version(scratch: Arc<Scratch>, swiftwal: Swiftwal, major: u32) -> Result<Self> {
        let postgres = Postgres::create_with_checksums(&scratch, "data", &[&archive_setting(&swiftwal)])?;
        let site = Self::started(scratch, swiftwal, postgres)?;
        let found = site.postgres.major()?;
        ensure!(found == major, "the server of version {major} is of version {found}");
        ensure!(site.postgres.sql("show data_checksums")? == "on", "the pages have no checksums");
        Ok(site)
    }

    fn started(scratch: Arc<Scratch>, swiftwal: Swiftwal, postgres: Postgres) -> Result<Self> {
        postgres.start()?;
        Ok(Self { scratch, swiftwal, postgres })
    }

    /// As [`Swiftwal::command`], with the cluster's connection settings in the environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.swiftwal.command(arguments);
        command.envs(self.postgres.environment());
        command
    }

    /// Runs the command, and returns its standard output. An error contains all its output.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        run::stdout(&mut self.command(arguments))
    }

    /// Restores into the new directory `name` of the scratch directory. Returns the cluster there, which isn't started.
    pub fn restore(&self, name: &str, key: &str, options: &[&str]) -> Result<Postgres> {
        let restored = Postgres::open(&self.scratch, &self.scratch.path().join(name));
        let directory = restored.data().to_string_lossy();
        self.swiftwal.run(&[&["restore", key, &directory], options].concat())?;
        Ok(restored)
    }
}

fn archive_setting(swiftwal: &Swiftwal) -> String {
    format!("archive_command = '{}'", swiftwal.archive_command())
}
