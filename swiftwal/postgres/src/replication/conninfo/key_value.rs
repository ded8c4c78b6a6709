//! Parses `keyword=value` connection strings.

use super::{ConnInfo, ConnInfoError};

/// Parses `keyword = value` pairs, separated by blanks. A value is quoted by `'` if it contains blanks or is empty; `\`
/// escapes the next character in any value.
pub(super) fn parse(text: &str, info: &mut ConnInfo) -> Result<(), ConnInfoError> {
    let mut rest = skip_blanks(text);
    while !rest.is_empty() {
        let end = rest.find(|c: char| c == '=' || is_blank(c)).unwrap_or(rest.len());
        let (keyword, after) = rest.split_at(end);
        let after = skip_blanks(after).strip_prefix('=').ok_or_else(|| missing_equals(keyword))?;
        let (value, after) = value(skip_blanks(after))?;
        info.set(keyword, value)?;
        rest = skip_blanks(after);
    }
    Ok(())
}

/// Writes `keyword='value'` pairs.
pub(super) fn written<'a>(values: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let escaped = |value: &str| value.replace('\\', "\\\\").replace('\'', "\\'");
    let pairs = values.map(|(keyword, value)| format!("{keyword}='{}'", escaped(value)));
    pairs.collect::<Vec<_>>().join(" ")
}

/// Splits the text after the first value.
fn value(text: &str) -> Result<(String, &str), ConnInfoError> {
    let (quoted, text) = match text.strip_prefix('\'') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let mut value = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => value.extend(characters.next()),
            '\'' if quoted => return Ok((value, characters.as_str())),
            blank if !quoted && is_blank(blank) => return Ok((value, characters.as_str())),
            other => value.push(other),
        }
    }
    match quoted {
        true => Err(ConnInfoError::Syntax("unterminated quoted string in connection info string".to_owned())),
        false => Ok((value, "")),
    }
}

fn missing_equals(keyword: &str) -> ConnInfoError {
    let keyword = crate::printable(keyword);
    ConnInfoError::Syntax(format!("missing \"=\" after \"{keyword}\" in connection info string"))
}

/// Whether C's `isspace` calls it a space.
fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\u{b}' | '\u{c}' | '\r')
}

fn skip_blanks(text: &str) -> &str {
    text.trim_start_matches(is_blank)
}
