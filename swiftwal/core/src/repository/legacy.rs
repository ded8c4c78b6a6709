//! What SwiftWAL 0.2.2 left beside its backups. How it worked, step by step, is told in `docs/format.md`.

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
        legacy_traces::LegacyUpload,
    },
};

/// A crashed upload.
#[derive(Clone, Debug)]
pub(crate) struct DeadUpload {
    key: BackupKey,
    id: String,
    marker: ObjectName,
    segments: Vec<ObjectName>,
}

/// Whether such a backup is there, where the repository can't be listed: its object has content, and no sign tells that
/// its deletion has begun.
pub(crate) async fn is_there(repository: &Repository, key: BackupKey) -> Result<bool> {
    let name = ObjectName::legacy_backup(key);
    let signs = [ObjectName::Deleting(key), ObjectName::LegacyDeletion { key, name: name.to_string() }];
    for sign in signs {
        if repository.size(&sign).await?.is_some() {
            return Ok(false);
        }
    }
    Ok(repository.size(&name).await?.is_some_and(|bytes| bytes > 0))
}

impl Inventory {
    /// The uploads without anything new since `before`, whose backups aren't there.
    ///
    /// Where the backup is there, the marker says nothing: the backup's name was given last of all, so its upload had
    /// ended well and only the marker was left. That goes with the backup and never before, since it names the very
    /// segments that the backup is made of.
    pub(crate) fn dead_legacy_uploads(&self, before: Timestamp) -> Vec<DeadUpload> {
        let dead = self.legacy.uploads.iter().filter_map(|((key, id), found)| {
            let marker =
                found.marker.clone().filter(|_| found.touched <= before && !self.has_legacy(*key))?;
            Some(DeadUpload { key: *key, id: id.clone(), marker, segments: found.segments.clone() })
        });
        dead.collect()
    }

    /// Whether such a backup may be going on: something of it is younger than `before`, and it isn't there yet.
    pub(crate) fn has_live_legacy_upload(&self, before: Timestamp) -> bool {
        let is_live = |key: BackupKey, found: &LegacyUpload| {
            found.marker.is_some() && found.touched > before && !self.has_legacy(key)
        };
        self.legacy.uploads.iter().any(|((key, _), found)| is_live(*key, found))
    }

    /// Says of which backups only segments are left: that is no work of the original's, which never lost sight of its
    /// segments, so a person may want them back.
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

    /// Whether the object of a legacy backup is listed, in whatever state.
    fn has_legacy(&self, key: BackupKey) -> bool {
        let backups =
            self.backups.iter().filter(|backup| backup.key == key).flat_map(|backup| &backup.objects);
        let uncommitted = self.uncommitted.get(&key).into_iter().flat_map(|found| &found.objects);
        let name = ObjectName::legacy_backup(key);
        backups.chain(uncommitted).any(|object| object.name == name)
    }
}

impl DeadUpload {
    /// The names of all of it.
    pub(crate) fn names(&self) -> impl Iterator<Item = &ObjectName> {
        self.segments.iter().chain([&self.marker])
    }

    /// Removes it, the marker last, unless it came to life after `before` or turned out to be complete.
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

/// Finishes the deletion of a backup, or of an upload of it, that the original had begun.
///
/// On Swift the sign is a manifest, and names the segments that are to go: they go with it. If the backup's own
/// manifest was left too, and they were its segments, nothing is in it now.
pub(crate) async fn finish_deletion(
    repository: &Repository,
    key: BackupKey,
    sign: &ObjectName,
) -> Result<()> {
    repository.delete(sign).await?;
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
