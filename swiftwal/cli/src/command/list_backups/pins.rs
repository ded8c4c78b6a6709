//! The pins in a list of backups.

use jiff::Timestamp;
use serde::Serialize;
use swiftwal_core::{BackupKey, Error, Inventory, Pin, Pins, Repository};

/// The pin of a backup in `--json`.
#[derive(Serialize)]
pub(super) struct PinEntry<'a> {
    #[serde(flatten)]
    pin: &'a Pin,
    expired: bool,
}

impl PinEntry<'_> {
    pub(super) fn notice(&self) -> String {
        let Pin { key, until, reason, .. } = self.pin;
        let until = until.map(|until| until.to_string());
        let reason = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        match (self.expired, until) {
            (true, until) => {
                format!("the pin of backup {key}{reason} expired on {}", until.unwrap_or_default())
            }
            (false, Some(until)) => format!("backup {key} is pinned until {until}{reason}"),
            (false, None) => format!("backup {key} is pinned{reason}"),
        }
    }
}

/// The pins, and the storage's time, from which it follows which ones have expired.
#[derive(Default)]
pub(super) struct PinsNow {
    pins: Pins,
    now: Timestamp,
}

impl PinsNow {
    /// Reads the pins.
    pub(super) async fn read(repository: &Repository, inventory: &Inventory) -> Result<Self, Error> {
        let pins = repository.pins(inventory).await?;
        // To ask for the time may cost a request that writes.
        let now = if pins.is_empty() { Timestamp::MIN } else { repository.time(inventory).await };
        Ok(Self { pins, now })
    }

    /// Returns notices about the pins that can't be read.
    pub(super) fn notices(&self) -> Vec<String> {
        self.pins.notices()
    }

    pub(super) fn entry(&self, key: BackupKey) -> Option<PinEntry<'_>> {
        let pin = self.pins.get(key)?;
        Some(PinEntry { pin, expired: pin.has_expired(self.now) })
    }
}
