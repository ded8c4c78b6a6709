//! The TOML form.

mod mistake;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Entry, Key, Parsed, Problem, SettingNames, skipped::Skipped, unknown};

const KNOWN: &str = "repository, container, compression, archive-timeout, and in [settings] PGHOST, PGPORT, \
                     PGUSER and the settings of the storage, such as OS_AUTH_URL";

pub(super) fn parse(text: &str, names: &SettingNames) -> Result<Parsed, Problem> {
    let file = File { text };
    let table = DeTable::parse(text).map_err(|error| {
        let place = error.span().unwrap_or_default();
        Problem { line: file.line(place.start), problem: mistake::explained(text, place, error.message()) }
    })?;
    let mut entries = Vec::new();
    for (name, value) in table.get_ref() {
        match (name.get_ref().as_ref(), value.get_ref()) {
            ("settings", DeValue::Table(settings)) => {
                for (name, value) in settings {
                    let name = name.get_ref();
                    entries.push(file.entry(name, setting(name, names), value)?);
                }
            }
            (name, _) => entries.push(file.entry(name, top_level(name, names), value)?),
        }
    }
    let unused = entries.iter().filter(|entry| matches!(entry.key, Key::Unused(_)));
    let unused = unused.map(|entry| entry.key.name().to_owned()).collect();
    Ok(Parsed { entries, skipped: Skipped { unused, ..Skipped::default() } })
}

fn setting(name: &str, names: &SettingNames) -> Result<Key, String> {
    if top_level(name, names).is_ok() {
        return Err(format!("'{name}' is not a setting of the storage; put it above the heading [settings]"));
    }
    Key::variable(name, names, KNOWN)
}

fn top_level(name: &str, names: &SettingNames) -> Result<Key, String> {
    Ok(match name {
        "repository" => Key::Repository,
        "container" => Key::Container,
        "compression" => Key::Compression,
        "archive-timeout" => Key::ArchiveTimeout,
        _ if Key::variable(name, names, KNOWN).is_ok() => {
            return Err(format!("'{name}' must be below a heading; put [settings] in a line above it"));
        }
        _ => return Err(unknown(name, KNOWN)),
    })
}

struct File<'a> {
    text: &'a str,
}

impl File<'_> {
    fn entry(
        &self,
        name: &str,
        key: Result<Key, String>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Entry, Problem> {
        let line = self.line(value.span().start);
        let key = key.map_err(|problem| Problem { line, problem })?;
        let value = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => number.to_string(),
            _ => {
                return Err(Problem {
                    line,
                    problem: format!("the value of '{name}' must be a text in quotes, or a number"),
                });
            }
        };
        Ok(Entry { key, value })
    }

    /// Returns the number of the line that contains `offset`.
    fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().iter().take(offset);
        before.filter(|byte| **byte == b'\n').count() + 1
    }
}
