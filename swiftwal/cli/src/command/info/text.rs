//! The report as text, in lines of at most 80 characters.

mod wrap;

use std::time::Duration;

use jiff::Timestamp;
use swiftwal_core::{
    BackupInfo, BackupKind, Hole, Info, Kept, Proof, ProofKind, ReadyFiles, RecoveryWindow, RestoreForecast,
    TimelineInfo, Verdict,
};
use swiftwal_postgres::{Timeline, printable};

use self::wrap::wrapped;
use super::words::{ago, span, time};
use crate::output::{BACKUPS, Counted, PAGES, SEGMENTS, Size, WAL_FILES};

/// The width of the names at the beginning of the first lines.
const NAMES: usize = 12;
/// How many levels of a chain are indented. The text says what a backup builds on.
const MOST_LEVELS: usize = 6;

/// Returns the lines of the report.
pub(super) fn lines(info: &Info) -> Vec<String> {
    let mut page = Page::default();
    page.summary(info);
    for timeline in &info.timelines {
        page.timeline(timeline, info.at);
    }
    page.blank();
    match info.backups.is_empty() {
        true => page.paragraph(0, 2, "No backup"),
        false => page.paragraph(0, 2, "Backups"),
    }
    for backup in &info.backups {
        page.backup(backup);
    }
    page.lines
}

#[derive(Default)]
struct Page {
    lines: Vec<String>,
}

impl Page {
    fn summary(&mut self, info: &Info) {
        self.named("Repository", &printable(&info.location).to_string());
        let cluster = match &info.cluster {
            None => "unknown: there is no cluster.json, or it can't be read".to_owned(),
            Some(cluster) => {
                let version = cluster.postgres_version.as_ref();
                let version = version.map(|version| format!("PostgreSQL {}, ", printable(version)));
                let (version, id) = (version.unwrap_or_default(), cluster.system_identifier);
                let segment = Size(cluster.wal_segment_bytes.bytes());
                format!("{version}system identifier {id}, WAL segments of {segment}")
            }
        };
        self.named("Cluster", &cluster);
        let backups = Counted(info.backups.len(), BACKUPS);
        self.named("Stored", &format!("{}, {backups}", Size(info.stored_bytes)));
        if info.recovery_windows.is_empty() {
            let none = match info.backups.iter().any(|backup| backup.only_itself) {
                true => "only to the end of each backup: no later WAL is stored",
                false => "not possible: there is no backup that can be restored",
            };
            self.named("Recovery", none);
        }
        for RecoveryWindow { from, to, .. } in &info.recovery_windows {
            let timeline = info.timeline.map(|timeline| format!(", on timeline {timeline}"));
            self.named(
                "Recovery",
                &format!("{} to {}{}", time(*from), time(*to), timeline.unwrap_or_default()),
            );
        }
        if let Some(RestoreForecast { seconds, drilled, drilled_at, .. }) = &info.restore_forecast {
            let takes = span(Duration::try_from_secs_f64(*seconds).unwrap_or_default());
            let text =
                format!("takes about {takes}, according to the drill of {drilled} on {}", time(*drilled_at));
            self.named("Restore", &text);
        }
        if let Some(ReadyFiles { files, oldest_seconds, .. }) = info.ready {
            let oldest = oldest_seconds
                .map(|seconds| format!(", the oldest for {}", span(Duration::from_secs(seconds))));
            let files = Counted(usize::try_from(files).unwrap_or(usize::MAX), WAL_FILES);
            self.named("Waiting", &format!("{files} to be archived{}", oldest.unwrap_or_default()));
        }
    }

    fn timeline(&mut self, timeline: &TimelineInfo, now: Timestamp) {
        self.blank();
        let origin = match (timeline.parent, timeline.branched_off_at) {
            (Some(parent), Some(lsn)) => format!(", branched off timeline {parent} at {lsn}"),
            _ if timeline.history_is_damaged => ", whose history is damaged".to_owned(),
            _ if timeline.timeline != Timeline::FIRST => ", whose history is missing".to_owned(),
            _ => String::new(),
        };
        self.paragraph(0, 2, &format!("Timeline {}{origin}", timeline.timeline));
        match (timeline.first_wal, timeline.last_wal) {
            (Some(first), Some(last)) => {
                let segments = Counted(usize::try_from(timeline.segments).unwrap_or(usize::MAX), SEGMENTS);
                self.paragraph(2, 4, &format!("WAL {first} to {last}"));
                self.paragraph(2, 4, &format!("{segments}, {} stored", Size(timeline.stored_bytes)));
            }
            _ => self.paragraph(2, 4, "no WAL"),
        }
        if let Some(stored) = timeline.last_stored {
            self.paragraph(2, 4, &format!("last stored {}, {}", time(stored), ago(stored, now)));
        }
        if let Some(stored) = timeline.partial_stored {
            let text = format!("the next segment stored in part {}, {}", time(stored), ago(stored, now));
            self.paragraph(2, 4, &text);
        }
        for hole in &timeline.holes {
            self.paragraph(2, 4, &missing(hole));
        }
    }

