//! The metrics for Prometheus: their names and what they mean.

use std::borrow::Cow;

/// A gauge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Metric {
    pub(crate) name: Cow<'static, str>,
    pub(crate) help: Cow<'static, str>,
}

const fn gauge(name: &'static str, help: &'static str) -> Metric {
    Metric { name: Cow::Borrowed(name), help: Cow::Borrowed(help) }
}

pub(crate) const BACKUP_SIZE: Metric =
    gauge("swiftwal_backup_size_bytes", "Size of the data of the newest backup, before compression.");
pub(crate) const BACKUP_STORED: Metric =
    gauge("swiftwal_backup_stored_bytes", "Size of the newest backup, as stored.");
pub(crate) const BACKUP_INVALID_PAGES: Metric = gauge(
    "swiftwal_backup_invalid_pages",
    "Pages of the newest backup that were already damaged on the server.",
);
pub(crate) const BACKUPS: Metric = gauge("swiftwal_backups", "Number of backups.");
pub(crate) const BACKUPS_UNUSABLE: Metric =
    gauge("swiftwal_backups_unusable", "Number of backups that are known to be unusable.");
pub(crate) const WINDOW_START: Metric = gauge(
    "swiftwal_recovery_window_start_timestamp_seconds",
    "The earliest time from which on the cluster can be recovered to each moment without a hole.",
);
pub(crate) const WINDOW_END: Metric = gauge(
    "swiftwal_recovery_window_end_timestamp_seconds",
    "The latest time to which the cluster can be recovered.",
);
pub(crate) const WAL_LAST_STORED: Metric =
    gauge("swiftwal_wal_last_stored_timestamp_seconds", "When WAL of the timeline in use was last stored.");
pub(crate) const WAL_HOLES: Metric = gauge("swiftwal_wal_holes", "Number of holes in the stored WAL.");
pub(crate) const WAL_READY: Metric =
    gauge("swiftwal_wal_ready_files", "Number of WAL files that wait to be archived.");
pub(crate) const WAL_READY_OLDEST: Metric = gauge(
    "swiftwal_wal_ready_oldest_timestamp_seconds",
    "Since when the oldest of the WAL files that wait to be archived has waited.",
);
pub(crate) const REPOSITORY_BYTES: Metric =
    gauge("swiftwal_repository_bytes", "Size of all backups and WAL files, as stored.");
pub(crate) const DAMAGED_OBJECTS: Metric = gauge(
    "swiftwal_repository_damaged_objects",
    "Number of objects of the repository that were found to be damaged.",
);
pub(crate) const RESTORE_FORECAST: Metric = gauge(
    "swiftwal_restore_forecast_seconds",
    "How long a restore of the newest backup will take, according to the last drill.",
);
pub(crate) const BUILD_INFO: Metric =
    gauge("swiftwal_build_info", "The version of swiftwal that updated this file last; always 1.");

/// The metrics of the runs of one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunMetrics {
    /// The command.
    pub(crate) command: &'static str,
}

impl RunMetrics {
    pub(crate) fn last_attempt(self) -> Metric {
        self.metric("last_attempt_timestamp_seconds", "was last begun")
    }

    pub(crate) fn last_failure(self) -> Metric {
        self.metric("last_failure_timestamp_seconds", "last failed")
    }

    pub(crate) fn last_success(self) -> Metric {
        self.metric("last_success_timestamp_seconds", "last succeeded")
    }

    pub(crate) fn duration(self) -> Metric {
        let help = format!("How long the last successful {} took.", self.command);
        Metric { name: format!("swiftwal_{}_duration_seconds", self.command).into(), help: help.into() }
    }

    fn metric(self, name: &str, what: &str) -> Metric {
        Metric {
            name: format!("swiftwal_{}_{name}", self.command).into(),
            help: format!("When {} {what}.", self.command).into(),
        }
    }
}
