//! The inventory: the content of a repository, according to a listing.

use std::collections::BTreeMap;

use jiff::Timestamp;
use object_store::ObjectMeta;
use serde::{Serialize, Serializer};
use swiftwal_compression::Format;
use swiftwal_postgres::{SegmentName, WalName};

use crate::repository::{
    key::BackupKey,
    layout::{BackupPart, ObjectName, legacy_key},
    legacy_leftovers::LegacyLeftovers,
    wal_variant::WalVariant,
};

/// The content of a repository, from one listing.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// The backups that exist, oldest first.
    pub backups: Vec<StoredBackup>,
    /// The WAL files, sorted by name. One name may exist in several compressions.
    pub wal: Vec<StoredWal>,
    /// Notices about the backups that [`read_records`](crate::repository::Repository::read_records) has set aside.
    pub foreign: Vec<String>,
    /// Objects that belong to no existing backup: of uploads in progress, crashed uploads and interrupted deletions.
    pub(crate) uncommitted: BTreeMap<BackupKey, Uncommitted>,
    /// The backups whose deletion has begun, and when that was marked.
    pub(crate) deleting: BTreeMap<BackupKey, Timestamp>,
    /// The last segments of removals of WAL that have begun, and when that was marked.
    pub(crate) removing_wal: Vec<(SegmentName, Timestamp)>,
    /// The first segments of the recorded gaps, and when that was recorded.
    pub(crate) gaps: Vec<(SegmentName, Timestamp)>,
    /// The markers of processes that are writing, or crashed while writing.
    pub(crate) markers: Vec<Marker>,
    /// The unfinished uploads and deletions of SwiftWAL 0.2.2.
    pub(crate) legacy: LegacyLeftovers,
    /// The objects that may be stored in parts, as the storage listed them, if its sweep wants them.
    pub(crate) long: Vec<ObjectMeta>,
    /// When the newest of all objects was written.
    pub(crate) newest: Timestamp,
}

/// A backup that exists.
#[derive(Clone, Debug, Serialize)]
pub struct StoredBackup {
    /// Its name.
    pub key: BackupKey,
    /// Whether it is a backup of SwiftWAL 0.2.2: one `.tgz`, and perhaps a label.
    pub legacy: bool,
    /// All of its objects.
    pub objects: Vec<StoredObject>,
}

/// An object of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoredObject {
    /// Its name.
    #[serde(serialize_with = "as_text")]
    pub name: ObjectName,
    /// Its size as stored.
    pub bytes: u64,
}

/// A stored WAL file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct StoredWal {
    /// PostgreSQL's name of the file.
    pub name: WalName,
    /// Which of several contents it is, if a `.partial` or `.backup` file is stored with more than one. None for the
    /// first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<WalVariant>,
    /// Its compression.
    pub format: Format,
    /// Its size as stored.
    pub bytes: u64,
    /// When it was stored, by the storage's clock.
    pub stored: Timestamp,
}

/// The objects of a backup that doesn't exist.
#[derive(Clone, Debug)]
pub(crate) struct Uncommitted {
    pub(crate) objects: Vec<StoredObject>,
    /// When the last of them was written.
    pub(crate) touched: Timestamp,
}

/// A marker of a process that is writing, or crashed while writing.
#[derive(Clone, Debug)]
pub(crate) struct Marker {
    /// The backup that is, or was, being written.
    pub(crate) key: BackupKey,
    /// Its own name.
    pub(crate) name: ObjectName,
    pub(crate) touched: Timestamp,
}

impl StoredBackup {
    /// Returns the total size of its objects.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.objects.iter().map(|object| object.bytes).sum()
    }

    /// Returns the object that contains the data directory.
    #[must_use]
    pub fn main_object(&self) -> Option<&StoredObject> {
        main_object(&self.objects)
    }

    /// Whether its label is an object of its own. SwiftWAL 0.2.2 stored that object only after the backup had
    /// succeeded. Without it, its backup may be incomplete.
    #[must_use]
    pub fn has_label(&self) -> bool {
        has_part(&self.objects, BackupPart::Label)
    }
}

impl StoredWal {
    /// Returns the name of its object.
    #[must_use]
    pub fn object_name(&self) -> ObjectName {
        let Self { name, format, .. } = *self;
        match self.variant {
            None => ObjectName::Wal { name, format },
            Some(variant) => ObjectName::WalVariant { name, variant, format },
        }
    }

