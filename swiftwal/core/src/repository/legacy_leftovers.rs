//! The unfinished uploads and deletions of SwiftWAL 0.2.2 that a listing shows.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::repository::{key::BackupKey, layout::ObjectName};

/// The unfinished uploads and deletions of SwiftWAL 0.2.2 that a listing shows.
#[derive(Clone, Debug, Default)]
pub(crate) struct LegacyLeftovers {
    pub(crate) uploads: BTreeMap<(BackupKey, String), LegacyUpload>,
    deletions: Vec<(BackupKey, ObjectName)>,
}

/// The objects of one upload.
#[derive(Clone, Debug)]
pub(crate) struct LegacyUpload {
    pub(crate) marker: Option<ObjectName>,
    pub(crate) segments: Vec<ObjectName>,
    /// When the last of its objects was written. The marker is written once, before the first segment.
    pub(crate) touched: Timestamp,
}

impl LegacyLeftovers {
    pub(crate) fn add_marker(&mut self, key: BackupKey, id: &str, name: ObjectName, touched: Timestamp) {
        self.upload(key, id, touched).marker = Some(name);
    }

    pub(crate) fn add_segment(&mut self, key: BackupKey, id: &str, name: ObjectName, touched: Timestamp) {
        self.upload(key, id, touched).segments.push(name);
    }

    fn upload(&mut self, key: BackupKey, id: &str, touched: Timestamp) -> &mut LegacyUpload {
        let new = || LegacyUpload { marker: None, segments: Vec::new(), touched };
        let found = self.uploads.entry((key, id.to_owned())).or_insert_with(new);
        found.touched = found.touched.max(touched);
        found
    }

    pub(crate) fn add_deletion(&mut self, key: BackupKey, name: ObjectName) {
        self.deletions.push((key, name));
    }

    /// Whether the deletion of this backup, or of an upload of it, has begun and not ended.
    pub(crate) fn is_being_deleted(&self, key: BackupKey) -> bool {
        self.deletions.iter().any(|(deleted, _)| *deleted == key)
    }

    /// Returns the objects that show that a deletion has begun.
    pub(crate) fn deletions(&self) -> Vec<(BackupKey, ObjectName)> {
        self.deletions.clone()
    }
}
