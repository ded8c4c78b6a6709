//! What a drill found: stored with the proof, and printed.

use std::{
    io::{self, Write},
    time::Duration,
};

use jiff::Timestamp;
use serde::Serialize;
use swiftwal_core::{BackupKey, Verdict};

use crate::output::{Elapsed, Size};

/// What a drill found, beside its verdict. These are the fields of the stored proof.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    /// Where recovery was to end.
    pub(super) target: String,
    pub(super) postgres_version: Option<String>,
    pub(super) swiftwal_version: &'static str,
    /// The size of the restored files.
    pub(super) bytes: Option<u64>,
    /// The time from the beginning of the restore until the server accepted connections, without the checks in between.
    pub(super) rto_seconds: Option<f64>,
    pub(super) fetch_seconds: Option<f64>,
    pub(super) replay_seconds: Option<f64>,
    pub(super) start_seconds: Option<f64>,
    /// The commit time of the last transaction that was recovered, by the original server's clock; none if none was.
    pub(super) last_transaction: Option<String>,
    pub(super) checked: Vec<String>,
    pub(super) not_checked: Vec<String>,
    /// Why it didn't pass.
    pub(super) reason: Option<String>,
    pub(super) notices: Vec<String>,
}

/// The result of a drill: the document of `--json`.
#[derive(Serialize)]
pub(super) struct Found<'a> {
    pub(super) key: BackupKey,
    pub(super) verdict: Verdict,
    /// How long the drill took.
    pub(super) seconds: f64,
    /// The time with which it is stored in the repository; none if that failed.
    pub(super) at: Option<Timestamp>,
    #[serde(flatten)]
    pub(super) report: &'a Report,
}

impl Report {
    /// Records how long the phases took.
    pub(super) fn set_times(&mut self, fetch: Duration, replay: Duration, start: Duration) {
        self.fetch_seconds = Some(seconds(fetch));
        self.replay_seconds = Some(seconds(replay));
        self.start_seconds = Some(seconds(start));
        self.rto_seconds = Some(seconds(fetch + replay + start));
    }
}

impl Found<'_> {
    /// Writes it as text.
    pub(super) fn write(&self, out: &mut dyn Write, location: &str) -> io::Result<()> {
        let Self { key, report, .. } = self;
        let verdict = match self.verdict {
            Verdict::Passed => "passed",
            Verdict::Failed => "failed",
            Verdict::NotProven => "not proven",
        };
        writeln!(out, "Drill of backup {key} from {location}: {verdict}, in {}", elapsed(self.seconds))?;
        if let (Some(rto), Some(fetch), Some(replay), Some(start)) =
            (report.rto_seconds, report.fetch_seconds, report.replay_seconds, report.start_seconds)
        {
            writeln!(
                out,
                "  A restore takes {}: {} to fetch {}, {} to replay WAL, {} to start",
                elapsed(rto),
                elapsed(fetch),
                Size(report.bytes.unwrap_or_default()),
                elapsed(replay),
                elapsed(start)
            )?;
        }
        if let Some(time) = &report.last_transaction {
            writeln!(out, "  Last transaction recovered: {time}")?;
        }
        for checked in &report.checked {
            writeln!(out, "  Checked: {checked}")?;
        }
        for not_checked in &report.not_checked {
            writeln!(out, "  Not checked: {not_checked}")?;
        }
        Ok(())
    }
}

/// Returns the duration in seconds, to the millisecond.
pub(super) fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

fn elapsed(seconds: f64) -> Elapsed {
    Elapsed(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}
