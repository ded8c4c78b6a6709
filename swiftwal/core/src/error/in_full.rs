//! An error inside another text, such as the notice about something that failed while the command went on.
//!
//! `to_string` gives neither the causes of an error nor its hint. So this crate puts its own errors into texts by
//! [`Error::in_full`] only; `conformance/tests/modules/told_in_full.rs` finds each place that doesn't.

use std::{error::Error as StdError, iter};

use super::Error;

impl Error {
    /// All that it says: what happened, what caused it, and what to do.
    pub(crate) fn in_full(&self) -> String {
        let text = causes(self);
        match self.hint() {
            Some(hint) => format!("{text}; {hint}"),
            None => text,
        }
    }
}

/// `error` and its causes, `what: cause: cause`.
#[must_use]
pub fn causes(error: &dyn StdError) -> String {
    let mut text = String::new();
    for message in iter::successors(Some(error), |&error| error.source()).map(ToString::to_string) {
        // Some libraries' messages end with their cause's.
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
