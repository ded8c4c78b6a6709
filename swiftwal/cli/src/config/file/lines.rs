//! The form of SwiftWAL 0.2.2: lines `KEY=VALUE`, as in a shell file. An `openrc` of OpenStack's dashboard is one, too;
//! its shell commands are skipped.

mod shell;

use std::{collections::BTreeMap, iter::Peekable, str::Chars};

use super::{Entry, Key, Parsed, Problem, SettingNames, skipped::Skipped};

const KNOWN: &str = "REPOSITORY, CONTAINER, COMPRESSION and ARCHIVE_TIMEOUT (each also after SWIFTWAL_), \
                     PGHOST, PGPORT, PGUSER, and the settings of the storage, such as OS_AUTH_URL";
const EXPANSION: &str =
    "contains a '$' or '`', which isn't expanded here; put it in single quotes to keep it unchanged";

/// Whether the first line that isn't empty, a comment or a shell command begins with the name of a variable. The keys of
/// the TOML form are in lower case.
pub(super) fn looks_like_lines(text: &str) -> bool {
    text.lines()
        .filter(|line| !shell::is_command(line))
        .find_map(assignment)
        .is_some_and(|(name, _)| is_variable(name))
}

pub(super) fn parse(text: &str, names: &SettingNames) -> Result<Parsed, Problem> {
    let mut entries = BTreeMap::new();
    let mut skipped = Skipped::default();
    for (content, line) in text.lines().zip(1..).filter(|(line, _)| !is_empty(line)) {
        if shell::is_command(content) {
            skipped.commands.push(line);
            continue;
        }
        match entry(content, names).map_err(|problem| Problem { line, problem })? {
            (Key::Unused(name), _) => skipped.unused.push(name),
            (key, Value::Reference) => skipped.references.push((key.name().to_owned(), line)),
            (key, Value::Text(value)) => {
                if let Some((first, _)) = entries.get(&key) {
                    let problem = format!("the same key as in line {first}; keep one of the two");
                    return Err(Problem { line, problem });
                }
                entries.insert(key, (line, value));
            }
        }
    }
    let entries = entries.into_iter().map(|(key, (_, value))| Entry { key, value }).collect();
    Ok(Parsed { entries, skipped })
}

enum Value {
    Text(String),
    /// The value of a shell variable.
    Reference,
}

/// Returns the key in a line and its value, which isn't read if the key isn't used.
fn entry(line: &str, names: &SettingNames) -> Result<(Key, Value), String> {
    let (name, value) = assignment(line).filter(|(name, _)| is_variable(name)).ok_or(
        "not of the form KEY=VALUE; the file was read as lines of that form, since its first line has it",
    )?;
    let key = key(name, names)?;
    if matches!(key, Key::Unused(_)) || shell::is_reference(value) {
        return Ok((key, Value::Reference));
    }
    let value = unquoted(value).map_err(|problem| format!("the value of {name} {problem}"))?;
    Ok((key, Value::Text(value)))
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

/// Returns the name and the value in a line that isn't empty; a line without `=` has no name.
fn assignment(line: &str) -> Option<(&str, &str)> {
    if is_empty(line) {
        return None;
    }
    let line = line.trim();
    let (name, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=').unwrap_or_default();
    Some((name.trim(), value.trim()))
}

/// Returns the text that a shell would read from `value`.
///
/// What a shell would expand is refused: nothing is expanded here, and a password must not differ from the intended
/// one.
fn unquoted(value: &str) -> Result<String, &'static str> {
    let mut text = String::new();
    let mut chars = value.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\'' => single_quoted(&mut chars, &mut text)?,
            '"' => double_quoted(&mut chars, &mut text)?,
            '\\' => text.extend(chars.next()),
            '$' | '`' => return Err(EXPANSION),
            char if char.is_whitespace() => {
                let rest: String = chars.collect();
                return if is_empty(&rest) { Ok(text) } else { Err("has spaces; put it in single quotes") };
            }
            char => text.push(char),
        }
    }
    Ok(text)
}

const NOT_CLOSED: &str = "has no closing quote";

fn single_quoted(chars: &mut Peekable<Chars<'_>>, text: &mut String) -> Result<(), &'static str> {
    loop {
        match chars.next().ok_or(NOT_CLOSED)? {
            '\'' => return Ok(()),
            char => text.push(char),
        }
    }
}

fn double_quoted(chars: &mut Peekable<Chars<'_>>, text: &mut String) -> Result<(), &'static str> {
    loop {
        match chars.next().ok_or(NOT_CLOSED)? {
            '"' => return Ok(()),
            '\\' => text.push(chars.next_if(|char| matches!(char, '\\' | '"' | '$' | '`')).unwrap_or('\\')),
            '$' | '`' => return Err(EXPANSION),
            char => text.push(char),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_a_shell_would_make_of_them() {
        for (value, text) in [
            ("", ""),
            ("plain", "plain"),
            ("plain # comment", "plain"),
            ("pa#ss", "pa#ss"),
            (r#""double \"quoted\" \$5 \n""#, r#"double "quoted" $5 \n"#),
            (r"'single $5 \'", r"single $5 \"),
            (r#"a'b'"c"\ d"#, "abc d"),
        ] {
            assert_eq!(unquoted(value), Ok(text.to_owned()), "{value}");
        }
    }

    #[test]
    fn what_a_shell_would_expand_or_not_take_is_refused() {
        for value in ["pa$$word", "\"pa$word\"", "`id`", "two words", "'open", "\"open"] {
            assert!(unquoted(value).is_err(), "{value}");
        }
    }

    #[test]
    fn the_form_is_seen_from_the_first_line_that_says_something() {
        for lines in ["# conf\n\nexport OS_AUTH_URL=x", "CONTAINER = c", "NONSENSE=1"] {
            assert!(looks_like_lines(lines), "{lines}");
        }
        for toml in ["", "# conf\nrepository = 'x'", "[settings]\nOS_AUTH_URL = 'x'"] {
            assert!(!looks_like_lines(toml), "{toml}");
        }
    }
}
