//! Whether all of a backup is there.

use crate::{
    error::Result,
    repository::{
        Repository,
        inventory::Inventory,
        layout::ObjectName,
        record::{BackupRecord, RecordedObject},
    },
};

/// The first of those objects of `record` that are `needed` which isn't there with its size.
///
/// A listing may lag behind, the object itself doesn't: so it is asked for what isn't listed.
pub(crate) async fn missing_object<'a>(
    repository: &Repository,
    inventory: &Inventory,
    record: &'a BackupRecord,
    needed: fn(&RecordedObject) -> bool,
) -> Result<Option<&'a RecordedObject>> {
    let stored = inventory.backups.iter().find(|backup| backup.key == record.key);
    let stored = stored.map_or(&[][..], |backup| &backup.objects);
    let is_listed = |object: &RecordedObject| {
        stored.iter().any(|stored| stored.bytes == object.bytes && stored.name.to_string() == object.name)
    };
    for object in record.objects.iter().filter(|object| needed(object) && !is_listed(object)) {
        if repository.size(&ObjectName::parse(&object.name)).await? != Some(object.bytes) {
            return Ok(Some(object));
        }
    }
    Ok(None)
}
