//! Makes text from outside the program safe to show in a message.
//!
//! Names in a tar, labels, catalogs and servers' answers may contain anything: escape sequences that a terminal
//! executes, line breaks that forge a second message, a megabyte of text. Every crate passes such text through
//! [`printable`].

use std::fmt::{self, Write};

/// The longest text, in characters, that is shown completely.
const MOST_CHARACTERS: usize = 1000;

/// Shows `text` with escapes for control characters, for invisible and direction-changing characters and for bytes that
/// aren't UTF-8, and cuts it after a thousand characters.
///
/// ```
/// # use swiftwal_postgres::printable;
/// assert_eq!(printable(b"base/\x1b[2Jcaf\xe9\n").to_string(), r"base/\x1b[2Jcaf\xe9\n");
/// ```
pub fn printable<T: AsRef<[u8]> + ?Sized>(text: &T) -> Printable<'_> {
    Printable(text.as_ref())
}

/// The text given to [`printable`], to be displayed.
#[derive(Clone, Copy, Debug)]
pub struct Printable<'a>(&'a [u8]);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = MOST_CHARACTERS;
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                if left == 0 {
                    return f.write_char('…');
                }
                left -= 1;
                write_character(f, character)?;
            }
            for byte in chunk.invalid() {
                if left == 0 {
                    return f.write_char('…');
                }
                left -= 1;
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

fn write_character(f: &mut fmt::Formatter<'_>, character: char) -> fmt::Result {
    match character {
        '\n' => f.write_str("\\n"),
        '\r' => f.write_str("\\r"),
        '\t' => f.write_str("\\t"),
        '\0'..='\u{7f}' if character.is_control() => write!(f, "\\x{:02x}", u32::from(character)),
        _ if is_misleading(character) => write!(f, "{}", character.escape_unicode()),
        _ => f.write_char(character),
    }
}

/// Whether a terminal executes `character`, or shows it or its neighbours as something else.
pub fn is_misleading(character: char) -> bool {
    let changes_direction =
        matches!(character, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}');
    let is_invisible = matches!(character, '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    character.is_control() || changes_direction || is_invisible
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_shown_as_it_is() {
        for text in ["base/1/1259", "notes of the Übernahme.txt", r"C:\it's 'here'", "日本"] {
            assert_eq!(printable(text).to_string(), text);
        }
    }

    #[test]
    fn what_a_terminal_acts_upon_is_escaped() {
        for (text, shown) in [
            (&b"\x1b]0;x\x07"[..], r"\x1b]0;x\x07"),
            (b"a\nswiftwal: forged\r\t", r"a\nswiftwal: forged\r\t"),
            ("\u{9b}2J".as_bytes(), r"\u{9b}2J"),
            ("gnp\u{202e}exe".as_bytes(), r"gnp\u{202e}exe"),
            (b"caf\xe9\0\x7f", r"caf\xe9\x00\x7f"),
        ] {
            assert_eq!(printable(text).to_string(), shown);
        }
    }

    #[test]
    fn a_long_text_is_cut() {
        for text in [vec![b'a'; 1 << 20], vec![0xff; 1 << 20]] {
            let shown = printable(&text).to_string();
            assert!(shown.ends_with('…') && shown.len() <= 4 * MOST_CHARACTERS + 3, "{}", shown.len());
        }
        assert_eq!(printable(&[b'a'; MOST_CHARACTERS]).to_string().len(), MOST_CHARACTERS);
    }
}
