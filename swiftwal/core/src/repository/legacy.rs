//! The leftovers of SwiftWAL 0.2.2 beside its backups. `docs/format.md` describes how it worked.

use futures::TryStreamExt;
use jiff::Timestamp;
use object_store::{ObjectMeta, path::Path};

use crate::{
    error::Result,
    repository::{
        Repository,
        inventory::{Inventory, touched},
        key::BackupKey,
        layout::{BackupPart, ObjectName, SEGMENTS},
        legacy_leftovers::LegacyUpload,
    },
};

/// An abandoned upload.
#[derive(Clone, Debug)]
pub(crate) struct AbandonedUpload {
    key: BackupKey,
    id: String,
    marker: ObjectName,
    segments: Vec<ObjectName>,
}

/// Whether such a backup exists, for a repository that can't be listed: its object has content, and nothing shows that
/// its deletion has begun.
pub(crate) async fn is_there(repository: &Repository, key: BackupKey) -> Result<bool> {
    let name = ObjectName::legacy_backup(key);
    let marks = [ObjectName::Deleting(key), ObjectName::LegacyDeletion { key, name: name.to_string() }];
    for mark in marks {
        if repository.size(&mark).await?.is_some() {
            return Ok(false);
        }
    }
    Ok(repository.size(&name).await?.is_some_and(|bytes| bytes > 0))
}

impl Inventory {
    /// Returns the uploads without an object newer than `before` whose backups don't exist.
    ///
    /// If the backup exists, its marker means nothing: the backup got its name last of all, so its upload was complete
    /// and only the marker remained. The marker is removed with the backup and never before, since it names the
    /// segments that the backup consists of.
    pub(crate) fn abandoned_legacy_uploads(&self, before: Timestamp) -> Vec<AbandonedUpload> {
        let abandoned = self.legacy.uploads.iter().filter_map(|((key, id), found)| {
            let marker =
                found.marker.clone().filter(|_| found.touched <= before && !self.has_legacy(*key))?;
            Some(AbandonedUpload { key: *key, id: id.clone(), marker, segments: found.segments.clone() })
        });
        abandoned.collect()
    }

    /// Whether such a backup may be in progress: it doesn't exist yet, and some of its objects are younger than
    /// `before`.
    pub(crate) fn has_live_legacy_upload(&self, before: Timestamp) -> bool {
        let is_live = |key: BackupKey, found: &LegacyUpload| {
            found.marker.is_some() && found.touched > before && !self.has_legacy(key)
        };
        self.legacy.uploads.iter().any(|((key, _), found)| is_live(*key, found))
    }

    /// Returns notices about backups of which only segments remain. SwiftWAL 0.2.2 never left that, so a person may
    /// want to recover them.
    pub(crate) fn legacy_notices(&self, before: Timestamp) -> Vec<String> {
        let is_orphan = |key: BackupKey, found: &LegacyUpload| {
            let is_old = found.marker.is_none() && found.touched <= before;
            is_old && !self.has_legacy(key) && !self.legacy.is_being_deleted(key)
        };
        let orphans = self.legacy.uploads.iter().filter(|((key, _), found)| is_orphan(*key, found));
        let notice = |((key, id), found): (&(BackupKey, String), &LegacyUpload)| {
            let object = ObjectName::legacy_backup(*key);
            let left = match found.segments.len() {
                1 => "1 segment of it is".to_owned(),
                count => format!("{count} segments of it are"),
            };
            format!(
                "{object} is missing, but {left} left and will be kept, in {SEGMENTS}/{object}/{id}/; restore the \
                 object (see docs/migrating.md), or delete what is left"
            )
        };
        orphans.map(notice).collect()
    }

    /// Whether the main object of such a backup is listed, in any state.
    fn has_legacy(&self, key: BackupKey) -> bool {
        let backups =
            self.backups.iter().filter(|backup| backup.key == key).flat_map(|backup| &backup.objects);
        let uncommitted = self.uncommitted.get(&key).into_iter().flat_map(|found| &found.objects);
        let name = ObjectName::legacy_backup(key);
        backups.chain(uncommitted).any(|object| object.name == name)
    }
}

impl AbandonedUpload {
    /// Returns the names of its objects.
    pub(crate) fn names(&self) -> impl Iterator<Item = &ObjectName> {
        self.segments.iter().chain([&self.marker])
    }

    /// Removes the upload, its marker last, unless it was written to after `before` or has turned out to be complete.
    pub(crate) async fn remove(&self, repository: &Repository, before: Timestamp) -> Result<()> {
        if repository.size(&ObjectName::legacy_backup(self.key)).await?.is_some() {
            return Ok(());
        }
        let directory =
            Path::from_iter([SEGMENTS, &ObjectName::legacy_backup(self.key).to_string(), &self.id]);
        let segments = list(repository, &directory).await?;
        if segments.iter().any(|segment| touched(segment) > before) {
            return Ok(());
        }
        let names: Vec<_> =
            segments.iter().map(|segment| ObjectName::parse(segment.location.as_ref())).collect();
        repository.delete_all(names.into_iter()).await?;
        repository.delete(&self.marker).await
    }
}

/// Finishes the deletion of a backup, or of an upload of it, that SwiftWAL 0.2.2 began.
///
/// On Swift the mark is a manifest that names the segments to delete: they are deleted with it. If the backup's own
/// manifest remained and named the same segments, it is empty afterwards.
pub(crate) async fn finish_deletion(
    repository: &Repository,
    key: BackupKey,
    mark: &ObjectName,
) -> Result<()> {
    repository.delete(mark).await?;
    let object = ObjectName::legacy_backup(key);
    if repository.size(&object).await? == Some(0) {
        repository.delete(&object).await?;
        repository.delete(&ObjectName::Backup { key, part: BackupPart::Label }).await?;
    }
    Ok(())
}

async fn list(repository: &Repository, directory: &Path) -> Result<Vec<ObjectMeta>> {
    let listed = repository.storage().store().list(Some(directory)).try_collect().await;
    listed.map_err(repository.failed("list", directory))
}
