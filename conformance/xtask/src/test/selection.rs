//! Chooses which tests run: not those that take minutes, nor those of a PostgreSQL version that isn't installed.

use xtask::{Installation, PRERELEASE, VERSIONS};

/// Parts of the names of the tests that only `--long` runs: those in a module `long`, and what the suite repeats on
/// prefixes of one container after it has run on containers, where it takes long or doesn't depend on the location.
const LONG: [&str; 28] = [
    "long::",
    "prefixes::ahead::",
    "prefixes::chains::",
    "prefixes::damage::",
    "prefixes::damaged_pages::",
    "prefixes::databases::",
    "prefixes::discard::",
    "prefixes::faults::",
    "prefixes::foreign_records::",
    "prefixes::histories::",
    "prefixes::incremental::",
    "prefixes::info::",
    "prefixes::large_wal::",
    "prefixes::legacy::",
    "prefixes::manifest::",
    "prefixes::overtaken::",
    "prefixes::phantoms::",
    "prefixes::pins::",
    "prefixes::pruned_branches::",
    "prefixes::recovery::",
    "prefixes::retention::",
    "prefixes::reuse::",
    "prefixes::slow::",
    "prefixes::tablespaces::",
    "prefixes::timelines::",
    "prefixes::unknown::",
    "prefixes::unlisted::",
    "prefixes::verify::",
];

/// The tests to run.
#[derive(Debug)]
pub(crate) struct Selection {
    long: bool,
    /// Each missing version as a part of the names of its tests, and why it is missing.
    missing: Vec<(String, String)>,
}

impl Selection {
    /// Installs the PostgreSQL versions that are missing, as far as possible; the unreleased one only with `matrix`.
    pub(crate) fn new(long: bool, matrix: bool) -> Self {
        let reason = |major| {
            if major == PRERELEASE && !matrix {
                return Some(format!("PostgreSQL {major} isn't released: --matrix tests it"));
            }
            Installation::of_version(major).err().map(|error| format!("{error:#}"))
        };
        Self::with(long, reason)
    }

    /// As [`Self::new`], with a function that returns the reason why a version is missing, if it is.
    pub(crate) fn with(long: bool, reason: impl Fn(u32) -> Option<String>) -> Self {
        let versions = VERSIONS.into_iter().chain([PRERELEASE]);
        let missing = versions.filter_map(|major| Some((format!("postgresql_{major}::"), reason(major)?)));
        Self { long, missing: missing.collect() }
    }

    /// Returns parts of the names of the tests that run only if it is asked for.
    pub(crate) fn left_out(&self) -> &'static [&'static str] {
        if self.long { &[] } else { &LONG }
    }

    /// Returns parts of the names of the tests of missing versions.
    pub(crate) fn skipped(&self) -> impl Iterator<Item = &str> {
        self.missing.iter().map(|(part, _)| part.as_str())
    }

    /// Returns why the test is skipped, if it is one of a missing version.
    pub(crate) fn reason(&self, test: &str) -> Option<&str> {
        self.missing.iter().find(|(part, _)| test.contains(part)).map(|(_, reason)| reason.as_str())
    }

    /// Returns why versions are missing.
    pub(crate) fn unavailable(&self) -> impl Iterator<Item = &str> {
        self.missing.iter().map(|(_, reason)| reason.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_of_a_missing_version_are_skipped_with_its_reason() {
        let reason = "PostgreSQL 14 can't be installed: no npm";
        let selection = Selection::with(false, |major| (major == 14).then(|| reason.to_owned()));
        assert_eq!(selection.reason("file::postgresql_14::by_pg_basebackup"), Some(reason));
        assert_eq!(selection.reason("file::postgresql_13::by_pg_basebackup"), None);
        assert_eq!(selection.skipped().collect::<Vec<_>>(), ["postgresql_14::"]);
        assert_eq!(selection.unavailable().collect::<Vec<_>>(), [reason]);
    }

    #[test]
    fn long_tests_are_left_out_unless_they_are_asked_for() {
        assert_eq!(Selection::with(false, |_| None).left_out(), LONG);
        assert_eq!(Selection::with(true, |_| None).left_out(), [""; 0]);
    }
}
