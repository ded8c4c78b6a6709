use std::fmt::{self, Display};

/// `Removing 2 WAL files, FIRST -> LAST`, as the original printed it; without the names if there is none.
#[derive(Debug)]
pub(crate) struct Range<T> {
    what_becomes: &'static str,
    of_what: &'static str,
    count: usize,
    ends: Option<(T, T)>,
}

impl<T: Copy> Range<T> {
    /// Of `names` in their order.
    pub(crate) fn of(
        what_becomes: &'static str,
        of_what: &'static str,
        names: impl Iterator<Item = T>,
    ) -> Self {
        let mut range = Self { what_becomes, of_what, count: 0, ends: None };
        for name in names {
            range.count += 1;
            range.ends = Some((range.ends.map_or(name, |(first, _)| first), name));
        }
        range
    }
}

impl<T: Display> Display for Range<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.what_becomes, self.count, self.of_what)?;
        self.ends.as_ref().map_or(Ok(()), |(first, last)| write!(f, ", {first} -> {last}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_its_count_and_its_ends_and_an_empty_one_no_ends() {
        let range =
            |names: &[&'static str]| Range::of("Removing", "backups", names.iter().copied()).to_string();
        assert_eq!(range(&["a", "b", "c"]), "Removing 3 backups, a -> c");
        assert_eq!(range(&["a"]), "Removing 1 backups, a -> a");
        assert_eq!(range(&[]), "Removing 0 backups");
    }
}
