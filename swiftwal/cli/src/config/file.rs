//! The configuration file: TOML, or lines `KEY=VALUE` as the original's.

mod lines;
mod toml;

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _},
    os::unix::fs::MetadataExt,
    path::{self, Path, PathBuf},
};

use super::{ConfigError, Layer};

/// How the names of the backends' settings begin.
const SETTINGS: [&str; 6] = ["OS_", "ST_", "SWIFT_", "AWS_", "GOOGLE_", "AZURE_"];
/// What else may be said about the server to back up.
pub(super) const POSTGRES: [&str; 3] = ["PGHOST", "PGPORT", "PGUSER"];

/// Whether `name` is that of a backend's setting.
pub(super) fn is_setting(name: &str) -> bool {
    SETTINGS.iter().any(|prefix| name.starts_with(prefix))
}

/// A configuration file.
pub(super) struct Read {
    /// Its whole path.
    pub(super) path: PathBuf,
    pub(super) layer: Layer,
    /// What it says about the server to back up.
    pub(super) postgres: BTreeMap<String, String>,
}

/// One thing that a file says.
struct Entry {
    key: Key,
    value: String,
}

/// What a file may say.
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
}

impl Key {
    /// The key that stands for one of the variables of backends and PostgreSQL.
    fn variable(name: &str) -> Option<Self> {
        if POSTGRES.contains(&name) {
            return Some(Self::Postgres(name.to_owned()));
        }
        is_setting(name).then(|| Self::Setting(name.to_owned()))
    }
}

/// What is wrong in which line. It doesn't repeat values: they may be secrets.
struct Problem {
    line: usize,
    problem: String,
}

/// Reads the file at `path`. Which of the two forms it has is seen from its content.
pub(super) fn read(path: &Path) -> Result<Read, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    let whole_path = path::absolute(path).map_err(unreadable)?;
    let (text, readable_by_others) = text(&whole_path).map_err(unreadable)?;
    let parse = if lines::looks_like_lines(&text) { lines::parse } else { toml::parse };
    let entries = parse(&text).map_err(|Problem { line, problem }| ConfigError::InFile {
        path: path.to_owned(),
        line,
        problem,
    })?;
    if readable_by_others && let Some(name) = entries.iter().find_map(Entry::secret) {
        tracing::warn!(
            "{} holds {name}, and every user can read it; take the right from others: chmod o= FILE",
            path.display()
        );
    }
    collect(whole_path, entries)
}

fn text(path: &Path) -> io::Result<(String, bool)> {
    let mut file = File::open(path)?;
    let readable_by_others = file.metadata()?.mode() & 0o004 != 0;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok((text, readable_by_others))
}

fn collect(path: PathBuf, entries: Vec<Entry>) -> Result<Read, ConfigError> {
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
        }
    }
    layer.set_place(repository, container)?;
    Ok(Read { path, layer, postgres })
}

impl Entry {
    /// The name of the setting, if its value has to be kept secret.
    fn secret(&self) -> Option<&str> {
        let Key::Setting(name) = &self.key else { return None };
        ["PASSWORD", "SECRET", "TOKEN", "KEY"].iter().any(|word| name.contains(word)).then_some(name)
    }
}
