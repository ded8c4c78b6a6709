//! Collects the events of a restore, for the report at its end.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use swiftwal_core::{Branch, RestoreStats};

/// The events of a restore.
#[derive(Debug, Default)]
pub(super) struct Report(Mutex<Collected>);

#[derive(Debug, Default)]
struct Collected {
    followed: Option<Branch>,
    others: Vec<Branch>,
    notices: Vec<String>,
    is_beyond_wal: bool,
}

impl Report {
    pub(super) fn timelines(&self, followed: Option<&Branch>, others: &[Branch]) {
        let mut collected = self.collected();
        collected.followed = followed.cloned();
        collected.others = others.to_vec();
    }

    pub(super) fn notice(&self, notice: &str) {
        self.collected().notices.push(notice.to_owned());
    }

    /// Records that the stored WAL doesn't reach the target.
    pub(super) fn shortfall(&self, notice: &str) {
        self.notice(notice);
        self.collected().is_beyond_wal = true;
    }

    /// Whether the target lies beyond the stored WAL.
    pub(super) fn is_beyond_wal(&self) -> bool {
        self.collected().is_beyond_wal
    }

    /// Returns the `--json` document.
    pub(super) fn document(&self, stats: &RestoreStats) -> Value {
        let collected = self.collected();
        json!({
            "key": stats.key,
            "files": stats.files,
            "bytes": stats.bytes,
            "kept_files": stats.kept_files,
            "fetched_bytes": stats.fetched_bytes,
            "left_out": stats.left_out,
            "followed": collected.followed,
            "others": collected.others,
            "notices": collected.notices,
        })
    }

    fn collected(&self) -> MutexGuard<'_, Collected> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
