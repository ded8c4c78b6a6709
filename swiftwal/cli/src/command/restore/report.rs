//! Collects the events of a restore, for the report at its end.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use swiftwal_core::{Branch, RestoreStats};

/// The events of a restore.
#[derive(Debug, Default)]
pub(super) struct Report(Mutex<Said>);

#[derive(Debug, Default)]
struct Said {
    followed: Option<Branch>,
    others: Vec<Branch>,
    notices: Vec<String>,
    is_beyond_wal: bool,
}

impl Report {
    pub(super) fn timelines(&self, followed: Option<&Branch>, others: &[Branch]) {
        let mut said = self.said();
        said.followed = followed.cloned();
        said.others = others.to_vec();
    }

    pub(super) fn notice(&self, notice: &str) {
        self.said().notices.push(notice.to_owned());
    }

    /// Records that the stored WAL doesn't reach the target.
    pub(super) fn shortfall(&self, notice: &str) {
        self.notice(notice);
        self.said().is_beyond_wal = true;
    }

    /// Whether the target lies beyond the stored WAL.
    pub(super) fn is_beyond_wal(&self) -> bool {
        self.said().is_beyond_wal
    }

    /// Returns the `--json` document.
    pub(super) fn document(&self, stats: &RestoreStats) -> Value {
        let said = self.said();
        json!({
            "key": stats.key,
            "files": stats.files,
            "bytes": stats.bytes,
            "followed": said.followed,
            "others": said.others,
            "notices": said.notices,
        })
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
