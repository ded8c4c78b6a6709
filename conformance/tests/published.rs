//! `object_store_swift` as others get it: packaged, unpacked outside of this repository, and tested there.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const CRATE: &str = "object_store_swift";

/// The root of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Where the unpacked crate is built. It stays there, so that the next run compiles less.
const TARGET: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/published");

/// Runs cargo, which may not warn of anything.
fn cargo(directory: &Path, arguments: &[&str]) {
    let mut command = Command::new("cargo");
    command.current_dir(directory).args(arguments).args(["--offline"]).env("CARGO_PROFILE_DEV_DEBUG", "0");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}{}", String::from_utf8_lossy(&output.stdout));
    assert!(!said.contains("warning:"), "{arguments:?}: {said}");
}

/// Packages the crate, and unpacks it in this directory.
fn unpack(directory: &Path) -> PathBuf {
    let target = directory.join("target");
    let target = target.to_str().unwrap();
    cargo(&root(), &["package", "-p", CRATE, "--allow-dirty", "--no-verify", "--target-dir", target]);
    let mut packages =
        fs::read_dir(directory.join("target/package")).unwrap().map(|entry| entry.unwrap().path());
    let archive = packages.find(|path| path.extension().is_some_and(|name| name == "crate")).unwrap();
    let unpacked = Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(directory).status().unwrap();
    assert!(unpacked.success());
    directory.join(archive.file_stem().unwrap())
}

#[test]
fn the_package_has_what_its_users_need_and_refers_to_nothing_outside() {
    let directory = tempfile::tempdir().unwrap();
    let package = unpack(directory.path());
    for name in ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "examples/tour.rs"] {
        assert!(fs::metadata(package.join(name)).unwrap().len() > 100, "{name}");
    }
    let manifest = fs::read_to_string(package.join("Cargo.toml")).unwrap();
    let sources = manifest.lines().filter(|line| line.starts_with("path = "));
    assert!(sources.clone().all(|line| !line.contains("..")), "{manifest}");
    assert!(!manifest.contains("workspace = true"), "{manifest}");

    let manifest: Vec<_> = manifest.lines().collect();
    let minimum = manifest.iter().find_map(|line| line.strip_prefix("rust-version = \"")).unwrap();
    let readme = fs::read_to_string(package.join("README.md")).unwrap();
    assert!(
        readme.contains(&format!("Rust {}", minimum.trim_end_matches('"'))),
        "the README states {minimum}"
    );
    let version = manifest.iter().find_map(|line| line.strip_prefix("version = \"")).unwrap();
    let changes = fs::read_to_string(package.join("CHANGELOG.md")).unwrap();
    assert!(changes.contains(&format!("## {}", version.trim_end_matches('"'))), "{changes}");
}

#[test]
#[ignore = "checks the crate and everything that it needs: run by cargo xtask test"]
fn it_compiles_outside_of_the_repository() {
    let directory = tempfile::tempdir().unwrap();
    let package = unpack(directory.path());
    cargo(&package, &["check", "--locked", "--all-targets", "--target-dir", TARGET]);
    cargo(&package, &["check", "--locked", "--no-default-features", "--lib", "--target-dir", TARGET]);
}

mod long {
    use super::{TARGET, cargo, unpack};

    #[test]
    #[ignore = "compiles the crate and everything that it needs: run by cargo xtask test --long"]
    fn it_passes_its_tests_outside_of_the_repository() {
        let directory = tempfile::tempdir().unwrap();
        let package = unpack(directory.path());
        cargo(&package, &["test", "--locked", "--quiet", "--target-dir", TARGET]);
    }
}
