//! Errors and notices of the server.

use std::fmt;

use crate::printable;

/// An error or a notice of the server. Its texts are escaped, and cut after a thousand characters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerMessage {
    /// The severity: `FATAL`, `ERROR`, `WARNING`, …, in English.
    pub severity: String,
    /// The SQLSTATE: five characters, such as `28P01`.
    pub code: String,
    /// The message, in the server's language.
    pub message: String,
    /// More about what happened.
    pub detail: Option<String>,
    /// The server's own advice.
    pub hint: Option<String>,
}

impl ServerMessage {
    /// Creates a message from the fields of the protocol.
    pub(super) fn new<'a>(fields: impl Iterator<Item = (u8, &'a [u8])>) -> Self {
        let mut message = Self::default();
        for (field, value) in fields {
            let text = printable(value).to_string();
            match field {
                // The severity in English wins over the translated one.
                b'V' => message.severity = text,
                b'S' if message.severity.is_empty() => message.severity = text,
                b'C' => message.code = text,
                b'M' => message.message = text,
                b'D' => message.detail = Some(text),
                b'H' => message.hint = Some(text),
                _ => {}
            }
        }
        message
    }
}

impl fmt::Display for ServerMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (SQLSTATE {})", self.severity, self.message, self.code)?;
        if let Some(detail) = &self.detail {
            write!(f, "; {detail}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_shows_severity_code_and_detail_and_escapes_what_the_server_says() {
        let fields = [
            (b'S', &b"FATAL"[..]),
            (b'V', b"FATAL"),
            (b'C', b"28P01"),
            (b'M', b"no\x1b[2J\xff"),
            (b'D', b"why"),
        ];
        let message = ServerMessage::new(fields.into_iter());
        assert_eq!(message.to_string(), r"FATAL: no\x1b[2J\xff (SQLSTATE 28P01); why");
    }

    #[test]
    fn the_severity_is_that_in_english_wherever_it_stands() {
        for fields in [[(b'S', &b"FEHLER"[..]), (b'V', b"ERROR")], [(b'V', b"ERROR"), (b'S', b"FEHLER")]] {
            assert_eq!(ServerMessage::new(fields.into_iter()).severity, "ERROR");
        }
    }
}
