//! The configuration file: TOML, or lines `KEY=VALUE` as in SwiftWAL 0.2.2.

#[cfg(any(test, fuzzing))]
pub(super) mod fuzz;
mod lines;
mod openstack;
mod pipe;
mod skipped;
mod toml;

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{self, Path, PathBuf},
};

use swiftwal_core::read_regular_file;

use self::skipped::Skipped;
use super::{ConfigError, Layer, SettingNames};

/// The keys for the server to back up.
pub(super) const POSTGRES: [&str; 3] = ["PGHOST", "PGPORT", "PGUSER"];

/// The largest file that is read: a wrong path may name anything.
const MOST_BYTES: u64 = 1 << 20;

/// A configuration file.
pub(super) struct Read {
    /// Its absolute path; none for a pipe, which can't be read again.
    pub(super) path: Option<PathBuf>,
    pub(super) layer: Layer,
    /// The settings of the server to back up.
    pub(super) postgres: BTreeMap<String, String>,
    /// What its reader should know about it.
    pub(super) notices: Vec<String>,
}

/// The content of a file, in either form.
struct Parsed {
    entries: Vec<Entry>,
    skipped: Skipped,
}

/// One setting of a file.
struct Entry {
    key: Key,
    value: String,
}

/// The key of a setting.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Repository,
    Container,
    Compression,
    ArchiveTimeout,
    /// A backend's setting.
    Setting(String),
    /// One of [`POSTGRES`].
    Postgres(String),
    /// A variable of the OpenStack tools that has no effect here.
    Unused(String),
}

impl Key {
    /// Returns the key for a variable of the storage or of PostgreSQL. The error says what is wrong with `name`;
    /// `known` lists the allowed keys.
    fn variable(name: &str, names: &SettingNames, known: &str) -> Result<Self, String> {
        if POSTGRES.contains(&name) {
            return Ok(Self::Postgres(name.to_owned()));
        }
        if names.contains(name) {
            return Ok(Self::Setting(name.to_owned()));
        }
        if openstack::is_unused(name) {
            return Ok(Self::Unused(name.to_owned()));
        }
        Err(match names.nearest(name) {
            Some(nearest) => format!("unknown key '{name}'; did you mean {nearest}?"),
            None => unknown(name, known),
        })
    }

    /// The name of the key, as messages show it.
    fn name(&self) -> &str {
        match self {
            Self::Repository => "REPOSITORY",
            Self::Container => "CONTAINER",
            Self::Compression => "COMPRESSION",
            Self::ArchiveTimeout => "ARCHIVE_TIMEOUT",
            Self::Setting(name) | Self::Postgres(name) | Self::Unused(name) => name,
        }
    }
}

fn unknown(name: &str, known: &str) -> String {
    format!("unknown key '{name}'; the known keys are: {known}")
}

/// A problem, and its line. It doesn't repeat values, which may be secrets.
struct Problem {
    line: usize,
    problem: String,
}

/// Reads the file at `path`, which may contain settings of these `names`. Its content shows which of the two forms it
/// has.
pub(super) fn read(path: &Path, names: &SettingNames) -> Result<Read, ConfigError> {
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::IsADirectory => ConfigError::Directory { path: path.to_owned() },
        io::ErrorKind::FileTooLarge => {
            ConfigError::TooLarge { path: path.to_owned(), most_bytes: MOST_BYTES }
        }
        _ => ConfigError::Unreadable { path: path.to_owned(), source },
    };
    let in_file = |Problem { line, problem }| ConfigError::InFile { path: path.to_owned(), line, problem };
    let whole_path = path::absolute(path).map_err(unreadable)?;
    let piped = pipe::open(&whole_path).map_err(unreadable)?;
    let is_pipe = piped.is_some();
    let (bytes, readable_by_others) = match piped {
        Some(pipe) => (pipe::read(pipe, MOST_BYTES).map_err(unreadable)?, false),
        None => bytes(&whole_path).map_err(unreadable)?,
    };
    let text = text(&bytes).map_err(in_file)?;
    let parse = if lines::looks_like_lines(text) { lines::parse } else { toml::parse };
    let Parsed { entries, skipped } = parse(text, names).map_err(in_file)?;
    let mut notices: Vec<_> =
        skipped.notice().map(|notice| format!("{}: {notice}", path.display())).into_iter().collect();
    if readable_by_others && let Some(name) = entries.iter().find_map(Entry::secret) {
        notices.push(format!(
            "{file} contains {name}, and every user can read it; restrict it: chmod o= {file}",
            file = path.display()
        ));
    }
    Ok(Read { notices, ..collect(whole_path, is_pipe, entries)? })
}

/// Reads the file. Also returns whether every user can read it.
fn bytes(path: &Path) -> io::Result<(Vec<u8>, bool)> {
    let bytes = read_regular_file(path, MOST_BYTES)?;
    let readable_by_others = fs::metadata(path)?.mode() & 0o004 != 0;
    Ok((bytes, readable_by_others))
}

fn text(bytes: &[u8]) -> Result<&str, Problem> {
    let text = str::from_utf8(bytes).map_err(|error| Problem {
        line: bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1,
        problem: "there are bytes that aren't UTF-8; save the file in UTF-8".to_owned(),
    })?;
    // Some editors begin a file with a byte order mark.
    Ok(text.strip_prefix('\u{FEFF}').unwrap_or(text))
}

fn collect(path: PathBuf, is_pipe: bool, entries: Vec<Entry>) -> Result<Read, ConfigError> {
    let mut layer = Layer::new(path.display().to_string());
    let (mut repository, mut container, mut postgres) = (None, None, BTreeMap::new());
    for Entry { key, value, .. } in entries {
        match key {
            Key::Repository => repository = Some(value),
            Key::Container => container = Some(value),
            Key::Compression => layer.set("compression", Some(value)),
            Key::ArchiveTimeout => layer.set("archive_timeout", Some(value)),
            Key::Setting(name) => layer.set_setting(&name, value),
            Key::Postgres(name) => drop(postgres.insert(name, value)),
            Key::Unused(_) => {}
        }
    }
    layer.set_place(repository, container)?;
    Ok(Read { path: (!is_pipe).then_some(path), layer, postgres, notices: Vec::new() })
}

impl Entry {
    /// Returns the name of the setting, if its value is a secret.
    fn secret(&self) -> Option<&str> {
        let Key::Setting(name) = &self.key else { return None };
        is_secret(name).then_some(name)
    }
}

/// Whether the value of the variable `name` is a secret.
fn is_secret(name: &str) -> bool {
    ["PASS", "SECRET", "TOKEN", "KEY"].iter().any(|word| name.contains(word))
}
