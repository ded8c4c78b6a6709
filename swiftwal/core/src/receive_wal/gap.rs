//! Where the WAL that a server has removed ends. The server doesn't say; it can only be asked for one position after the
//! other.

/// The search for the first segment that the server has, counted from one that it refused. The steps become longer until it
/// has one, and then shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Search {
    /// The last segment that it is known not to have.
    refused: u64,
    /// The first segment that it is known to have, or that isn't needed from it.
    found: u64,
    step: u64,
}

impl Search {
    /// Begins a search that ends at `most` at the latest.
    pub(super) fn new(most: u64) -> Self {
        Self { refused: 0, found: most, step: 1 }
    }

    /// Returns which segment to ask for next. None if the first one is found.
    pub(super) fn next(&self) -> Option<u64> {
        let between = self.found.saturating_sub(self.refused);
        (between > 1).then(|| self.refused + self.step.min(between / 2))
    }

    /// Notes whether the server has `segment`.
    pub(super) fn note(&mut self, segment: u64, is_there: bool) {
        if is_there {
            self.found = segment;
        } else {
            self.refused = segment;
            self.step = self.step.saturating_mul(2);
        }
    }

    /// Returns the first segment that the server has.
    pub(super) fn found(&self) -> u64 {
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_the_first_segment_with_few_questions_and_asks_for_none_twice() {
        for most in 1..70 {
            for first in 1..=most {
                let mut search = Search::new(most);
                let mut asked = Vec::new();
                while let Some(segment) = search.next() {
                    assert!(
                        (1..most).contains(&segment) && !asked.contains(&segment),
                        "{segment}, {asked:?}"
                    );
                    asked.push(segment);
                    search.note(segment, segment >= first);
                }
                assert_eq!(search.found(), first);
                assert!(asked.len() <= 13, "{most}, {first}: {asked:?}");
            }
        }
    }

    #[test]
    fn a_single_missing_segment_takes_one_question() {
        let mut search = Search::new(1_000_000);
        assert_eq!(search.next(), Some(1));
        search.note(1, true);
        assert_eq!((search.next(), search.found()), (None, 1));
    }
}
