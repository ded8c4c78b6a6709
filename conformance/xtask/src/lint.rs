//! `cargo xtask lint`: finds spelling mistakes and tracked files that are too large.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Result, ensure};
use xtask::{SwiftInstallation, stdout};

/// The largest tracked file. Larger ones are data, which a test can generate.
const MOST_BYTES: u64 = 200 << 10;

/// Runs both checks, and fails at the first one that isn't clean.
pub(crate) fn lint() -> Result<ExitCode> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let large = too_large(root)?;
    ensure!(large.is_empty(), "tracked files of more than {MOST_BYTES} bytes: {}", large.join(", "));
    let typos = SwiftInstallation::ensure()?.typos();
    print!("{}", stdout(Command::new(typos).arg("--format=brief").current_dir(root))?);
    Ok(ExitCode::SUCCESS)
}

/// Returns the tracked files that are larger than allowed. In a copy without a history, no file is tracked.
fn too_large(root: &Path) -> Result<Vec<String>> {
    if !root.join(".git").exists() {
        return Ok(Vec::new());
    }
    // The checkout may belong to another user than the one who runs the tests.
    let git = ["-c", "safe.directory=*", "ls-files", "-z"];
    let tracked = stdout(Command::new("git").args(git).current_dir(root))?;
    // A deleted file that is still tracked doesn't exist.
    let bytes = |name: &str| fs::symlink_metadata(root.join(name)).map_or(0, |file| file.len());
    let names = tracked.split_terminator('\0').filter(|name| bytes(name) > MOST_BYTES);
    Ok(names.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_file_is_named_once_git_tracks_it() {
        let directory = tempfile::tempdir().unwrap();
        let git = |arguments: &[&str]| {
            stdout(Command::new("git").args(arguments).current_dir(directory.path())).unwrap();
        };
        git(&["init", "--quiet"]);
        fs::write(directory.path().join("fits"), vec![0; 200 << 10]).unwrap();
        fs::write(directory.path().join("is too large"), vec![0; (200 << 10) + 1]).unwrap();
        assert!(too_large(directory.path()).unwrap().is_empty());
        git(&["add", "."]);
        assert_eq!(too_large(directory.path()).unwrap(), ["is too large"]);
    }
}
