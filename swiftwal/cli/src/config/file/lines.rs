//! The form of SwiftWAL 0.2.2: lines `KEY=VALUE`, as in a shell file. An `openrc` of OpenStack's dashboard is one, too.
//!
//! The file isn't executed. It is read as far as its effect is certain: assignments and `unset` outside of conditions
//! count, and so does an assignment in `if [ -z "$NAME" ]` to the same variable, since it is a default. Other commands
//! are skipped. A setting that depends on another condition is refused: a region or project that applies only sometimes
//! would lead to other data. So is a command that goes on in the next line, since its end isn't certain.

mod assignment;
mod condition;
mod shell;
mod value;

use std::collections::BTreeMap;

use self::{
    assignment::{assignment, assignments, is_variable},
    condition::{Blocks, Condition},
    shell::Command,
    value::{Reference, unquoted},
};
use super::{
    Entry, Key, Parsed, Problem, SettingNames, is_secret,
    skipped::{ShellValue, Skipped},
};

const KNOWN: &str = "REPOSITORY, CONTAINER, COMPRESSION and ARCHIVE_TIMEOUT (each also after SWIFTWAL_), \
                     PGHOST, PGPORT, PGUSER, and the settings of the storage, such as OS_AUTH_URL";
const NOT_OF_THE_FORM: &str = "not of the form KEY=VALUE, which the file's first setting has, and not a shell command \
                               that can be skipped; write KEY=VALUE or remove the line";

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
    let mut file = File::new(names);
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
    blocks: Blocks<'a>,
    line: usize,
    /// The `&&`, `||` or `|` at the end of the line above.
    continued: Option<&'a str>,
    /// Whether the current line begins with a shell command.
    is_shell: bool,
    /// A secret that the current line sets without quotes: the rest of the line may belong to it.
    secret: Option<String>,
}

impl<'a> File<'a> {
    fn new(names: &'a SettingNames) -> Self {
        Self {
            names,
            entries: BTreeMap::new(),
            skipped: Skipped::default(),
            blocks: Blocks::default(),
            line: 0,
            continued: None,
            is_shell: false,
            secret: None,
        }
    }

    fn read(&mut self, line: &'a str) -> Result<(), String> {
        let mut line = shell::Line::parse(line)?;
        if let Some(first) = line.commands.first_mut() {
            first.after = self.continued.take().or(first.after);
            self.is_shell = shell::is_command(first.text);
        }
        self.continued = line.end.or(self.continued);
        self.secret = None;
        let mut previous = None;
        for command in &line.commands {
            self.execute(command, previous)?;
            previous = Some(command);
        }
        line.unfinished.map_or(Ok(()), |problem| Err(problem.to_owned()))
    }

    fn execute(&mut self, command: &Command<'a>, previous: Option<&Command<'a>>) -> Result<(), String> {
        let (keywords, words) = command.words.split_at(self.blocks.enter(&command.words));
        let condition = self.blocks.condition(command.after, previous);
        match words {
            [] => {}
            ["if", test @ ..] if self.blocks.begin_default(test, condition) => {}
            ["if" | "while" | "until", ..] => {
                self.begin_unknown();
                self.other(command, keywords.len() + 1, Condition::Unknown)?;
            }
            ["for" | "case" | "select", rest @ ..] => {
                self.refuse_settings(rest)?;
                self.begin_unknown();
            }
            ["fi" | "done" | "esac" | "}", ..] if self.blocks.end() => {}
            ["export", names @ ..] if !names.iter().any(|name| name.contains('=')) => {
                if names.iter().any(|name| name.contains(['$', '`'])) {
                    self.skip();
                }
            }
            test if shell::tested_for_empty(test).is_some() => {}
            _ => self.other(command, keywords.len(), condition)?,
        }
        Ok(())
    }

    fn begin_unknown(&mut self) {
        self.skip();
        self.blocks.begin(Condition::Unknown);
    }

