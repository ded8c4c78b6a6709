//! Files that outlive a run: what is installed once, below the user's cache directory.

use std::env;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The file that is written last, with the pinned versions in it: without it the installation is incomplete.
const MARKER: &str = "installed";

/// Returns the directory for files that outlive a run: `swiftwal-xtask` below `.cache` in the home directory. It is
/// created if missing.
pub fn cache_directory() -> Result<PathBuf> {
    let home = env::home_dir().context("no home directory: set HOME")?;
    let directory = home.join(".cache/swiftwal-xtask");
    fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
    Ok(directory)
}

/// Returns the directory of the cache in which `name` is installed with exactly the versions that `pinned` lists. Other
/// versions have another directory. `install` is called with the directory, which doesn't exist or is empty, unless an
/// earlier installation was completed and still `works`.
pub(crate) fn installed(
    name: &str,
    pinned: &str,
    works: impl FnOnce(&Path) -> bool,
    install: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    pinned.hash(&mut hasher);
    let directory = cache_directory()?.join(format!("{name}-{:016x}", hasher.finish()));
    install_once(&directory, pinned, works, install)?;
    Ok(directory)
}

/// Installs at most once, even if several processes do this at the same time.
fn install_once(
    directory: &Path,
    pinned: &str,
    works: impl FnOnce(&Path) -> bool,
    install: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let lock = File::create(directory.with_extension("lock"))?;
    lock.lock()?;
    let marker = directory.join(MARKER);
    if fs::read_to_string(&marker).is_ok_and(|marker| marker == pinned) && works(directory) {
        return Ok(());
    }
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    fs::create_dir(directory)?;
    install(directory)?;
    Ok(fs::write(marker, pinned)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_or_no_longer_works_is_installed_again_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("program-1");
        let install = |works: bool, fails: bool| {
            let mut installed = false;
            let done = install_once(
                &directory,
                "program==1",
                |_| works,
                |directory| {
                    installed = true;
                    fs::create_dir(directory.join("bin"))?;
                    anyhow::ensure!(!fails, "the network is down");
                    Ok(())
                },
            );
            (installed, done.is_ok())
        };
        assert_eq!(install(true, true), (true, false));
        assert_eq!(install(true, false), (true, true));
        assert_eq!(install(true, false), (false, true));
        assert_eq!(install(false, false), (true, true));
    }
}