    /// Returns PostgreSQL's name of the file, followed by the variant if there is one.
    #[must_use]
    pub fn file_name(&self) -> String {
        self.variant.map_or_else(|| self.name.to_string(), |variant| format!("{}.{variant}", self.name))
    }
}

impl Inventory {
    pub(crate) fn builder() -> InventoryBuilder {
        InventoryBuilder::default()
    }

    /// Returns the keys of which the listing shows data, but no commit record.
    pub(crate) fn without_record(&self) -> Vec<BackupKey> {
        let has_data = |found: &Uncommitted| main_object(&found.objects).is_some();
        self.uncommitted.iter().filter(|(_, found)| has_data(found)).map(|(key, _)| *key).collect()
    }

    /// Returns the size of all backups, of what uploads have left, and of the WAL files.
    pub(crate) fn stored_bytes(&self) -> u64 {
        let backups = self.backups.iter().flat_map(|backup| &backup.objects);
        let uncommitted = self.uncommitted.values().flat_map(|found| &found.objects);
        let objects = backups.chain(uncommitted).map(|object| object.bytes);
        objects.chain(self.wal.iter().map(|wal| wal.bytes)).sum()
    }

    /// Adds a backup that was listed without its `record`.
    pub(crate) fn commit(&mut self, key: BackupKey, record: StoredObject) {
        let listed = self.uncommitted.remove(&key).map(|found| found.objects);
        let objects = listed.into_iter().flatten().chain([record]).collect();
        self.backups.push(StoredBackup { key, legacy: false, objects });
        self.backups.sort_by_key(|backup| backup.key);
    }
}

fn main_object(objects: &[StoredObject]) -> Option<&StoredObject> {
    objects.iter().find(|object| {
        let ObjectName::Backup { part, .. } = object.name else { return false };
        matches!(part, BackupPart::Tar { tablespace: None, piece: 1, .. } | BackupPart::Legacy)
    })
}

/// Collects a listing, object by object.
#[derive(Debug, Default)]
pub(crate) struct InventoryBuilder {
    by_key: BTreeMap<BackupKey, Uncommitted>,
    deleting: BTreeMap<BackupKey, Timestamp>,
    removing_wal: Vec<(SegmentName, Timestamp)>,
    gaps: Vec<(SegmentName, Timestamp)>,
    wal: Vec<StoredWal>,
    markers: Vec<Marker>,
    legacy: LegacyLeftovers,
    long: Vec<ObjectMeta>,
    newest: Timestamp,
}

impl InventoryBuilder {
    /// Keeps the storage's metadata of an object.
    pub(crate) fn keep(&mut self, long: ObjectMeta) {
        self.long.push(long);
    }

    /// Adds an object of the listing.
    pub(crate) fn add(&mut self, name: &str, bytes: u64, touched: Timestamp) {
        let name = ObjectName::parse(name);
        if !matches!(name, ObjectName::Foreign(_)) {
            self.newest = self.newest.max(touched);
        }
        match name.clone() {
            ObjectName::Wal { name, format } => {
                self.wal.push(StoredWal { name, variant: None, format, bytes, stored: touched });
            }
            ObjectName::WalVariant { name, variant, format } => {
                self.wal.push(StoredWal { name, variant: Some(variant), format, bytes, stored: touched });
            }
            ObjectName::Backup { key, .. } => {
                let object = StoredObject { name, bytes };
                let new = || Uncommitted { objects: Vec::new(), touched };
                let backup = self.by_key.entry(key).or_insert_with(new);
                backup.objects.push(object);
                backup.touched = backup.touched.max(touched);
            }
            ObjectName::Marker { claim, id } => match (claim.parse(), legacy_key(&claim)) {
                (Ok(key), _) => self.markers.push(Marker { key, name, touched }),
                (_, Some(key)) => self.legacy.add_marker(key, &id, name, touched),
                _ => {}
            },
            ObjectName::Deleting(key) => drop(self.deleting.insert(key, touched)),
            ObjectName::RemovingWal(last) => self.removing_wal.push((last, touched)),
            ObjectName::Gap(first) => self.gaps.push((first, touched)),
            ObjectName::LegacySegment { key, upload, .. } => {
                self.legacy.add_segment(key, &upload, name, touched);
            }
            ObjectName::LegacyDeletion { key, .. } => self.legacy.add_deletion(key, name),
            ObjectName::Cluster | ObjectName::Hidden(_) | ObjectName::Foreign(_) => {}
        }
    }

