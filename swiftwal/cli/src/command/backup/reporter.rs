//! Reports of a backup, for people and for programs.

use std::{
    io::Write,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::Serialize;
use swiftwal_core::{BackupEvent, BackupRecord};
use tokio::sync::oneshot;

use crate::{
    failure::Failure,
    log,
    output::{Elapsed, Output, Size},
    progress::{Done, Progress},
};

/// Prints the events of a backup.
pub(super) struct Reporter<'a> {
    output: Output,
    location: &'a str,
    progress: Progress,
    began: Instant,
    /// The size that the server expects; 0 if it doesn't report one.
    estimate: AtomicU64,
    warnings: Mutex<Vec<String>>,
    write_failure: Mutex<Option<oneshot::Sender<Failure>>>,
}

impl<'a> Reporter<'a> {
    /// The receiver gets the error if standard output can't be written to.
    pub(super) fn new(
        output: Output,
        location: &'a str,
        progress: bool,
    ) -> (Self, oneshot::Receiver<Failure>) {
        let (write_failure, receiver) = oneshot::channel();
        let progress = Progress::new(progress);
        let write_failure = Mutex::new(Some(write_failure));
        let reporter = Self {
            output,
            location,
            progress,
            began: Instant::now(),
            estimate: AtomicU64::new(0),
            warnings: Mutex::default(),
            write_failure,
        };
        (reporter, receiver)
    }

    pub(super) fn report(&self, event: BackupEvent<'_>) {
        match event {
            BackupEvent::Claimed(key) => {
                self.print(|out| writeln!(out, "Creating backup {key} in {}", self.location));
                self.progress.wait("waiting for the server's checkpoint");
            }
            BackupEvent::Incremental { parent } if self.output.verbose => {
                self.print(|out| writeln!(out, "It is incremental and builds on backup {parent}"));
            }
            BackupEvent::Full { reason, is_planned: true } => {
                tracing::info!("taking a full backup: {reason}")
            }
            BackupEvent::Full { reason, .. } => self.warn(format!("taking a full backup: {reason}")),
            BackupEvent::Label(label) if self.output.verbose => {
                self.print(|out| out.write_all(label.as_str().as_bytes()));
            }
            BackupEvent::Progress { tar_bytes, stored_bytes } => {
                self.progress.show(self.done(tar_bytes, stored_bytes));
            }
            BackupEvent::Estimate { tar_bytes } => self.estimate.store(tar_bytes, Ordering::Relaxed),
            BackupEvent::Warning(text) => self.warn(text.to_owned()),
            BackupEvent::WaitingForWal(segment) => {
                self.progress.suspend(|| tracing::info!("waiting for {segment} to be archived"));
            }
            _ => {}
        }
    }

    fn warn(&self, text: String) {
        self.progress.suspend(|| log::say(format_args!("warning: {text}")));
        self.warnings().push(text);
    }

    /// Prints the result of a committed backup.
    pub(super) fn finish(&self, record: &BackupRecord) -> Result<(), Failure> {
        let warnings = self.warnings();
        let report = Report::new(record, self.began, &warnings);
        let (tar_bytes, stored_bytes) = (report.tar_bytes, report.stored_bytes);
        self.progress.show(Done { bytes: tar_bytes, of: Some(tar_bytes), stored: Some(stored_bytes) });
        self.progress.finish();
        let reported = if self.output.json {
            self.output.json(&report)
        } else {
            self.output.text(|out| writeln!(out, "{}", report.in_a_line()))
        };
        reported.inspect_err(|_| {
            log::say(format_args!("backup {} was taken; its report couldn't be written", record.key));
        })
    }

    fn done(&self, tar_bytes: u64, stored_bytes: u64) -> Done {
        // The WAL isn't in the estimate.
        let estimate = self.estimate.load(Ordering::Relaxed);
        let of = (estimate > 0).then(|| estimate.max(tar_bytes));
        Done { bytes: tar_bytes, of, stored: Some(stored_bytes) }
    }

    fn warnings(&self) -> MutexGuard<'_, Vec<String>> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn print(&self, render: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) {
        if self.output.json {
            return;
        }
        if let Err(failure) = self.progress.suspend(|| self.output.text(render))
            && let Some(write_failure) = self.write_failure().take()
        {
            // The receiver is gone only if the backup is over.
            drop(write_failure.send(failure));
        }
    }

    fn write_failure(&self) -> MutexGuard<'_, Option<oneshot::Sender<Failure>>> {
        self.write_failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The `--json` document of a complete backup.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    record: &'a BackupRecord,
    /// The bytes that the server sent.
    tar_bytes: u64,
    /// The bytes that are stored, without the commit record.
    stored_bytes: u64,
    duration_seconds: u64,
    warnings: &'a [String],
}

impl<'a> Report<'a> {
    fn new(record: &'a BackupRecord, began: Instant, warnings: &'a [String]) -> Self {
        Self {
            record,
            tar_bytes: record.objects.iter().filter_map(|object| object.tar_bytes).sum(),
            stored_bytes: record.objects.iter().map(|object| object.bytes).sum(),
            duration_seconds: began.elapsed().as_secs(),
            warnings,
        }
    }

    fn in_a_line(&self) -> String {
        let BackupRecord { key, first_wal, last_wal, includes_wal, .. } = self.record;
        let wal = match (includes_wal, first_wal == last_wal) {
            (true, _) => "it contains the WAL that it needs".to_owned(),
            (false, true) => format!("it needs WAL {first_wal}"),
            (false, false) => format!("it needs WAL {first_wal} to {last_wal}"),
        };
        let (size, stored) = (Size(self.tar_bytes), Size(self.stored_bytes));
        let duration = Elapsed(Duration::from_secs(self.duration_seconds));
        format!("Backup {key} is complete: {size}, {stored} stored, in {duration}; {wal}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(last_wal: &str, includes_wal: bool) -> String {
        let example = swiftwal_mutation::example("commit_record", "content");
        let mut record: serde_json::Value = serde_json::from_slice(&example).unwrap();
        record["last_wal"] = last_wal.into();
        record["includes_wal"] = includes_wal.into();
        record["objects"] = serde_json::json!([
            { "name": "a", "bytes": 1 << 20, "blake3": "", "tar_bytes": 4 << 20 },
            { "name": "b", "bytes": 1 << 19, "blake3": "" },
        ]);
        let record: BackupRecord = serde_json::from_value(record).unwrap();
        Report { duration_seconds: 125, ..Report::new(&record, Instant::now(), &[]) }.in_a_line()
    }

    #[test]
    fn the_closing_line_tells_size_duration_and_the_wal_that_is_needed() {
        let start = "Backup 20261128T2250Z is complete: 4.00 MiB, 1.50 MiB stored, in 2 min 5 s; ";
        let (first, last) = ("000000010000000000000003", "000000010000000000000004");
        assert_eq!(line(first, false), format!("{start}it needs WAL {first}"));
        assert_eq!(line(last, false), format!("{start}it needs WAL {first} to {last}"));
        assert_eq!(line(last, true), format!("{start}it contains the WAL that it needs"));
    }
}
