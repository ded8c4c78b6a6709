//! Recognises what was damaged while no process used the spool.

use std::{fs::File, io, path::Path, sync::Arc};

use swiftwal_postgres::{WalName, is_complete_segment};

use super::{Spool, begun::beginning_of, sync_directory};
use crate::{
    error::{Error, Result},
    local::blocking::blocking,
    repository::wal_file::WalFile,
};

/// The end of the name of a damaged segment.
const DAMAGED: &str = ".damaged";

impl Spool {
    /// Puts the segments aside that were damaged while no process used the spool, and returns their names.
    pub(in crate::receive_wal) async fn put_damaged_aside(&self) -> Result<Vec<WalName>> {
        let mut damaged = Vec::new();
        let complete = self.complete().await?.into_iter().map(WalName::Segment);
        for name in complete.chain(self.begun().await?.into_iter().map(WalName::Partial)) {
            let (path, directory) = (self.path_of(name), self.directory.clone());
            let is_damaged = blocking(move || {
                let Some(reason) = damage(name, &path)? else { return Ok(false) };
                let aside = directory.join(format!("{name}{DAMAGED}"));
                let put_aside = || {
                    rustix::fs::rename(&path, &aside)?;
                    sync_directory(&directory)
                };
                put_aside().map_err(Error::local("rename", &path))?;
                tracing::warn!(
                    "{name} in the spool is damaged and isn't stored: {reason}. It is kept as {}",
                    aside.display()
                );
                Ok(true)
            });
            if is_damaged.await? {
                damaged.push(name);
            }
        }
        Ok(damaged)
    }
}

/// Returns what is wrong with a segment, or with the beginning of one. None if nothing is.
fn damage(name: WalName, path: &Path) -> Result<Option<String>> {
    if let WalName::Partial(segment) = name {
        let beginning = File::open(path).and_then(|file| beginning_of(Arc::new(file)));
        let beginning = beginning.map_err(Error::local("read", path))?;
        return match WalFile::beginning(segment, path, beginning) {
            Err(Error::Damaged { reason, .. }) => Ok(Some(reason)),
            checked => checked.map(|_| None),
        };
    }
    match WalFile::open(path) {
        Err(Error::Damaged { reason, .. }) => return Ok(Some(reason)),
        opened => drop(opened?),
    }
    let is_complete = || is_complete_segment(io::BufReader::new(File::open(path)?));
    let is_complete = is_complete().map_err(Error::local("read", path))?;
    Ok((!is_complete).then(|| "a page isn't the one of its position".to_owned()))
}
