//! The form of SwiftWAL 0.2.2: lines `KEY=VALUE`, as in a shell file. An `openrc` of OpenStack's dashboard is one, too.
//!
//! The file isn't executed. It is read as far as its effect is certain: assignments and `unset` outside of conditions
//! count, and so does an assignment in `if [ -z "$NAME" ]` to the same variable, since it is a default. Other commands
//! are skipped. A setting that depends on another condition is refused: a region or project that applies only sometimes
//! would lead to other data.

mod shell;
mod value;

use std::collections::BTreeMap;

use self::{
    shell::Command,
    value::{Reference, unquoted},
};
use super::{Entry, Key, Parsed, Problem, SettingNames, skipped::Skipped};

const KNOWN: &str = "REPOSITORY, CONTAINER, COMPRESSION and ARCHIVE_TIMEOUT (each also after SWIFTWAL_), \
                     PGHOST, PGPORT, PGUSER, and the settings of the storage, such as OS_AUTH_URL";
const NOT_OF_THE_FORM: &str =
    "not of the form KEY=VALUE; the file was read as lines of that form, since its first line has it";

/// Whether the first line that isn't empty, a comment or a shell command begins with the name of a variable. The keys of
/// the TOML form are in lower case.
pub(super) fn looks_like_lines(text: &str) -> bool {
    let mut lines = text.lines().filter(|line| !is_empty(line));
    lines
        .find(|line| shell::is_heading(line) || !shell::is_command(line))
        .filter(|line| !shell::is_heading(line))
        .and_then(assignment)
        .is_some_and(|(name, _)| is_variable(name))
}

pub(super) fn parse(text: &str, names: &SettingNames) -> Result<Parsed, Problem> {
    let mut file =
        File { names, entries: BTreeMap::new(), skipped: Skipped::default(), blocks: Vec::new(), line: 0 };
    for (content, line) in text.lines().zip(1..) {
        file.line = line;
        file.read(content).map_err(|problem| Problem { line, problem })?;
    }
    let entries = file.entries.into_iter().map(|(key, (_, value))| Entry { key, value }).collect();
    Ok(Parsed { entries, skipped: file.skipped })
}

/// A file of which the lines are read one after the other.
struct File<'a> {
    names: &'a SettingNames,
    /// The settings, with the lines that set them.
    entries: BTreeMap<Key, (usize, String)>,
    skipped: Skipped,
    /// The conditions and loops around the current line.
    blocks: Vec<Condition<'a>>,
    line: usize,
}

/// When a command is executed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition<'a> {
    Always,
    /// If the variable of this name is empty.
    IfEmpty(&'a str),
    /// If something is the case that isn't known here.
    Unknown,
}

impl<'a> File<'a> {
    fn read(&mut self, line: &'a str) -> Result<(), String> {
        let mut previous: Option<Command<'a>> = None;
        for command in shell::commands(line) {
            let condition = self.condition(&command, previous.as_ref());
            self.execute(&command, condition)?;
            previous = Some(command);
        }
        Ok(())
    }

