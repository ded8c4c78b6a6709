//! Explains what is wrong in a file that can't be read as TOML, without the parser's terms.

use std::ops::Range;

use toml::de::DeTable;

/// Describes the error `message`, which the parser reports at `place` of `text`, without repeating values.
pub(super) fn explained(text: &str, place: Range<usize>, message: &str) -> String {
    if message == "duplicate key" {
        return duplicate(text, place);
    }
    let before = text.get(..place.start).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    let line = text[line_start..].lines().next().unwrap_or_default().trim();
    if line.starts_with('[') {
        return "the heading isn't closed; write [settings]".to_owned();
    }
    let Some((name, value)) = line.split_once('=') else {
        return "not of the form key = \"value\"".to_owned();
    };
    let name = name.trim();
    match value.trim().chars().next() {
        None | Some('#') => format!("'{name}' has no value; write {name} = \"…\""),
        Some('"' | '\'') if message.contains("expected `\"`") || message.contains("expected `'`") => {
            format!("the value of '{name}' has no closing quote")
        }
        Some('"') if message.contains("escape") => {
            format!(
                "the value of '{name}' contains a backslash; put it in single quotes to keep it unchanged"
            )
        }
        Some('"' | '\'' | '[' | '{') => {
            format!(
                "can't read the value of '{name}': {message}; write {name} = \"…\", with nothing after it"
            )
        }
        Some(_) => format!("the value of '{name}' isn't quoted; write {name} = \"…\""),
    }
}

/// Describes a duplicate key; `place` is the second one.
fn duplicate(text: &str, place: Range<usize>) -> String {
    let name = text.get(place.clone()).unwrap_or_default();
    // The parser keeps the first of the two.
    let (table, _) = DeTable::parse_recoverable(text);
    let start = |table: &DeTable<'_>| table.get_key_value(name).map(|(key, _)| key.span().start);
    let settings = table.get_ref().get("settings").and_then(|settings| settings.get_ref().as_table());
    let mut starts = [start(table.get_ref()), settings.and_then(start)].into_iter().flatten();
    match starts.find(|start| *start < place.start) {
        Some(start) => {
            let first = text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1;
            format!("'{name}' occurs twice, first in line {first}; keep one of the two")
        }
        None => format!("'{name}' occurs twice; keep one of the two"),
    }
}
