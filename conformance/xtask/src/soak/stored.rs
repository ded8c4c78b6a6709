//! What is stored, beside what the server has in `pg_wal`.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use xtask::{Site, stdout};

/// The size of a WAL segment, which every server of a round uses.
const SEGMENT_BYTES: u64 = 16 << 20;

/// The repository of a server that keeps all its WAL.
pub(super) struct Stored<'a> {
    site: &'a Site,
    /// Where the WAL begins that receive-wal stores. None if it doesn't run.
    received_from: Option<u64>,
    /// Up to where everything that was received has been found.
    checked: u64,
}

impl<'a> Stored<'a> {
    pub(super) fn new(site: &'a Site, received_from: Option<u64>) -> Self {
        let received_from = received_from.map(|position| position - position % SEGMENT_BYTES);
        Self { site, received_from, checked: received_from.unwrap_or_default() }
    }

    /// Checks that all WAL before the position is stored that was received since the last check: the last segment at least
    /// up to that position.
    pub(super) fn check_up_to(&mut self, position: u64) -> Result<()> {
        while self.checked < position {
            let start = self.checked - self.checked % SEGMENT_BYTES;
            let end = position.min(start + SEGMENT_BYTES);
            let length = usize::try_from(end - start)?;
            let name = segment(start);
            let (stored, written) = (self.fetch(&["--use-partial", &name])?, self.written(&name)?);
            ensure!(
                stored.get(..length) == written.get(..length),
                "the first {length} bytes of {name} differ"
            );
            self.checked = end;
        }
        Ok(())
    }

    /// Compares each complete WAL file that was received and, if the server archives, each one that it believes archived.
    /// Returns how many they are.
    pub(super) fn compare(&self, archives: bool) -> Result<usize> {
        let wal = self.wal();
        let mut names = BTreeSet::new();
        if archives {
            for entry in fs::read_dir(wal.join("archive_status"))? {
                let status = entry?.file_name().to_string_lossy().into_owned();
                names.extend(status.strip_suffix(".done").map(str::to_owned));
            }
        }
        if let Some(from) = self.received_from {
            let segments = (from..self.checked).step_by(SEGMENT_BYTES as usize);
            names.extend(segments.filter(|start| start + SEGMENT_BYTES <= self.checked).map(segment));
        }
        for name in &names {
            ensure!(self.fetch(&[name])? == self.written(name)?, "the stored {name} has other bytes");
        }
        ensure!(names.len() > 3, "only {} WAL files were stored", names.len());
        check_lineage(&names)?;
        self.check_gaps()?;
        Ok(names.len())
    }

    /// Checks that no gap was recorded, since the server has all WAL.
    fn check_gaps(&self) -> Result<()> {
        let objects = self.site.swiftwal.stored()?;
        let gap = objects.iter().find(|name| name.starts_with("gap_"));
        ensure!(gap.is_none(), "receive-wal recorded {gap:?}");
        Ok(())
    }

    /// Runs restore-wal, and returns the file.
    fn fetch(&self, arguments: &[&str]) -> Result<Vec<u8>> {
        let fetched = self.site.scratch.path().join("fetched");
        let mut command = self.site.swiftwal.command(&["restore-wal"]);
        stdout(command.args(arguments).arg(&fetched))?;
        let content = fs::read(&fetched)?;
        fs::remove_file(fetched)?;
        Ok(content)
    }

    /// Returns the server's file.
    fn written(&self, name: &str) -> Result<Vec<u8>> {
        fs::read(self.wal().join(name)).with_context(|| format!("reading {name}"))
    }

    fn wal(&self) -> PathBuf {
        self.site.postgres.data().join("pg_wal")
    }
}

/// Parses a position as PostgreSQL writes it.
pub(super) fn lsn(text: &str) -> Result<u64> {
    let (high, low) = text.split_once('/').with_context(|| format!("{text:?} isn't a position"))?;
    Ok((u64::from_str_radix(high, 16)? << 32) + u64::from_str_radix(low, 16)?)
}

/// Checks that no segment is missing between two others. A listing of Swift can't tell: it lacks what was stored while the
/// container's server was away.
fn check_lineage(names: &BTreeSet<String>) -> Result<()> {
    let mut previous = None;
    for name in names.iter().filter(|name| name.len() == 24) {
        let number = number(name)?;
        let follows = previous.is_none_or(|previous| previous + 1 == number);
        ensure!(follows, "the segment before {name} is missing");
        previous = Some(number);
    }
    Ok(())
}

/// Returns the name of the segment that begins at the position, on the only timeline of a round.
fn segment(start: u64) -> String {
    format!("00000001{:08X}{:08X}", start >> 32, (start & u64::from(u32::MAX)) / SEGMENT_BYTES)
}

/// Returns how many segments are before this one.
fn number(name: &str) -> Result<u64> {
    let [high, low] = [&name[8..16], &name[16..]].map(|digits| u64::from_str_radix(digits, 16));
    Ok((high? << 32) / SEGMENT_BYTES + low?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_has_a_segment_and_a_segment_its_number() {
        let position = lsn("1/FF000000").unwrap();
        assert_eq!(segment(position), "0000000100000001000000FF");
        assert_eq!(number("0000000100000001000000FF").unwrap(), position / SEGMENT_BYTES);
        assert_eq!(number("000000010000000200000000").unwrap(), position / SEGMENT_BYTES + 1);
    }

    #[test]
    fn a_lineage_has_no_hole() {
        let names = |numbers: &[u64]| numbers.iter().map(|number| segment(number * SEGMENT_BYTES)).collect();
        check_lineage(&names(&[254, 255, 256, 257])).unwrap();
        let error = check_lineage(&names(&[254, 256])).unwrap_err();
        assert_eq!(error.to_string(), "the segment before 000000010000000100000000 is missing");
    }
}
