//! Where tablespaces go.

use std::path::{Path, PathBuf};

use super::choose::ChosenBackup;
use crate::{BackupPart, Error, Result};

/// The tablespaces of a backup, with the directories they are restored into.
#[derive(Clone, Debug, Default)]
pub(super) struct Tablespaces(Vec<Tablespace>);

#[derive(Clone, Debug)]
pub(super) struct Tablespace {
    pub(super) oid: u32,
    /// Where it lay.
    old: PathBuf,
    /// Where it goes.
    pub(super) directory: PathBuf,
}

impl Tablespaces {
    /// The plan for `chosen`, whose tablespaces go where they lay unless `mapping` says otherwise.
    pub(super) fn plan(chosen: &ChosenBackup, mapping: &[(PathBuf, PathBuf)]) -> Result<Self> {
        let objects = chosen.record.iter().flat_map(|record| &record.objects);
        let tablespaces = objects.filter_map(|object| {
            let BackupPart::Tar { tablespace: Some(oid), .. } = object.part()? else { return None };
            let old = PathBuf::from(object.tablespace_location.as_deref()?);
            let mapped = mapping.iter().find(|(from, _)| *from == old);
            Some(Tablespace { oid, directory: mapped.map_or_else(|| old.clone(), |(_, to)| to.clone()), old })
        });
        let planned = Self(tablespaces.collect());
        planned.check(mapping)?;
        Ok(planned)
    }

    fn check(&self, mapping: &[(PathBuf, PathBuf)]) -> Result<()> {
        if let Some((unused, _)) =
            mapping.iter().find(|(old, _)| self.0.iter().all(|space| space.old != *old))
        {
            let known: Vec<_> = self.0.iter().map(|space| space.old.display().to_string()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(Error::Usage(format!(
                "the backup has no tablespace in {}, as --tablespace-mapping says; it has {known}",
                unused.display()
            )));
        }
        match self.0.iter().find(|space| !space.directory.is_absolute()) {
            Some(space) => Err(Error::Refused(format!(
                "the tablespace directory {} is not an absolute path, which PostgreSQL wants",
                space.directory.display()
            ))),
            None => Ok(()),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Tablespace> {
        self.0.iter()
    }

    /// Where the tablespace `oid` goes.
    pub(super) fn directory(&self, oid: u32) -> Option<&Path> {
        self.0.iter().find(|space| space.oid == oid).map(|space| space.directory.as_path())
    }

    /// `tablespace_map` with the new places: PostgreSQL makes the links by it when recovery begins.
    pub(super) fn map_text(&self, original: &str) -> String {
        let line = |line: &str| match line.split_once(' ') {
            Some((oid, place)) => {
                let moved = oid.parse().ok().and_then(|oid| self.directory(oid));
                let place = moved.map_or_else(|| place.to_owned(), escaped);
                format!("{oid} {place}\n")
            }
            None => format!("{line}\n"),
        };
        original.lines().map(line).collect()
    }
}

/// As PostgreSQL writes a place into `tablespace_map`: line ends and backslashes behind a backslash.
fn escaped(path: &Path) -> String {
    let mut text = String::new();
    for character in path.to_string_lossy().chars() {
        if matches!(character, '\n' | '\r' | '\\') {
            text.push('\\');
        }
        text.push(character);
    }
    text
}
