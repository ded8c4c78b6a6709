//! The value of an assignment, as a shell would read it.

use std::{iter::Peekable, str::Chars};

const EXPANSION: &str =
    "contains a '$' or '`', which isn't expanded here; put it in single quotes to keep it unchanged";

/// A value that consists of a shell variable alone.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reference<'a> {
    /// The name of the variable.
    pub(super) name: &'a str,
    /// What to use if it isn't set, as in `${NAME:-default}`.
    pub(super) default: Option<&'a str>,
}

impl<'a> Reference<'a> {
    /// Parses `$NAME`, `${NAME}` or `${NAME:-default}`, perhaps in double quotes.
    pub(super) fn parse(value: &'a str) -> Option<Self> {
        let text = value.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(value);
        let text = text.strip_prefix('$')?;
        let Some(braced) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) else {
            return is_name(text).then_some(Self { name: text, default: None });
        };
        let end = braced.find([':', '-', '=', '?', '+']).unwrap_or(braced.len());
        let (name, rest) = braced.split_at(end);
        let default = [":-", ":=", "-", "="].into_iter().find_map(|operator| rest.strip_prefix(operator));
        let is_alone = is_name(name) && (rest.is_empty() || default.is_some() || rest.starts_with(":?"));
        is_alone.then_some(Self { name, default })
    }
}

/// Whether a shell accepts `name` as that of a variable.
pub(super) fn is_name(name: &str) -> bool {
    let is_part = |byte: u8| byte == b'_' || byte.is_ascii_alphanumeric();
    name.bytes().all(is_part) && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

/// Whether the value is in quotes as a whole.
pub(super) fn is_quoted(value: &str) -> bool {
    let is_between = |quote| value.len() > 1 && value.starts_with(quote) && value.ends_with(quote);
    is_between('\'') || is_between('"')
}

/// Whether the output of a command is a part of the value.
pub(super) fn is_computed(value: &str) -> bool {
    value.contains("$(") || value.contains('`')
}

/// Returns the text that a shell would read from `value`.
///
/// What a shell would expand is refused: nothing is expanded here, and a password must not differ from the intended
/// one.
pub(super) fn unquoted(value: &str) -> Result<String, &'static str> {
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
                return if matches!(rest.trim_start().chars().next(), None | Some('#')) {
                    Ok(text)
                } else {
                    Err("has spaces; put it in single quotes")
                };
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
    fn only_a_whole_variable_is_a_reference() {
        for (value, name, default) in [
            ("$OS_PASSWORD_INPUT", "OS_PASSWORD_INPUT", None),
            ("\"$x\"", "x", None),
            ("${X}", "X", None),
            ("\"${_1}\"", "_1", None),
            ("${X:-\"Default\"}", "X", Some("\"Default\"")),
            ("\"${X-y z}\"", "X", Some("y z")),
            ("${X:=}", "X", Some("")),
            ("${X:?it must be set}", "X", None),
        ] {
            assert_eq!(Reference::parse(value), Some(Reference { name, default }), "{value}");
        }
        for value in ["", "$", "pa$word", "$1", "$a-b", "'$x'", "${X:+y}", "${X", "\"$x", "$(id)", "plain"] {
            assert_eq!(Reference::parse(value), None, "{value}");
        }
    }
}
