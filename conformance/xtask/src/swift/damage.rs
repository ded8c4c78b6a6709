//! Damages objects and listings on the disks of Swift.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::Swift;

impl Swift {
    /// Returns the files with an object's content, one for each replica, found on the nodes' disks.
    ///
    /// `account` is as in the storage URL, such as [`Self::account_v1`]; names aren't encoded.
    pub fn object_files(&self, account: &str, container: &str, object: &str) -> Result<Vec<PathBuf>> {
        let hash = self.run_script(&["hash", account, container, object])?;
        let mut files = Vec::new();
        for node in 1..=self.options.nodes {
            let objects = self.directory.join(format!("n{node}/d{node}/objects"));
            collect(&objects, hash.trim(), &mut files)?;
        }
        Ok(files)
    }

    /// Removes an object from its container's listing, as if no container server had been informed of it. The object
    /// itself remains.
    pub fn unlist(&self, account: &str, container: &str, object: &str) -> Result<()> {
        self.run_script(&["unlist", account, container, object]).map(drop)
    }

    /// Changes one byte in the middle of every replica of an object, as a bad disk would.
    pub fn damage(&self, account: &str, container: &str, object: &str) -> Result<()> {
        let files = self.object_files(account, container, object)?;
        ensure!(!files.is_empty(), "no node has {account}/{container}/{object}");
        files
            .iter()
            .try_for_each(|path| flip_a_byte(path).with_context(|| format!("damaging {}", path.display())))
    }
}

/// Adds the `.data` files in directories with this name, at any depth. A missing directory contains none.
fn collect(directory: &Path, name: &str, files: &mut Vec<PathBuf>) -> Result<()> {
    let Ok(entries) = fs::read_dir(directory) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, name, files)?;
        } else if directory.ends_with(name) && path.extension().is_some_and(|kind| kind == "data") {
            files.push(path);
        }
    }
    Ok(())
}

fn flip_a_byte(path: &Path) -> Result<()> {
    let file = fs::OpenOptions::new().read(true).write(true).open(path)?;
    let middle = file.metadata()?.len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle)?;
    file.write_all_at(&[!byte[0]], middle)?;
    Ok(())
}
