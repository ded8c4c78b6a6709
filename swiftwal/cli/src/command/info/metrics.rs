//! The report as metrics.

use jiff::Timestamp;
use swiftwal_core::{ErrorKind, Info};

use super::alerts::{holes, newest_backup, wal_stored};
use crate::prometheus::{
    Change,
    metrics::{
        BACKUP_INVALID_PAGES, BACKUP_SIZE, BACKUP_STORED, BACKUPS, BACKUPS_UNUSABLE, DAMAGED_OBJECTS, Metric,
        REPOSITORY_BYTES, RESTORE_FORECAST, RunMetrics, WAL_HOLES, WAL_LAST_STORED, WAL_READY,
        WAL_READY_OLDEST, WINDOW_END, WINDOW_START,
    },
};

/// Returns what a report changes. What isn't known any more is removed. The successes of other commands are only raised:
/// these commands may have written a later time, and a proof is removed together with its backup.
pub(super) fn changes(info: &Info) -> Vec<(Metric, Change)> {
    let set = |value: Option<f64>| value.map_or(Change::Remove, Change::Set);
    let count = |number: usize| Change::Set(number as f64);
    let (window, newest) = (info.recovery_windows.last(), newest_backup(info));
    let unusable = info.backups.iter().filter(|backup| backup.problem.is_some()).count();
    let damaged = info.errors.iter().filter(|error| error.kind() == ErrorKind::Damaged).count();
    let oldest = info.ready.as_ref().and_then(|ready| ready.oldest_seconds);
    let mut changes = vec![
        (BACKUPS, count(info.backups.len())),
        (BACKUPS_UNUSABLE, count(unusable)),
        (WAL_HOLES, count(holes(info))),
        (DAMAGED_OBJECTS, count(damaged)),
        (REPOSITORY_BYTES, Change::Set(info.stored_bytes as f64)),
        (WINDOW_START, set(window.map(|window| seconds(window.from)))),
        (WINDOW_END, set(window.map(|window| seconds(window.to)))),
        (WAL_LAST_STORED, set(wal_stored(info).map(seconds))),
        (RESTORE_FORECAST, set(info.restore_forecast.as_ref().map(|forecast| forecast.seconds))),
        (WAL_READY, set(info.ready.as_ref().map(|ready| ready.files as f64))),
        (WAL_READY_OLDEST, set(oldest.map(|age| seconds(info.at) - age as f64))),
    ];
    if let Some(newest) = newest {
        let number = |number: Option<u64>| set(number.map(|number| number as f64));
        changes.extend([
            (BACKUP_SIZE, number(newest.data_bytes)),
            (BACKUP_STORED, Change::Set(newest.stored_bytes as f64)),
            (BACKUP_INVALID_PAGES, number(newest.damaged_pages)),
        ]);
        let backup = RunMetrics { command: "backup" };
        changes.extend(
            newest.finished.map(|finished| (backup.last_success(), Change::Raise(seconds(finished)))),
        );
    }
    for (command, passed) in [("drill", &info.last_drill), ("verify", &info.last_verify)] {
        let last_success = RunMetrics { command }.last_success();
        changes.extend(passed.as_ref().map(|passed| (last_success, Change::Raise(seconds(passed.at)))));
    }
    changes
}

fn seconds(time: Timestamp) -> f64 {
    time.as_millisecond() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::info::sample::{self, noon};

    #[test]
    fn event_times_are_unix_seconds_and_what_is_not_known_is_removed() {
        let mut info = sample::info(2);
        info.backups[1].problem = None;
        let change = |info: &Info, name: &str| {
            let changes = changes(info);
            changes.into_iter().find(|(metric, _)| metric.name == name).map(|(_, change)| change)
        };
        let at = |day| seconds(noon(day));
        assert_eq!(at(1), 1_793_534_400.0);
        for (name, expected) in [
            ("swiftwal_recovery_window_start_timestamp_seconds", Change::Set(at(1))),
            ("swiftwal_recovery_window_end_timestamp_seconds", Change::Set(at(2))),
            ("swiftwal_wal_last_stored_timestamp_seconds", Change::Set(at(2))),
            ("swiftwal_wal_holes", Change::Set(1.0)),
            ("swiftwal_wal_ready_files", Change::Set(3.0)),
            ("swiftwal_wal_ready_oldest_timestamp_seconds", Change::Set(at(2) + 400.0)),
            ("swiftwal_backups_unusable", Change::Set(1.0)),
            ("swiftwal_backup_invalid_pages", Change::Set(2.0)),
            ("swiftwal_backup_last_success_timestamp_seconds", Change::Raise(at(2))),
            ("swiftwal_drill_last_success_timestamp_seconds", Change::Raise(at(1))),
        ] {
            assert_eq!(change(&info, name), Some(expected), "{name}");
        }
        info.ready = None;
        info.recovery_windows.clear();
        info.last_drill = None;
        assert_eq!(change(&info, "swiftwal_wal_ready_files"), Some(Change::Remove));
        assert_eq!(change(&info, "swiftwal_recovery_window_end_timestamp_seconds"), Some(Change::Remove));
        assert_eq!(change(&info, "swiftwal_drill_last_success_timestamp_seconds"), None);
    }
}