    fn backup(&mut self, backup: &BackupInfo) {
        let level = backup.chain.len().saturating_sub(1).min(MOST_LEVELS);
        let indent = 2 + 2 * level;
        let kind = match (backup.kind, backup.chain.iter().rev().nth(1)) {
            (Some(BackupKind::Incremental), Some(parent)) => format!("incremental on {parent}, "),
            (Some(BackupKind::Full), _) => "full, ".to_owned(),
            _ if backup.legacy => "of SwiftWAL 0.2.2, ".to_owned(),
            _ => String::new(),
        };
        let data = backup.data_bytes.map(|bytes| format!("{} of data, ", Size(bytes))).unwrap_or_default();
        let stored = Size(backup.stored_bytes);
        self.paragraph(indent, indent + 4, &format!("{}  {kind}{data}{stored} stored", backup.key));
        for line in details(backup) {
            self.paragraph(indent + 2, indent + 4, &line);
        }
    }

    /// Adds a line of the summary.
    fn named(&mut self, name: &str, text: &str) {
        self.paragraph(0, NAMES, &format!("{name:NAMES$}{text}"));
    }

    fn blank(&mut self) {
        self.lines.push(String::new());
    }

    /// Adds a paragraph, of which the first line has one indentation, and the further ones another.
    fn paragraph(&mut self, first: usize, further: usize, text: &str) {
        self.lines.extend(wrapped(text, first, further));
    }
}

