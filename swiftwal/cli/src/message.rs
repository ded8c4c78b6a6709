//! An error as one message: what happened, what caused it, and last what to do about it.

use std::{borrow::Cow, error::Error};

use swiftwal_core::causes;

/// An error that may have a hint. Its text doesn't contain the hint.
pub(crate) trait Hinted: Error {
    /// Returns what to do about it.
    fn hint(&self) -> Option<Cow<'_, str>>;
}

impl Hinted for swiftwal_core::Error {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Self::hint(self)
    }
}

/// Returns `error`, its causes and its hint on one line: `what: cause: cause; hint`.
pub(crate) fn chain(error: &impl Hinted) -> String {
    let line = causes(error);
    match error.hint() {
        // The messages of another program are on separate lines; then the hint is as well.
        Some(hint) if line.contains('\n') => format!("{line}\n{hint}"),
        Some(hint) => format!("{line}; {hint}"),
        None => line,
    }
}

/// Returns `error` and its causes on one line, with the hint if it is an error of the flows.
pub(crate) fn chain_of_any(error: &(dyn Error + 'static)) -> String {
    error.downcast_ref::<swiftwal_core::Error>().map_or_else(|| causes(error), chain)
}

#[cfg(test)]
mod tests {
    use thiserror::Error;

    use super::*;

    #[derive(Debug, Error)]
    #[error("{0}")]
    struct Failed(&'static str, #[source] Option<Box<Self>>);

    impl Hinted for Failed {
        fn hint(&self) -> Option<Cow<'_, str>> {
            Some("give it to postgres; or mount it".into())
        }
    }

    fn failed(messages: &[&'static str]) -> Failed {
        let cause = messages.get(1).map(|_| Box::new(failed(&messages[1..])));
        Failed(messages[0], cause)
    }

    #[test]
    fn the_causes_follow_each_other_and_the_hint_comes_last() {
        let error = failed(&["can't use /a; b", "can't open it", "no access"]);
        assert_eq!(
            chain(&error),
            "can't use /a; b: can't open it: no access; give it to postgres; or mount it"
        );
        assert_eq!(causes(&error), "can't use /a; b: can't open it: no access");
    }

    #[test]
    fn behind_several_lines_the_hint_has_a_line_of_its_own() {
        let error = failed(&["psql failed, and said:\n    no"]);
        assert_eq!(chain(&error), "psql failed, and said:\n    no\ngive it to postgres; or mount it");
    }

    #[test]
    fn a_cause_that_was_told_already_is_not_told_again() {
        assert_eq!(causes(&failed(&["can't read: no access", "no access"])), "can't read: no access");
    }
}
