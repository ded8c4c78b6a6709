//! Pins: backups that an administrator wants to keep, whatever the rules of prune say. A pin is stored beside its backup
//! and is removed with it.

use std::collections::BTreeMap;

use futures::{StreamExt, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, ErrorKind, Result},
    repository::{
        Repository,
        inventory::Inventory,
        key::BackupKey,
        layout::{BackupPart, ObjectName},
        objects::CONCURRENT_READS,
    },
};

/// The newest format version that this program reads, and the one it writes.
const FORMAT: u32 = 1;

/// Says that a backup is to be kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Pin {
    /// The backup.
    pub key: BackupKey,
    /// When it was pinned, by the storage's clock.
    pub since: Timestamp,
    /// From when on the pin has no effect, by the storage's clock. None for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Why it is kept, in the administrator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The pins of all backups.
#[derive(Clone, Debug, Default)]
pub struct Pins {
    readable: BTreeMap<BackupKey, Pin>,
    unreadable: BTreeMap<BackupKey, String>,
}

impl Pin {
    /// Creates a pin.
    #[must_use]
    pub fn new(key: BackupKey, since: Timestamp, until: Option<Timestamp>, reason: Option<String>) -> Self {
        Self { key, since, until, reason }
    }

    /// Returns the name of a pin's object.
    pub(crate) fn object_name(key: BackupKey) -> ObjectName {
        ObjectName::Backup { key, part: BackupPart::Pin }
    }

    /// Whether it has no effect any more at the storage's time `now`.
    #[must_use]
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

impl Pins {
    /// Returns the pin of a backup, expired or not.
    #[must_use]
    pub fn get(&self, key: BackupKey) -> Option<&Pin> {
        self.readable.get(&key)
    }

    /// Whether no backup has a pin.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.readable.is_empty() && self.unreadable.is_empty()
    }

    /// Whether a backup must be kept at the storage's time `now`: a pin that can't be read counts.
    #[must_use]
    pub fn keep(&self, key: BackupKey, now: Timestamp) -> bool {
        let is_pinned = self.get(key).is_some_and(|pin| !pin.has_expired(now));
        is_pinned || self.unreadable.contains_key(&key)
    }

    /// Returns the pins that have expired at the storage's time `now`.
    pub fn expired(&self, now: Timestamp) -> impl Iterator<Item = &Pin> {
        self.readable.values().filter(move |pin| pin.has_expired(now))
    }

    /// Returns the pins that can't be read, each with its backup and the reason.
    pub(crate) fn unreadable(&self) -> impl Iterator<Item = (BackupKey, &str)> {
        self.unreadable.iter().map(|(key, reason)| (*key, reason.as_str()))
    }

    /// Returns notices about the pins that can't be read.
    #[must_use]
    pub fn notices(&self) -> Vec<String> {
        let notice = |(key, reason): (&BackupKey, &String)| {
            format!("backup {key} is kept, since its pin can't be read: {reason}; pin it again, or unkeep it")
        };
        self.unreadable.iter().map(notice).collect()
    }
}

impl Repository {
    /// Stores a pin. An earlier one of the same backup is replaced.
    pub async fn store_pin(&self, pin: &Pin) -> Result<()> {
        self.store_sealed(&Pin::object_name(pin.key), FORMAT, pin).await
    }

    /// Reads the pins of the backups in `inventory`.
    ///
    /// # Errors
    ///
    /// Those of the storage.
    pub async fn pins(&self, inventory: &Inventory) -> Result<Pins> {
        let is_pin = |name: &ObjectName| matches!(name, ObjectName::Backup { part: BackupPart::Pin, .. });
        let pinned = inventory
            .backups
            .iter()
            .filter(|backup| backup.objects.iter().any(|object| is_pin(&object.name)));
        let reads: Vec<_> = pinned.map(|backup| async { (backup.key, self.pin(backup.key).await) }).collect();
        let mut results = stream::iter(reads).buffer_unordered(CONCURRENT_READS);
        let mut pins = Pins::default();
        while let Some((key, result)) = results.next().await {
            match result {
                Ok(Some(pin)) => {
                    pins.readable.insert(key, pin);
                }
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::Failed => return Err(error),
                Err(error) => {
                    pins.unreadable.insert(key, error.in_full());
                }
            }
        }
        Ok(pins)
    }

    /// Whether a backup must be kept at the storage's time `now`, as [`Pins::keep`], according to a request.
    ///
    /// # Errors
    ///
    /// Those of the storage.
    pub(crate) async fn is_pinned(&self, key: BackupKey, now: Timestamp) -> Result<bool> {
        match self.pin(key).await {
            Ok(pin) => Ok(pin.is_some_and(|pin| !pin.has_expired(now))),
            Err(error) if error.kind() == ErrorKind::Failed => Err(error),
            Err(_) => Ok(true),
        }
    }

    /// Reads a pin. None if it was deleted since it was listed.
    async fn pin(&self, key: BackupKey) -> Result<Option<Pin>> {
        let name = Pin::object_name(key);
        let pin: Option<Pin> = self.read_sealed(&name, FORMAT).await?;
        if let Some(other) = pin.as_ref().filter(|pin| pin.key != key) {
            let reason = format!("it is the pin of backup {}", other.key);
            return Err(Error::Foreign { object: name.to_string(), reason });
        }
        Ok(pin)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::{PutMode, memory::InMemory};

    use super::*;
    use crate::{local::clock::SystemClock, storage::Storage};

    const NAMES: [&str; 2] = ["pg_basebackup_20130828T1810Z.json", "pg_basebackup_20130829T1810Z.json"];

    async fn repository() -> Repository {
        let repository =
            Repository::new(Storage::new(Arc::new(InMemory::new())), "a test", Arc::new(SystemClock));
        for name in NAMES {
            repository.put(&ObjectName::parse(name), "{}".into(), PutMode::Overwrite).await.unwrap();
        }
        repository
    }

    async fn pins(repository: &Repository) -> Pins {
        repository.pins(&repository.inventory().await.unwrap()).await.unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[tokio::test]
    async fn a_pinned_backup_is_kept_until_its_pin_expires() {
        let repository = repository().await;
        let key = "20130828T1810Z".parse().unwrap();
        assert!(!pins(&repository).await.keep(key, at(0)));
        let pin = Pin::new(key, at(50), Some(at(100)), Some("before the migration".to_owned()));
        repository.store_pin(&pin).await.unwrap();
        let pins = pins(&repository).await;
        assert_eq!(pins.get(key), Some(&pin));
        assert!(pins.keep(key, at(99)) && !pins.keep(key, at(100)));
        assert!(!pins.keep("20130829T1810Z".parse().unwrap(), at(0)));
    }

    #[tokio::test]
    async fn a_backup_with_a_pin_that_cannot_be_read_is_kept() {
        let repository = repository().await;
        let (key, other) = ("20130828T1810Z".parse().unwrap(), "20130829T1810Z".parse().unwrap());
        repository.store_pin(&Pin::new(other, at(0), None, None)).await.unwrap();
        let copied = repository.read(&Pin::object_name(other)).await.unwrap().unwrap();
        for content in [copied, r#"{"format":7}"#.into(), "".into()] {
            repository.put(&Pin::object_name(key), content.into(), PutMode::Overwrite).await.unwrap();
            let pins = pins(&repository).await;
            assert!(pins.keep(key, at(0)));
            assert!(pins.notices()[0].contains("20130828T1810Z is kept"), "{:?}", pins.notices());
        }
    }
}