/// Returns what is said about a backup below its key.
fn details(backup: &BackupInfo) -> Vec<String> {
    let mut lines = Vec::new();
    if let (Some(started), Some(finished), Some(seconds)) = (backup.started, backup.finished, backup.seconds)
    {
        let took = span(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
        lines.push(format!("{} to {}, {took}", time(started), time(finished)));
    }
    if let (Some(timeline), Some(first), Some(last), Some(is_included)) =
        (backup.timeline, backup.first_wal, backup.last_wal, backup.includes_wal)
    {
        let wal = if first == last { first.to_string() } else { format!("{first} to {last}") };
        let included = if is_included { ", which it contains" } else { "" };
        lines.push(format!("timeline {timeline}, needs WAL {wal}{included}"));
    }
    let label = backup.label.as_ref().filter(|label| !label.is_empty());
    lines.extend(label.map(|label| format!("label: {}", printable(label))));
    lines.extend(backup.kept.as_ref().map(kept));
    if backup.only_itself {
        lines.push("can be restored only as it was at its end".to_owned());
    }
    if let Some(pages) = backup.damaged_pages.filter(|pages| *pages > 0) {
        lines.push(format!(
            "DAMAGED on the server: {}",
            Counted(usize::try_from(pages).unwrap_or(usize::MAX), PAGES)
        ));
    }
    lines.push(backup.last_proof.as_ref().map_or_else(|| "never verified or drilled".to_owned(), proof));
    let problem = backup.problem.as_ref();
    lines.extend(problem.map(|problem| format!("CAN'T BE RESTORED: {}", printable(problem))));
    lines
}

fn kept(kept: &Kept) -> String {
    let reason = kept.reason.as_ref().map(|reason| format!(": {}", printable(reason))).unwrap_or_default();
    match (kept.until, kept.expired) {
        (Some(until), true) => format!("was kept until {}{reason}", time(until)),
        (Some(until), false) => format!("kept until {}{reason}", time(until)),
        (None, _) => format!("kept{reason}"),
    }
}

fn proof(proof: &Proof) -> String {
    let command = match proof.kind {
        ProofKind::Verify => "verify",
        ProofKind::Drill => "drill",
    };
    let verdict = match proof.verdict {
        Verdict::Passed => "passed",
        Verdict::Failed => "FAILED",
        Verdict::NotProven => "couldn't look at everything",
    };
    let took = span(Duration::try_from_secs_f64(proof.seconds).unwrap_or_default());
    format!("{command} {verdict} on {}, in {took}", time(proof.at))
}

fn missing(hole: &Hole) -> String {
    let Hole { first_wal, last_wal, .. } = hole;
    let range =
        if first_wal == last_wal { first_wal.to_string() } else { format!("{first_wal} to {last_wal}") };
    let noticed = hole.noticed.map(|noticed| format!(", noticed on {}", time(noticed))).unwrap_or_default();
    format!("MISSING {range}{noticed}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::info::sample;

    #[test]
    fn the_report_is_text_for_people() {
        let expected = "\
Repository  swift://pgprod/main
Cluster     PostgreSQL 15, system identifier 7463234123456789012, WAL segments
            of 16.00 MiB
Stored      5.00 GiB, 2 backups
Recovery    2026-11-01 12:00:00 UTC to 2026-11-02 12:00:00 UTC, on timeline 2
Restore     takes about 11 min 40 s, according to the drill of 20261101T0200Z on
            2026-11-01 12:00:00 UTC
Waiting     3 WAL files to be archived, the oldest for 3 min 20 s

Timeline 1
  WAL 000000010000000000000003 to 0000000100000000000000A5
  160 segments, 1.00 GiB stored
  last stored 2026-11-02 12:00:00 UTC, 10 min ago
  MISSING 000000010000000000000007 to 000000010000000000000009, noticed on
    2026-11-01 12:00:00 UTC

Timeline 2, branched off timeline 1 at 0/A6000000
  WAL 0000000200000000000000A6 to 0000000200000000000000A7
  2 segments, 1.00 GiB stored
  last stored 2026-11-02 12:00:00 UTC, 10 min ago
  the next segment stored in part 2026-11-02 12:00:00 UTC, 10 min ago

Backups
  20261101T0200Z  full, 20.00 GiB of data, 4.00 GiB stored
    2026-11-01 11:51:00 UTC to 2026-11-01 12:00:00 UTC, 9 min
    timeline 1, needs WAL 000000010000000000000003 to 000000010000000000000004,
      which it contains
    label: swiftwal base backup
    kept until 2026-11-28 12:00:00 UTC: before the migration
    can be restored only as it was at its end
    DAMAGED on the server: 2 pages
    drill passed on 2026-11-01 12:00:00 UTC, in 42 s
    CAN'T BE RESTORED: its last verify or drill failed
    20261102T0200Z  incremental on 20261101T0200Z, 20.00 GiB of data, 4.00 GiB
        stored
";
        let lines = lines(&sample::info(2));
        let expected: Vec<_> = expected.lines().collect();
        assert_eq!(lines[..expected.len()], expected, "{lines:#?}");
    }

    #[test]
    fn whatever_the_repository_contains_no_line_is_longer_than_80_characters_or_acts_on_a_terminal() {
        let mut info = sample::info(28);
        info.location = format!("swift://{}", "container".repeat(30));
        info.backups[0].label = Some("\u{1b}[2J label\n".repeat(40));
        info.backups[1].label = Some("ä".repeat(500));
        info.backups[2].problem = Some("no ".repeat(100));
        if let Some(kept) = &mut info.backups[3].kept {
            kept.reason = Some("x\u{202e}".repeat(100));
            kept.expired = true;
        }
        for line in lines(&info) {
            assert!(line.chars().count() <= 80 && !line.contains(char::is_control), "{line}");
            assert_eq!(printable(&line).to_string(), line);
        }
    }

    #[test]
    fn of_an_empty_repository_is_said_that_nothing_can_be_restored() {
        let info = Info {
            cluster: None,
            timeline: None,
            recovery_windows: Vec::new(),
            timelines: Vec::new(),
            backups: Vec::new(),
            last_drill: None,
            last_verify: None,
            restore_forecast: None,
            ready: None,
            stored_bytes: 0,
            ..sample::info(1)
        };
        let text = lines(&info).join("\n");
        assert!(
            text.contains("Recovery    not possible: there is no backup") && text.ends_with("\nNo backup"),
            "{text}"
        );
    }
}
