//! JSON that is safe to show on a terminal.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Serializer, ser::Formatter};
use swiftwal_postgres::is_misleading;

/// Writes `document` on one line. Everything that a terminal would execute is escaped, which JSON itself requires only
/// in part.
pub(super) fn write(out: &mut dyn Write, document: &impl Serialize) -> io::Result<()> {
    document.serialize(&mut Serializer::with_formatter(&mut *out, Escaped))?;
    writeln!(out)
}

struct Escaped;

impl Formatter for Escaped {
    fn write_string_fragment<W: Write + ?Sized>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((place, character)) =
            rest.char_indices().find(|(_, character)| is_misleading(*character))
        {
            out.write_all(&rest.as_bytes()[..place])?;
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                write!(out, "\\u{unit:04x}")?;
            }
            rest = &rest[place + character.len_utf8()..];
        }
        out.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_acts_upon_is_escaped_and_read_as_it_was() {
        let text = "a\u{1b}[2J\u{9b}2J\u{7f}\u{202e}é\n";
        let mut out = Vec::new();
        write(&mut out, &[text]).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out, "[\"a\\u001b[2J\\u009b2J\\u007f\\u202eé\\n\"]\n");
        assert_eq!(serde_json::from_str::<[String; 1]>(&out).unwrap(), [text]);
    }
}
