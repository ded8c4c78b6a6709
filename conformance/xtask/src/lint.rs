//! What no compiler sees: slips of the pen, and files that don't belong into the repository.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Result, ensure};
use xtask::{SwiftInstallation, stdout};

/// The largest file that may be tracked. What is larger is data, which a test can make.
const MOST_BYTES: u64 = 200 << 10;

/// Fails at the first of the two that isn't clean.
pub(crate) fn lint() -> Result<ExitCode> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let large = too_large(root)?;
    ensure!(large.is_empty(), "tracked files of more than {MOST_BYTES} bytes: {}", large.join(", "));
    let typos = SwiftInstallation::ensure()?.typos();
    print!("{}", stdout(Command::new(typos).arg("--format=brief").current_dir(root))?);
    Ok(ExitCode::SUCCESS)
}

/// The tracked files that are larger than allowed. In a copy without a history, none is tracked.
fn too_large(root: &Path) -> Result<Vec<String>> {
    if !root.join(".git").exists() {
        return Ok(Vec::new());
    }
    // The checkout may belong to another user than the one who runs the tests.
    let git = ["-c", "safe.directory=*", "ls-files", "-z"];
    let tracked = stdout(Command::new("git").args(git).current_dir(root))?;
    // A file that was deleted and not yet committed isn't there.
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