    /// Refuses words that look as if they set something, in a command that isn't understood.
    fn refuse_settings(&self, words: &[&str]) -> Result<(), String> {
        let named = words.iter().filter_map(|word| word.split_once('='));
        let mut names = named.map(|(name, _)| name.strip_suffix('+').unwrap_or(name));
        let is_setting =
            |name: &&str| matches!(key(name, self.names), Ok(key) if !matches!(key, Key::Unused(_)));
        names.find(is_setting).map_or(Ok(()), |name| Err(conditional(name)))
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

    /// Reads a command that may set or remove settings, after some keywords.
    fn other(
        &mut self,
        command: &Command<'_>,
        keyword_count: usize,
        condition: Condition<'_>,
    ) -> Result<(), String> {
        let (keywords, words) = command.words.split_at(keyword_count);
        if let ["unset", names @ ..] = words {
            return self.unset(names, condition);
        }
        let text = without(command.text, keywords);
        if shell::is_command(text) {
            self.skip();
            return Ok(());
        }
        match assignments(text, words).transpose().map_err(|problem| self.hide(problem))? {
            Some(assignments) => return self.assign_all(&assignments, command, condition),
            None if condition == Condition::Always && (!self.is_shell || text.contains('=')) => {
                return Err(NOT_OF_THE_FORM.to_owned());
            }
            None => {
                self.refuse_settings(words)?;
                self.skip();
            }
        }
        Ok(())
    }

    fn assign_all(
        &mut self,
        assignments: &[(&str, &str)],
        command: &Command<'_>,
        condition: Condition<'_>,
    ) -> Result<(), String> {
        for (name, value) in assignments {
            self.assign(name, value, condition)?;
        }
        match (command.before, assignments.last()) {
            // A shell sets a variable before `&` or `|` for that command only.
            (Some(end), Some((name, value))) if matches!(end, "&" | "|") || is_bare_secret(name, value) => {
                Err(format!(
                    "the value of {name} is followed by '{end}'; put it in single quotes, with the '{end}' if that belongs \
                 to it"
                ))
            }
            _ => Ok(()),
        }
    }

    fn assign(&mut self, name: &str, value: &str, condition: Condition<'_>) -> Result<(), String> {
        let key = match key(name, self.names) {
            Ok(key) => key,
            Err(_) if condition != Condition::Always => {
                self.skip();
                return Ok(());
            }
            Err(problem) => return Err(self.hide(problem)),
        };
        if is_bare_secret(name, value) {
            self.secret = Some(name.to_owned());
        }
        if let Key::Unused(name) = key {
            self.skipped.unused.insert(name);
            return Ok(());
        }
        let read = match self.value(name, value) {
            Err(_) if condition != Condition::Always && value::is_computed(value) => Ok(None),
            read => read.map_err(|problem| format!("the value of {name} {problem}")),
        };
        if self.counts(&key, (name, value), &read, condition)? {
            self.set(key, read?);
        }
        Ok(())
    }

    /// Whether an assignment to `key`, whose value was `read`, changes it.
    fn counts(
        &self,
        key: &Key,
        (name, value): (&str, &str),
        read: &Result<Option<String>, String>,
        condition: Condition<'_>,
    ) -> Result<bool, String> {
        let before = self.entries.get(key);
        let is_set = before.is_some_and(|(_, value)| !value.is_empty());
        let is_default = Reference::parse(value).is_some_and(|of| of.name == name && of.default.is_some());
        let is_known = !matches!(read, Ok(None));
        let is_tested = condition == Condition::IfEmpty(name);
        if (is_default || is_tested) && !is_set && self.skipped.has_shell_value(key.name()) {
            return Err(conditional(name));
        }
        match (condition, before) {
            _ if is_default && is_set => Ok(false),
            (_, Some((_, before))) if matches!(read, Ok(Some(value)) if value == before) => Ok(false),
            (Condition::IfEmpty(tested), _) if tested == name => Ok(!is_set),
            (Condition::Always, Some((first, _))) if is_known && !is_default => {
                Err(format!("the same key as in line {first}; keep one of the two"))
            }
            (Condition::Always, _) => Ok(true),
            // A value that only the shell has is missing in any case.
            (_, None) if !is_known => Ok(true),
            _ => Err(conditional(name)),
        }
    }

    /// Sets `key` to `value`. A value that only the shell has replaces none that is known.
    fn set(&mut self, key: Key, value: Option<String>) {
        self.skipped.forget(key.name());
        if let Some(value) = value {
            self.entries.insert(key, (self.line, value));
            return;
        }
        let kept_line = self.entries.get(&key).filter(|(_, value)| !value.is_empty()).map(|(line, _)| *line);
        if kept_line.is_none() {
            self.entries.remove(&key);
        }
        let name = key.name().to_owned();
        self.skipped.shell_values.push(ShellValue { name, line: self.line, kept_line });
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

    /// Returns the problem with a part of the line, or another one if that part may belong to a secret.
    fn hide(&self, problem: String) -> String {
        self.secret.as_deref().map_or(problem, assignment::has_spaces)
    }
}

/// Whether the value of a secret is written without quotes, so that it is uncertain where it ends.
fn is_bare_secret(name: &str, value: &str) -> bool {
    is_secret(name) && !value::is_quoted(value) && Reference::parse(value).is_none()
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

/// Returns the text without the words with which it begins.
fn without<'a>(text: &'a str, words: &[&str]) -> &'a str {
    words.iter().fold(text, |text, word| text.strip_prefix(word).unwrap_or(text).trim_start())
}

#[cfg(test)]
mod tests;
