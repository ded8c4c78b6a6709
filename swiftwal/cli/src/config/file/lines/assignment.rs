//! Assignments, such as `A=b` or `export A=b C=d`.

use super::value;

/// Whether `name` is that of a variable in upper case.
pub(super) fn is_variable(name: &str) -> bool {
    let is_part = |byte: u8| byte == b'_' || byte.is_ascii_uppercase() || byte.is_ascii_digit();
    !name.is_empty() && name.bytes().all(is_part)
}

/// Returns the name and the value in a command; one without `=` has no name.
pub(super) fn assignment(command: &str) -> Option<(&str, &str)> {
    let command = command.trim();
    let (name, value) = command.strip_prefix("export ").unwrap_or(command).split_once('=')?;
    Some((name.trim(), value.trim()))
}

/// Returns the names and values of `A=b C=d`. There may be blanks around a single `=`, which no shell accepts. None for
/// another command.
pub(super) fn assignments<'a>(
    text: &'a str,
    words: &[&'a str],
) -> Option<Result<Vec<(&'a str, &'a str)>, String>> {
    let exported = words.strip_prefix(&["export"]);
    let words = exported.unwrap_or(words);
    // Names in lower case, such as no_proxy, are the shell's; the TOML form has them, too.
    let is_variable = |name: &str| is_variable(name) || exported.is_some() && value::is_name(name);
    let (name, value) = assignment(text).filter(|(name, _)| is_variable(name))?;
    if words.first().is_some_and(|word| !word.contains('='))
        || words.len() > 1 && words[0].ends_with('=') && !words[1].contains('=')
    {
        return Some(Ok(vec![(name, value)]));
    }
    let is_alone = words.len() == 1;
    let pair = |word: &&'a str| {
        assignment(word).filter(|(name, _)| is_variable(name) && (is_alone || !word.contains(';')))
    };
    let pairs: Option<Vec<_>> = words.iter().map(pair).collect();
    Some(pairs.ok_or_else(|| has_spaces(name)))
}

pub(super) fn has_spaces(name: &str) -> String {
    format!("the value of {name} has spaces; put it in single quotes")
}
