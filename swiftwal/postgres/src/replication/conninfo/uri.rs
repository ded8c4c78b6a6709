//! Parses connection URIs.

use super::{ConnInfo, ConnInfoError};

/// Returns what follows the scheme; `None` if the text isn't a connection URI.
pub(super) fn without_scheme(text: &str) -> Option<&str> {
    text.strip_prefix("postgresql://").or_else(|| text.strip_prefix("postgres://"))
}

/// Parses `[user[:password]@][host][:port][,…][/dbname][?keyword=value[&…]]`.
pub(super) fn parse(text: &str, info: &mut ConnInfo) -> Result<(), ConnInfoError> {
    let hosts = user_info(text, info)?;
    let end = end_of_hosts(hosts)?;
    let (hosts, rest) = hosts.split_at(end);
    host_list(hosts, info)?;
    let (database, query) = rest.split_once('?').unwrap_or((rest, ""));
    set_unless_empty(info, "dbname", database.strip_prefix('/').unwrap_or(database))?;
    for parameter in query.split('&').filter(|_| !query.is_empty()) {
        query_parameter(parameter, info)?;
    }
    Ok(())
}

/// Takes the user and the password, and returns what follows.
fn user_info<'a>(text: &'a str, info: &mut ConnInfo) -> Result<&'a str, ConnInfoError> {
    let Some(at) = text.find(['@', '/']).filter(|at| text[*at..].starts_with('@')) else { return Ok(text) };
    let (user, password) = text[..at].split_once(':').unwrap_or((&text[..at], ""));
    set_unless_empty(info, "user", user)?;
    set_unless_empty(info, "password", password)?;
    Ok(&text[at + 1..])
}

/// Returns where the hosts end: at a `/` or `?` outside of brackets.
fn end_of_hosts(text: &str) -> Result<usize, ConnInfoError> {
    let mut in_brackets = false;
    for (at, character) in text.char_indices() {
        match character {
            '[' => in_brackets = true,
            ']' => in_brackets = false,
            '/' | '?' if !in_brackets => return Ok(at),
            _ => {}
        }
    }
    match in_brackets {
        true => Err(ConnInfoError::syntax(
            "end of string reached when looking for matching \"]\" in IPv6 host address in URI",
            text,
        )),
        false => Ok(text.len()),
    }
}

fn host_list(text: &str, info: &mut ConnInfo) -> Result<(), ConnInfoError> {
    let places = text.split(',').map(host_and_port).collect::<Result<Vec<_>, _>>()?;
    let list = |part: fn(&(&str, &str)) -> String| places.iter().map(part).collect::<Vec<_>>().join(",");
    set_unless_empty(info, "host", &list(|place| place.0.to_owned()))?;
    set_unless_empty(info, "port", &list(|place| place.1.to_owned()))
}

fn host_and_port(text: &str) -> Result<(&str, &str), ConnInfoError> {
    let Some(in_brackets) = text.strip_prefix('[') else {
        return Ok(text.split_once(':').unwrap_or((text, "")));
    };
    let (address, rest) = in_brackets.split_once(']').unwrap_or((in_brackets, ""));
    if address.is_empty() {
        return Err(ConnInfoError::syntax("IPv6 host address may not be empty in URI", text));
    }
    match rest.strip_prefix(':') {
        Some(port) => Ok((address, port)),
        None if rest.is_empty() => Ok((address, "")),
        None => Err(ConnInfoError::syntax("unexpected text after the IPv6 host address in URI", text)),
    }
}

fn query_parameter(text: &str, info: &mut ConnInfo) -> Result<(), ConnInfoError> {
    let (keyword, value) = text.split_once('=').ok_or_else(|| {
        ConnInfoError::syntax("missing key/value separator \"=\" in URI query parameter", text)
    })?;
    let keyword = decoded(keyword)?;
    if value.contains('=') {
        return Err(ConnInfoError::syntax(
            "extra key/value separator \"=\" in URI query parameter",
            &keyword,
        ));
    }
    match (keyword.as_str(), value) {
        // As JDBC's URIs have it.
        ("ssl", "true") => info.set("sslmode", "require"),
        _ => info.set(&keyword, decoded(value)?).map_err(|error| match error {
            ConnInfoError::UnknownKeyword(_) => {
                ConnInfoError::syntax("invalid URI query parameter", &keyword)
            }
            other => other,
        }),
    }
}

fn set_unless_empty(info: &mut ConnInfo, keyword: &str, value: &str) -> Result<(), ConnInfoError> {
    if value.is_empty() { Ok(()) } else { info.set(keyword, decoded(value)?) }
}

/// Decodes `%XX`. The error doesn't show the text, which may be a password.
fn decoded(text: &str) -> Result<String, ConnInfoError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        (rest, bytes) = match first {
            b'%' => {
                let (byte, after) = escape(after)?;
                bytes.push(byte);
                (after, bytes)
            }
            other => {
                bytes.push(*other);
                (after, bytes)
            }
        };
    }
    String::from_utf8(bytes)
        .map_err(|_| ConnInfoError::Syntax("a percent-encoded value in the URI isn't UTF-8".to_owned()))
}

fn escape(text: &[u8]) -> Result<(u8, &[u8]), ConnInfoError> {
    let digit = |at: usize| text.get(at).and_then(|digit| char::from(*digit).to_digit(16));
    match (digit(0), digit(1)) {
        (Some(0), Some(0)) => {
            Err(ConnInfoError::Syntax("forbidden value %00 in percent-encoded value".to_owned()))
        }
        (Some(high), Some(low)) => Ok((((high << 4) | low) as u8, &text[2..])),
        _ => Err(ConnInfoError::Syntax("invalid percent-encoded token in the URI".to_owned())),
    }
}
