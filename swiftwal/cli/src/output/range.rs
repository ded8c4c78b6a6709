//! Counts and ranges of names: `Removing 2 WAL files, FIRST -> LAST`, as SwiftWAL 0.2.2 printed them.

use std::{collections::BTreeMap, fmt};

use swiftwal_postgres::WalName;

/// The name of a kind of thing, in the singular and the plural.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noun {
    one: &'static str,
    many: &'static str,
}

pub(crate) const BACKUPS: Noun = Noun { one: "backup", many: "backups" };
pub(crate) const WAL_FILES: Noun = Noun { one: "WAL file", many: "WAL files" };
pub(crate) const HISTORIES: Noun = Noun { one: "timeline history", many: "timeline histories" };
pub(crate) const SEGMENTS: Noun = Noun { one: "segment", many: "segments" };
pub(crate) const PAGES: Noun = Noun { one: "page", many: "pages" };
pub(crate) const LEFTOVERS: Noun = Noun { one: "leftover", many: "leftovers" };

/// `1 backup`, `2 backups`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted(pub(crate) usize, pub(crate) Noun);

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number, noun) = self;
        write!(f, "{number} {}", if *number == 1 { noun.one } else { noun.many })
    }
}

/// One line: the number, then the first and the last name. For a single thing it has its name, and for none no name.
#[derive(Debug)]
pub(crate) struct Range<T> {
    verb: &'static str,
    noun: Noun,
    count: usize,
    ends: Option<(T, T)>,
}

impl<T: Copy> Range<T> {
    /// Returns the line for `names`, which must be sorted.
    pub(crate) fn of(verb: &'static str, noun: Noun, names: impl IntoIterator<Item = T>) -> Self {
        let mut range = Self { verb, noun, count: 0, ends: None };
        for name in names {
            range.count += 1;
            range.ends = Some((range.ends.map_or(name, |(first, _)| first), name));
        }
        range
    }
}

/// Returns the lines for sorted WAL files: one for each timeline, since a range across timelines would be meaningless,
/// and one for the histories.
pub(crate) fn wal_ranges(
    verb: &'static str,
    names: impl IntoIterator<Item = WalName>,
) -> Vec<Range<WalName>> {
    let (histories, files): (Vec<_>, Vec<_>) =
        names.into_iter().partition(|name| matches!(name, WalName::History(_)));
    let mut timelines = BTreeMap::<_, Vec<_>>::new();
    for name in files {
        timelines.entry(name.timeline()).or_default().push(name);
    }
    let mut lines: Vec<_> = timelines.into_values().map(|names| Range::of(verb, WAL_FILES, names)).collect();
    if lines.is_empty() {
        lines.push(Range::of(verb, WAL_FILES, []));
    }
    if !histories.is_empty() {
        lines.push(Range::of(verb, HISTORIES, histories));
    }
    lines
}

impl<T: fmt::Display + PartialEq> fmt::Display for Range<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, Counted(self.count, self.noun))?;
        match &self.ends {
            None => Ok(()),
            Some((first, last)) if first == last => write!(f, ", {first}"),
            Some((first, last)) => write!(f, ", {first} -> {last}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_its_count_and_its_ends_one_has_its_name_and_none_has_no_name() {
        let range =
            |names: &[&'static str]| Range::of("Removing", BACKUPS, names.iter().copied()).to_string();
        assert_eq!(range(&["a", "b", "c"]), "Removing 3 backups, a -> c");
        assert_eq!(range(&["a"]), "Removing 1 backup, a");
        assert_eq!(range(&[]), "Removing 0 backups");
    }

    fn lines(names: &[&str]) -> Vec<String> {
        let names = names.iter().map(|name| name.parse().unwrap());
        wal_ranges("Keeping", names).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn wal_of_several_timelines_is_a_line_for_each_and_one_for_the_histories() {
        assert_eq!(lines(&[]), ["Keeping 0 WAL files"]);
        assert_eq!(
            lines(&["00000002.history"]),
            ["Keeping 0 WAL files", "Keeping 1 timeline history, 00000002.history"]
        );
        assert_eq!(
            lines(&[
                "000000010000000000000001",
                "000000010000000000000002",
                "00000002.history",
                "000000020000000000000002",
                "00000003.history",
                "000000030000000000000003",
                "000000030000000000000004",
            ]),
            [
                "Keeping 2 WAL files, 000000010000000000000001 -> 000000010000000000000002",
                "Keeping 1 WAL file, 000000020000000000000002",
                "Keeping 2 WAL files, 000000030000000000000003 -> 000000030000000000000004",
                "Keeping 2 timeline histories, 00000002.history -> 00000003.history",
            ]
        );
    }
}
