//! The directories into which tablespaces are restored.
//!
//! The commit record contains their original locations, and anyone who can write to the repository could have put any
//! directory of this machine there. So nothing is written into one of them unless the administrator names it.

use std::{
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use swiftwal_postgres::printable;

use super::RestoreOptions;
use crate::{
    error::{Error, Refusal, Result},
    repository::{backup::ChosenBackup, layout::BackupPart},
};

/// The tablespaces of a backup, with the directories they are restored into. In-place tablespaces, which are in the data
/// directory, aren't among them.
#[derive(Clone, Debug, Default)]
pub(super) struct Tablespaces {
    spaces: Vec<Tablespace>,
    /// `PG_VERSION` of the backup; empty if there are no tablespaces.
    version: String,
}

#[derive(Clone, Debug)]
pub(super) struct Tablespace {
    pub(super) oid: u32,
    /// The original location.
    pub(super) old: PathBuf,
    /// The new location.
    pub(super) directory: PathBuf,
}

impl Tablespaces {
    /// Plans the directories for the tablespaces of `chosen`, according to the options.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] for a tablespace without a directory, and for a mapping without a tablespace.
    pub(super) fn plan(chosen: &ChosenBackup, options: &RestoreOptions) -> Result<Self> {
        let Some(record) = &chosen.record else {
            return Self::default().checked(options);
        };
        let mut planned = Self { version: record.postgres_version.clone(), ..Self::default() };
        let mut homeless = Vec::new();
        for object in &record.objects {
            let Some(BackupPart::Tar { tablespace: Some(oid), piece: 1, .. }) = object.part() else {
                continue;
            };
            if object.in_place_directory().is_some() {
                continue;
            }
            let old = PathBuf::from(object.tablespace_location.clone().unwrap_or_default());
            let mapped = options.tablespace_mapping.iter().find(|(from, _)| *from == old);
            let directory = match mapped {
                Some((_, to)) => to.clone(),
                None => match &options.tablespaces_below {
                    Some(parent) => parent.join(oid.to_string()),
                    None if options.tablespaces_in_place => old.clone(),
                    None => {
                        homeless.push(format!("{} ({oid})", shown(&old)));
                        continue;
                    }
                },
            };
            planned.spaces.push(Tablespace { oid, old, directory });
        }
        if homeless.is_empty() {
            planned.checked(options)
        } else {
            Err(Refusal::Tablespaces { places: homeless }.into())
        }
    }

    fn checked(self, options: &RestoreOptions) -> Result<Self> {
        let is_unused = |old: &Path| self.spaces.iter().all(|space| space.old != *old);
        if let Some((unused, _)) = options.tablespace_mapping.iter().find(|(old, _)| is_unused(old)) {
            let known: Vec<_> = self.spaces.iter().map(|space| shown(&space.old)).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(Error::Usage(format!(
                "the backup has no tablespace in {}, as --tablespace-mapping says; it has {known}",
                unused.display()
            )));
        }
        match self.spaces.iter().find(|space| !space.directory.is_absolute()) {
            Some(space) => Err(Error::Refused(Refusal::Destination {
                what: format!(
                    "the tablespace directory '{}' is not an absolute path, which PostgreSQL requires",
                    shown(&space.directory)
                ),
                hint: None,
            })),
            None => Ok(self),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Tablespace> {
        self.spaces.iter()
    }

    /// Returns the directory of the tablespace `oid`.
    pub(super) fn directory(&self, oid: u32) -> Option<&Path> {
        self.spaces.iter().find(|space| space.oid == oid).map(|space| space.directory.as_path())
    }

    /// Whether `name`, a path below a tablespace's directory, is in the one directory in which PostgreSQL of the
    /// backup's version keeps its files: `PG_15_202209061`.
    pub(super) fn may_hold(&self, name: &[u8]) -> bool {
        let first = name.split(|byte| *byte == b'/').next().unwrap_or_default();
        let prefix = format!("PG_{}_", self.version);
        let catalog = first.strip_prefix(prefix.as_bytes());
        catalog.is_some_and(|catalog| !catalog.is_empty() && catalog.iter().all(u8::is_ascii_digit))
    }

    /// Returns `tablespace_map` with the new locations, with which PostgreSQL creates the links when recovery begins.
    ///
    /// # Errors
    ///
    /// The number of a tablespace that is in the map but not in the backup.
    pub(super) fn map(&self, original: &[u8]) -> Result<Vec<u8>, String> {
        let mut map = Vec::new();
        for line in lines(original) {
            let oid = line.split(|byte| *byte == b' ').next().unwrap_or_default();
            let number = std::str::from_utf8(oid).ok().and_then(|oid| oid.parse().ok());
            let Some(place) = number.and_then(|oid| self.directory(oid)) else {
                return Err(printable(oid).to_string());
            };
            map.extend_from_slice(oid);
            map.push(b' ');
            for byte in place.as_os_str().as_bytes() {
                if matches!(byte, b'\n' | b'\r' | b'\\') {
                    map.push(b'\\');
                }
                map.push(*byte);
            }
            map.push(b'\n');
        }
        Ok(map)
    }
}

/// Returns the lines of a `tablespace_map`, in which a backslash precedes a line break that belongs to a path.
fn lines(map: &[u8]) -> Vec<&[u8]> {
    let (mut lines, mut start, mut is_escaped) = (Vec::new(), 0, false);
    for (at, byte) in map.iter().enumerate() {
        if *byte == b'\n' && !is_escaped {
            lines.push(&map[start..at]);
            start = at + 1;
        }
        is_escaped = *byte == b'\\' && !is_escaped;
    }
    lines.push(&map[start..]);
    lines.retain(|line| !line.trim_ascii().is_empty());
    lines
}

/// Returns the directories in a `tablespace_map`.
pub(super) fn mapped_directories(map: &[u8]) -> Vec<Vec<u8>> {
    let directory = |line: &[u8]| {
        let space = line.iter().position(|byte| *byte == b' ')?;
        let (mut directory, mut bytes) = (Vec::new(), line[space + 1..].iter());
        while let Some(byte) = bytes.next() {
            directory.extend(if *byte == b'\\' { bytes.next() } else { Some(byte) });
        }
        Some(directory)
    };
    lines(map).into_iter().filter_map(directory).collect()
}

fn shown(path: &Path) -> String {
    printable(path.as_os_str().as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tablespaces() -> Tablespaces {
        let space =
            |oid, directory: &str| Tablespace { oid, old: "/old".into(), directory: directory.into() };
        Tablespaces { spaces: vec![space(16400, "/new"), space(16401, "/odd\n\\")], version: "15".to_owned() }
    }

    #[test]
    fn the_map_names_the_new_places_whatever_bytes_the_old_ones_had() {
        let map = tablespaces().map(b"16401 /caf\xe9\\\nthe rest\n16400 /srv/fast\n").unwrap();
        assert_eq!(map, b"16401 /odd\\\n\\\\\n16400 /new\n");
        assert_eq!(mapped_directories(&map), [&b"/odd\n\\"[..], b"/new"]);
    }

    #[test]
    fn a_tablespace_that_the_backup_does_not_have_is_not_linked_to() {
        assert_eq!(tablespaces().map(b"16400 /srv/fast\n16402 /etc\n").unwrap_err(), "16402");
        assert_eq!(tablespaces().map(b"x\x1b /etc\n").unwrap_err(), r"x\x1b");
    }

    #[test]
    fn only_postgresqls_own_directory_of_that_version_is_accepted() {
        for name in [&b"PG_15_202209061"[..], b"PG_15_202209061/5/16500"] {
            assert!(tablespaces().may_hold(name));
        }
        for name in [&b"PG_16_202307071/5/1"[..], b"authorized_keys", b"PG_15_", b"PG_15_x/1", b"PG_15_1x"] {
            assert!(!tablespaces().may_hold(name), "{}", printable(name));
        }
    }

    #[test]
    fn a_mapping_of_a_place_where_no_tablespace_was_is_refused_with_those_there_are() {
        let mapping = |old: &str| RestoreOptions {
            tablespace_mapping: vec![(old.into(), "/elsewhere".into())],
            ..RestoreOptions::default()
        };
        tablespaces().checked(&mapping("/old")).unwrap();
        let error = tablespaces().checked(&mapping("/odl")).unwrap_err().to_string();
        assert!(error.contains("no tablespace in /odl") && error.contains("it has /old"), "{error}");
        let error = Tablespaces::default().checked(&mapping("/old")).unwrap_err().to_string();
        assert!(error.contains("it has none"), "{error}");
    }
}