    pub(crate) fn finish(mut self) -> Inventory {
        self.wal.sort_unstable();
        let Self { by_key, deleting, removing_wal, gaps, wal, markers, legacy, long, newest } = self;
        let rest = Inventory::default();
        let mut inventory =
            Inventory { wal, markers, deleting, removing_wal, gaps, legacy, long, newest, ..rest };
        for (key, mut found) in by_key {
            let objects = &mut found.objects;
            objects.sort_by(|a, b| a.name.cmp(&b.name));
            let committed = has_part(objects, BackupPart::Record);
            let legacy = !committed && inventory.is_legacy_backup(key, objects);
            if committed || legacy {
                inventory.backups.push(StoredBackup { key, legacy, objects: found.objects });
            } else {
                inventory.uncommitted.insert(key, found);
            }
        }
        inventory
    }
}

/// Returns when an object was last written, to the second. A time that no calendar can express becomes the oldest one.
pub(crate) fn touched(object: &ObjectMeta) -> Timestamp {
    Timestamp::from_second(object.last_modified.timestamp()).unwrap_or(Timestamp::MIN)
}

impl Inventory {
    /// Whether these objects are a backup of SwiftWAL 0.2.2. Its main object got its name last of all, so the backup is
    /// complete, even if markers remain, until its deletion begins. If the object is empty, its segments are lost.
    fn is_legacy_backup(&self, key: BackupKey, objects: &[StoredObject]) -> bool {
        let name = ObjectName::legacy_backup(key);
        let is_there = objects.iter().any(|object| object.name == name && object.bytes > 0);
        is_there && !self.deleting.contains_key(&key) && !self.legacy.is_being_deleted(key)
    }
}

fn has_part(objects: &[StoredObject], wanted: BackupPart) -> bool {
    objects.iter().any(|object| matches!(object.name, ObjectName::Backup { part, .. } if part == wanted))
}

fn as_text<S: Serializer>(name: &ObjectName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory(names: &[&str]) -> Inventory {
        let mut builder = Inventory::builder();
        for name in names {
            builder.add(name, 10, Timestamp::UNIX_EPOCH);
        }
        builder.finish()
    }

    fn keys(inventory: &Inventory) -> Vec<String> {
        inventory.backups.iter().map(|backup| backup.key.to_string()).collect()
    }

    #[test]
    fn a_backup_without_its_commit_record_does_not_exist() {
        let inventory =
            inventory(&["pg_basebackup_20130828T1810Z.tar.zst", "backup_label_20130828T1810Z.txt"]);
        assert!(inventory.backups.is_empty());
        assert_eq!(inventory.uncommitted.len(), 1);
    }

    #[test]
    fn a_legacy_backup_needs_no_record_and_stands_until_its_deletion_begins() {
        for name in [
            "...uploading/pg_basebackup_20130828T1810Z.tgz/4d2e",
            "...seg/pg_basebackup_20130828T1810Z.tgz/4d2e/000001",
        ] {
            let inventory = inventory(&["pg_basebackup_20130828T1810Z.tgz", name]);
            assert_eq!(keys(&inventory), ["20130828T1810Z"]);
            assert!(inventory.backups[0].legacy);
        }
        for mark in [
            "...deleting/20130828T1810Z",
            "...to_delete/pg_basebackup_20130828T1810Z.tgz",
            "...to_delete/...uploading%2Fpg_basebackup_20130828T1810Z.tgz%2F4d2e",
        ] {
            assert!(inventory(&["pg_basebackup_20130828T1810Z.tgz", mark]).backups.is_empty(), "{mark}");
        }
    }

    #[test]
    fn a_legacy_backup_without_content_is_none() {
        let mut builder = Inventory::builder();
        builder.add("pg_basebackup_20130828T1810Z.tgz", 0, Timestamp::UNIX_EPOCH);
        assert!(builder.finish().backups.is_empty());
    }

    #[test]
    fn backups_are_listed_oldest_first_whatever_their_names_order() {
        let inventory =
            inventory(&["pg_basebackup_20130828T181042Z.json", "pg_basebackup_20130828T1810Z.json"]);
        assert_eq!(keys(&inventory), ["20130828T1810Z", "20130828T181042Z"]);
    }
}
