//! What a listing of a repository shows.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use swiftwal_compression::Format;
use swiftwal_postgres::WalName;

use crate::{BackupKey, BackupPart, ObjectName};

/// Everything in a repository, by one listing.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// The backups that exist, oldest first.
    pub backups: Vec<StoredBackup>,
    /// The WAL files, as their names order; one name may be there under several compressions.
    pub wal: Vec<StoredWal>,
    /// What belongs to no backup that exists: of uploads in progress or died, and of interrupted deletions.
    pub(crate) uncommitted: BTreeMap<BackupKey, Uncommitted>,
    /// The backups whose deletion has begun.
    pub(crate) deleting: Vec<BackupKey>,
    /// Who is, or was, writing.
    pub(crate) markers: Vec<Marker>,
}

/// A backup that exists.
#[derive(Clone, Debug, Serialize)]
pub struct StoredBackup {
    /// Its name.
    pub key: BackupKey,
    /// Whether SwiftWAL 0.2.2 wrote it: one `.tgz` and perhaps a label.
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

/// A WAL file as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct StoredWal {
    /// PostgreSQL's name of it.
    pub name: WalName,
    /// How it is compressed.
    pub format: Format,
    /// Its size as stored.
    pub bytes: u64,
}

/// The objects of a backup that doesn't exist.
#[derive(Clone, Debug)]
pub(crate) struct Uncommitted {
    pub(crate) objects: Vec<StoredObject>,
    /// When the last of them was written.
    pub(crate) touched: Timestamp,
}

/// The sign that somebody is writing, or died writing.
#[derive(Clone, Debug)]
pub(crate) struct Marker {
    pub(crate) claim: String,
    pub(crate) id: String,
    pub(crate) touched: Timestamp,
}

impl Marker {
    /// The backup that is, or was, being written.
    pub(crate) fn key(&self) -> Option<BackupKey> {
        self.claim.parse().ok().or_else(|| match ObjectName::parse(&self.claim) {
            ObjectName::Backup { key, .. } => Some(key),
            _ => None,
        })
    }

    pub(crate) fn object_name(&self) -> ObjectName {
        ObjectName::Marker { claim: self.claim.clone(), id: self.id.clone() }
    }
}

impl StoredBackup {
    /// The size of all of its objects.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.objects.iter().map(|object| object.bytes).sum()
    }

    /// The object that holds the data directory.
    #[must_use]
    pub fn main_object(&self) -> Option<&StoredObject> {
        self.objects.iter().find(|object| {
            let ObjectName::Backup { part, .. } = object.name else { return false };
            matches!(part, BackupPart::Tar { tablespace: None, .. } | BackupPart::Legacy)
        })
    }
}

impl StoredWal {
    /// The name of its object.
    #[must_use]
    pub fn object_name(&self) -> ObjectName {
        ObjectName::Wal { name: self.name, format: self.format }
    }
}

impl Inventory {
    pub(crate) fn builder() -> InventoryBuilder {
        InventoryBuilder::default()
    }
}

/// Takes a listing object by object.
#[derive(Debug, Default)]
pub(crate) struct InventoryBuilder {
    by_key: BTreeMap<BackupKey, Uncommitted>,
    deleting: Vec<BackupKey>,
    wal: Vec<StoredWal>,
    markers: Vec<Marker>,
}

impl InventoryBuilder {
    /// Adds what the listing shows as `name`, last written `touched` seconds after 1970.
    pub(crate) fn add(&mut self, name: &str, bytes: u64, touched: i64) {
        match ObjectName::parse(name) {
            ObjectName::Wal { name, format } => self.wal.push(StoredWal { name, format, bytes }),
            ObjectName::Backup { key, part } => {
                let object = StoredObject { name: ObjectName::Backup { key, part }, bytes };
                let touched = seconds(touched);
                let new = || Uncommitted { objects: Vec::new(), touched };
                let backup = self.by_key.entry(key).or_insert_with(new);
                backup.objects.push(object);
                backup.touched = backup.touched.max(touched);
            }
            ObjectName::Marker { claim, id } => {
                self.markers.push(Marker { claim, id, touched: seconds(touched) });
            }
            ObjectName::Deleting(key) => self.deleting.push(key),
            ObjectName::Cluster | ObjectName::Hidden(_) | ObjectName::Foreign(_) => {}
        }
    }

    pub(crate) fn finish(mut self) -> Inventory {
        self.wal.sort_unstable();
        let Self { by_key, deleting, wal, markers } = self;
        let mut inventory = Inventory { wal, markers, deleting, ..Inventory::default() };
        for (key, mut found) in by_key {
            let objects = &mut found.objects;
            objects.sort_by(|a, b| a.name.cmp(&b.name));
            let committed = has_part(objects, BackupPart::Record);
            let legacy =
                !committed && has_part(objects, BackupPart::Legacy) && !inventory.is_being_written(objects);
            if committed || legacy {
                inventory.backups.push(StoredBackup { key, legacy, objects: found.objects });
            } else {
                inventory.uncommitted.insert(key, found);
            }
        }
        inventory
    }
}

/// A time in seconds after 1970.
fn seconds(since_1970: i64) -> Timestamp {
    Timestamp::from_second(since_1970).unwrap_or(Timestamp::MIN)
}

impl Inventory {
    /// Whether SwiftWAL 0.2.2 is, or died, uploading one of these: it put the object's name into the marker.
    fn is_being_written(&self, objects: &[StoredObject]) -> bool {
        objects.iter().any(|object| {
            let name = object.name.to_string();
            self.markers.iter().any(|marker| marker.claim == name)
        })
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
            builder.add(name, 10, 0);
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
    fn a_legacy_backup_needs_no_record_but_must_not_be_uploading() {
        let whole = "pg_basebackup_20130828T1810Z.tgz";
        let partial = "pg_basebackup_20130829T1810Z.tgz";
        let marker = format!("...uploading/{partial}/4d2e");
        let inventory = inventory(&[whole, partial, &marker]);
        assert_eq!(keys(&inventory), ["20130828T1810Z"]);
        assert!(inventory.backups[0].legacy);
    }

    #[test]
    fn backups_are_listed_oldest_first_whatever_their_names_order() {
        let inventory =
            inventory(&["pg_basebackup_20130828T181042Z.json", "pg_basebackup_20130828T1810Z.json"]);
        assert_eq!(keys(&inventory), ["20130828T1810Z", "20130828T181042Z"]);
    }
}
