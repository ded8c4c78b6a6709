//! Counts damaged pages, and describes them as the server does.

use super::{chunk::FileSum, failure::shown, page_checks::DamagedPage};
use crate::{BaseBackupEvent, page::Mismatch};

/// The most pages of one file that are named. The server names as many.
const MOST_NAMED: u64 = 5;

/// The server's words at the end.
const WORDS: &str = "checksum verification failure during base backup";

/// The damaged pages of a backup.
#[derive(Debug, Default)]
pub(super) struct Damage {
    pages: u64,
    in_file: u64,
}

impl Damage {
    /// Adds those of the next piece of a file, and returns the warnings about them.
    pub(super) fn add(&mut self, piece: &FileSum) -> Vec<String> {
        let file = shown(&piece.member.name);
        let mut warnings = Vec::new();
        for DamagedPage { block, mismatch: Mismatch { calculated, expected } } in &piece.damaged {
            self.pages += 1;
            self.in_file += 1;
            if self.in_file <= MOST_NAMED {
                warnings.push(format!(
                    "checksum verification failed in file \"{file}\", block {block}: calculated {calculated:X} but \
                     expected {expected:X}"
                ));
            }
        }
        if piece.is_last {
            let unnamed = std::mem::take(&mut self.in_file).saturating_sub(MOST_NAMED);
            if unnamed > 0 {
                warnings.push(format!("file \"{file}\" has {unnamed} more checksum verification failures"));
            }
        }
        warnings
    }

    /// Returns the event that reports them; none if there are none.
    pub(super) fn event(&self) -> Option<BaseBackupEvent> {
        let count = self.pages;
        (count > 0).then(|| BaseBackupEvent::DamagedPages { count, words: WORDS.to_owned() })
    }
}
