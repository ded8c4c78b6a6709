//! Puts an error into another text, such as a notice about a failure after which the command continued.
//!
//! `to_string` gives neither the causes of an error nor its hint. So this crate puts its own errors into texts only
//! with [`Error::in_full`]; `conformance/tests/modules/error_texts.rs` finds each place that doesn't.

use std::{error::Error as StdError, iter};

use super::Error;

impl Error {
    /// Returns the complete text: what happened, what caused it, and what to do.
    pub(crate) fn in_full(&self) -> String {
        let text = causes(self);
        match self.hint() {
            Some(hint) => format!("{text}; {hint}"),
            None => text,
        }
    }
}

/// Returns the text of `error` with its causes: `what: cause: cause`.
#[must_use]
pub fn causes(error: &dyn StdError) -> String {
    let mut text = String::new();
    for message in iter::successors(Some(error), |&error| error.source()).map(ToString::to_string) {
        // The messages of some libraries end with the message of their cause.
        if text.ends_with(&message) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&message);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_happened_why_and_what_to_do() {
        let source = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let error = Error::Local { action: "read", path: "/a".into(), source };
        assert_eq!(
            error.in_full(),
            "can't read /a: permission denied; run this as a user with permission, or grant it"
        );
        assert_eq!(Error::damaged("x.json", "cut").in_full(), "x.json is damaged: cut");
    }
}