    fn condition(&self, command: &Command<'a>, previous: Option<&Command<'a>>) -> Condition<'a> {
        let tested = || previous.and_then(|previous| shell::tested_for_empty(&previous.words));
        match (&self.blocks[..], command.after) {
            ([], None | Some(";" | ";;" | "&")) => Condition::Always,
            ([], Some("&&")) => tested().map_or(Condition::Unknown, Condition::IfEmpty),
            ([block], None | Some(";")) => *block,
            _ => Condition::Unknown,
        }
    }

    fn execute(&mut self, command: &Command<'a>, mut condition: Condition<'a>) -> Result<(), String> {
        let prefixes = if self.blocks.is_empty() { 0 } else { shell::prefixes(&command.words) };
        let (prefixes, words) = command.words.split_at(prefixes);
        if let Some(block) = self.blocks.last_mut()
            && prefixes.iter().any(|word| matches!(*word, "else" | "elif"))
        {
            *block = Condition::Unknown;
            condition = Condition::Unknown;
        }
        match words {
            [] => {}
            ["if", test @ ..] => {
                self.begin(shell::tested_for_empty(test).map_or(Condition::Unknown, Condition::IfEmpty));
            }
            ["while" | "until" | "for" | "case" | "select", ..] => self.begin(Condition::Unknown),
            ["fi" | "done" | "esac", ..] if !self.blocks.is_empty() => drop(self.blocks.pop()),
            ["unset", names @ ..] => self.unset(names, condition)?,
            ["export", names @ ..] if !names.iter().any(|name| name.contains('=')) => {}
            test if shell::tested_for_empty(test).is_some() => {}
            _ => self.other(without(command.text, prefixes), words, condition)?,
        }
        Ok(())
    }

    fn begin(&mut self, condition: Condition<'a>) {
        if condition == Condition::Unknown {
            self.skip();
        }
        self.blocks.push(condition);
    }

    fn skip(&mut self) {
        if self.skipped.commands.last() != Some(&self.line) {
            self.skipped.commands.push(self.line);
        }
    }

    fn unset(&mut self, names: &[&str], condition: Condition<'_>) -> Result<(), String> {
        for name in names.iter().filter(|name| !name.starts_with('-')) {
            let Ok(key) = key(name, self.names) else {
                if name.contains('$') {
                    self.skip();
                }
                continue;
            };
            if condition == Condition::Always {
                self.entries.remove(&key);
                self.skipped.forget(key.name());
            } else if condition != Condition::IfEmpty(name) && self.entries.contains_key(&key) {
                return Err(conditional(name));
            }
        }
        Ok(())
    }

    /// Reads a command that may be one or several assignments.
    fn other(&mut self, text: &str, words: &[&str], condition: Condition<'_>) -> Result<(), String> {
        let assignments = if shell::is_command(text) { None } else { assignments(text, words) };
        match assignments {
            Some(assignments) => {
                for (name, value) in assignments? {
                    self.assign(name, value, condition)?;
                }
            }
            None if condition == Condition::Always && !shell::is_command(text) => {
                return Err(NOT_OF_THE_FORM.to_owned());
            }
            None => self.skip(),
        }
        Ok(())
    }

    fn assign(&mut self, name: &str, value: &str, condition: Condition<'_>) -> Result<(), String> {
        let key = match key(name, self.names) {
            Ok(Key::Unused(name)) => {
                self.skipped.unused.insert(name);
                return Ok(());
            }
            Ok(key) => key,
            Err(_) if condition != Condition::Always => {
                self.skip();
                return Ok(());
            }
            Err(problem) => return Err(problem),
        };
        let read = self.value(name, value).map_err(|problem| format!("the value of {name} {problem}"));
        let is_known = matches!(read, Ok(Some(_)));
        if !self.counts(&key, (name, value), is_known, condition)? {
            return Ok(());
        }
        self.skipped.forget(name);
        match read {
            Ok(Some(value)) => drop(self.entries.insert(key, (self.line, value))),
            Err(problem) if condition == Condition::Always => return Err(problem),
            Ok(None) | Err(_) => self.skipped.references.push((key.name().to_owned(), self.line)),
        }
        Ok(())
    }

    /// Whether an assignment to `key` changes it, or else is a default that isn't needed.
    fn counts(
        &self,
        key: &Key,
        (name, value): (&str, &str),
        is_known: bool,
        condition: Condition<'_>,
    ) -> Result<bool, String> {
        let before = self.entries.get(key);
        let is_set = before.is_some_and(|(_, value)| !value.is_empty());
        let is_default = Reference::parse(value).is_some_and(|of| of.name == name && of.default.is_some());
        match (condition, before) {
            (Condition::IfEmpty(tested), _) if tested == name => Ok(!is_set),
            (Condition::Always, _) if is_default => Ok(!is_set),
            (Condition::Always, None) => Ok(true),
            (Condition::Always, Some((first, _))) => {
                Err(format!("the same key as in line {first}; keep one of the two"))
            }
            // A value that only the shell has is missing in any case.
            (_, None) if !is_known => Ok(true),
            _ => Err(conditional(name)),
        }
    }

    /// Returns the text of a value; none for one that only the shell has.
    fn value(&self, name: &str, value: &str) -> Result<Option<String>, &'static str> {
        let Some(reference) = Reference::parse(value) else { return unquoted(value).map(Some) };
        if let Some(default) = reference.default.filter(|_| reference.name == name) {
            return self.value(name, default);
        }
        let known = key(reference.name, self.names).ok().and_then(|key| self.entries.get(&key));
        Ok(known.map(|(_, value)| value.clone()).filter(|value| !value.is_empty()))
    }
}

fn conditional(name: &str) -> String {
    format!(
        "whether {name} is set depends on a condition, which isn't evaluated here; move it out of the condition"
    )
}

fn key(name: &str, names: &SettingNames) -> Result<Key, String> {
    Ok(match name.strip_prefix("SWIFTWAL_").unwrap_or(name) {
        "REPOSITORY" => Key::Repository,
        "CONTAINER" => Key::Container,
        "COMPRESSION" => Key::Compression,
        "ARCHIVE_TIMEOUT" => Key::ArchiveTimeout,
        _ => return Key::variable(name, names, KNOWN),
    })
}

fn is_empty(line: &str) -> bool {
    matches!(line.trim_start().chars().next(), None | Some('#'))
}

fn is_variable(name: &str) -> bool {
    let is_part = |byte: u8| byte == b'_' || byte.is_ascii_uppercase() || byte.is_ascii_digit();
    !name.is_empty() && name.bytes().all(is_part)
}

/// Returns the name and the value in a command; one without `=` has no name.
fn assignment(command: &str) -> Option<(&str, &str)> {
    let command = command.trim();
    let (name, value) = command.strip_prefix("export ").unwrap_or(command).split_once('=')?;
    Some((name.trim(), value.trim()))
}

/// Returns the names and values of `A=b C=d`. There may be blanks around a single `=`, which no shell accepts. None for
/// another command.
fn assignments<'a>(text: &'a str, words: &[&'a str]) -> Option<Result<Vec<(&'a str, &'a str)>, String>> {
    let exported = words.strip_prefix(&["export"]);
    let words = exported.unwrap_or(words);
    // Names in lower case, such as no_proxy, are the shell's; the TOML form has them, too.
    let is_variable = |name: &str| is_variable(name) || exported.is_some() && value::is_name(name);
    let (name, value) = assignment(text).filter(|(name, _)| is_variable(name))?;
    if words.first().is_some_and(|word| !word.contains('=')) || words.len() > 1 && words[0].ends_with('=') {
        return Some(Ok(vec![(name, value)]));
    }
    let is_alone = words.len() == 1;
    let pair = |word: &&'a str| {
        assignment(word).filter(|(name, _)| is_variable(name) && (is_alone || !word.contains(';')))
    };
    let pairs: Option<Vec<_>> = words.iter().map(pair).collect();
    Some(pairs.ok_or_else(|| format!("the value of {name} has spaces; put it in single quotes")))
}

/// Returns the text without the words with which it begins.
fn without<'a>(text: &'a str, words: &[&str]) -> &'a str {
    words.iter().fold(text, |text, word| text.strip_prefix(word).unwrap_or(text).trim_start())
}

#[cfg(test)]
mod tests;
