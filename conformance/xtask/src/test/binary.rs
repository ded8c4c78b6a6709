//! Builds the test binaries with cargo, and lists them.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::build::cargo;

/// The builds: the whole workspace, and then the tests of the backends that are off by default.
const BUILDS: [&[&str]; 2] = [
    &["--workspace", "--all-targets"],
    // The whole workspace, so that the dependencies are those of the first build.
    &[
        "--workspace",
        "--test",
        "s3",
        "--features",
        "swiftwal-backends/s3,swiftwal-backends/gcs,swiftwal-backends/azure",
    ],
];

/// A test binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Binary {
    /// The package and the file or directory of the tests: `swiftwal/real_docs`.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    /// The package's directory, in which its tests expect to run.
    pub(crate) directory: PathBuf,
}

/// Builds all test binaries, and the examples that they run.
pub(crate) fn build() -> Result<Vec<Binary>> {
    let mut binaries = Vec::new();
    for selection in BUILDS {
        let mut build = cargo();
        build.args(["test", "--no-run", "--locked", "--message-format", "json-render-diagnostics"]);
        let output = build.args(selection).stderr(Stdio::inherit()).output().context("starting cargo")?;
        ensure!(output.status.success(), "the tests can't be built");
        binaries.extend(String::from_utf8_lossy(&output.stdout).lines().filter_map(test_binary));
    }
    // As programs: above, cargo builds them as tests of themselves.
    let status = cargo().args(["build", "--workspace", "--examples", "--locked"]).status();
    ensure!(status.context("starting cargo")?.success(), "the examples can't be built");
    Ok(binaries)
}

/// Returns the test binary in one of cargo's messages, if there is one.
fn test_binary(message: &str) -> Option<Binary> {
    let message: Value = serde_json::from_str(message).ok()?;
    let path = message["executable"].as_str().filter(|_| message["profile"]["test"] == true)?;
    let directory = Path::new(message["manifest_path"].as_str()?).parent()?;
    // `path+file:///…/swiftwal/cli#swiftwal@0.1.0`, or without a name if it is the directory's.
    let (location, version) = message["package_id"].as_str()?.rsplit_once('#')?;
    let directory_name = location.rsplit('/').next()?;
    let package = version.split_once('@').map_or(directory_name, |(name, _)| name);
    let target = message["target"]["name"].as_str()?;
    let name = format!("{package}/{target}");
    Some(Binary { name, path: path.into(), directory: directory.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: &str, test: bool) -> String {
        let manifest = "/src/swiftwal/cli/Cargo.toml";
        format!(
            r#"{{"reason":"compiler-artifact","package_id":"path+file:///src/{id}","manifest_path":"{manifest}",
            "target":{{"name":"real_docs"}},"profile":{{"test":{test}}},"executable":"/src/target/x"}}"#
        )
        .replace('\n', "")
    }

    #[test]
    fn a_test_binary_is_told_from_what_else_cargo_builds() {
        let name = |id, test| test_binary(&message(id, test)).map(|binary| binary.name);
        assert_eq!(name("swiftwal/cli#swiftwal@0.1.0", true).as_deref(), Some("swiftwal/real_docs"));
        assert_eq!(
            name("backends/object_store_swift#0.1.0", true).as_deref(),
            Some("object_store_swift/real_docs")
        );
        assert_eq!(name("swiftwal/cli#swiftwal@0.1.0", false), None);
        assert_eq!(test_binary(r#"{"reason":"build-finished","success":true}"#), None);
    }
}
