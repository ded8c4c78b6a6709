//! Which WAL the stored backups need, for prune and archive-cleanup.

use std::collections::BTreeSet;

use jiff::Timestamp;
use swiftwal_postgres::{Lsn, SegmentName, WalName};

use crate::{
    error::{Error, ErrorKind, Refusal, Result},
    repository::{
        Repository,
        backup::ChosenBackup,
        history::Histories,
        inventory::Inventory,
        key::BackupKey,
        label::label_of,
        layout::ObjectName,
        running::{RunningBackup, in_progress},
        timelines::{Content, read_all},
    },
};

/// The WAL that recovery from some backups can need.
#[derive(Clone, Debug)]
pub(crate) struct Needs {
    starts: Vec<Start>,
    histories: Histories,
    /// All WAL may be needed.
    everything: bool,
    /// A backup is starting, and it isn't known yet which WAL it needs.
    is_starting: bool,
    /// Backups of SwiftWAL 0.2.2 that need no WAL, since they can't be restored.
    broken: Vec<(BackupKey, String)>,
    /// Why some of the listed backups don't count as backups.
    no_backups: Vec<String>,
}

/// Where recovery from a backup begins.
#[derive(Clone, Copy, Debug)]
struct Start {
    segment: SegmentName,
    lsn: Lsn,
    /// The segment in which recovery ends, if it need not go beyond the end of the backup.
    last: Option<SegmentName>,
}

impl Needs {
    /// Returns the needs of `backups`, and of those that are `running`. Of those in `only_themselves`, recovery needs only
    /// the WAL that makes them consistent. A backup of SwiftWAL 0.2.2 is running if it was
    /// touched later than `before`.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if there are backups, but it is unknown of each of them which WAL it needs.
    pub(crate) async fn of(
        repository: &Repository,
        inventory: &Inventory,
        histories: Histories,
        backups: impl Iterator<Item = &ChosenBackup> + Send,
        only_themselves: &BTreeSet<BackupKey>,
        running: &[RunningBackup],
        before: Timestamp,
    ) -> Result<Self> {
        let (mut starts, mut broken) = (Vec::new(), Vec::new());
        for backup in backups {
            match start(repository, backup, only_themselves.contains(&backup.key)).await {
                Ok(start) => starts.push(start),
                Err(error)
                    if error.kind() == ErrorKind::Damaged && is_without_label(inventory, backup.key) =>
                {
                    broken.push((backup.key, error.in_full()));
                }
                Err(error) => return Err(error),
            }
        }
        if let (true, Some((key, reason))) = (starts.is_empty(), broken.first()) {
            return Err(nothing_is_known(*key, reason));
        }
        let in_progress = || running.iter().map(|running| running.start);
        let is_starting =
            in_progress().any(|start| start.is_none()) || inventory.has_live_legacy_upload(before);
        starts.extend(in_progress().flatten().map(|(segment, lsn)| Start { segment, lsn, last: None }));
        Ok(Self { starts, histories, everything: is_starting, is_starting, broken, no_backups: Vec::new() })
    }

    /// All WAL, for a repository without a backup that shows what it needs.
    pub(crate) fn everything() -> Self {
        Self {
            starts: Vec::new(),
            histories: Histories::default(),
            everything: true,
            is_starting: false,
            broken: Vec::new(),
            no_backups: Vec::new(),
        }
    }

    /// Returns the needs of every backup in the inventory, and of those in progress, which were touched later than `before`.
    pub(crate) async fn of_all(
        repository: &Repository,
        inventory: &Inventory,
        before: Timestamp,
    ) -> Result<Self> {
        let (mut backups, mut no_backups) = (Vec::new(), Vec::new());
        for listed in read_all(repository, inventory).await? {
            match listed.content {
                Content::Backup(backup) => backups.push(backup),
                Content::NoBackup(reason) => no_backups.push(reason),
                Content::Unreadable(error) => return Err(error),
            }
        }
        let histories = Histories::listed(repository, inventory).await?;
        histories.all_readable()?;
        let running = in_progress(repository, &inventory.markers, before).await?;
        let needs =
            Self::of(repository, inventory, histories, backups.iter(), &BTreeSet::new(), &running, before)
                .await?;
        Ok(Self { no_backups, ..needs })
    }

    /// Whether `name` may be needed. Histories always are.
    pub(crate) fn includes(&self, name: WalName) -> bool {
        let Some(segment) = name.segment() else { return true };
        self.everything || self.starts.iter().any(|start| self.leads_to(*start, segment))
    }

    /// Whether recovery from `start` may read `segment`: it is behind the start, on the same timeline or on one that
    /// branched off later. A higher timeline whose history is missing counts as such a one.
    fn leads_to(&self, start: Start, segment: SegmentName) -> bool {
        if let Some(last) = start.last {
            let needed = start.segment.position()..=last.position();
            return segment.timeline() == last.timeline() && needed.contains(&segment.position());
        }
        let descends = || match self.histories.get(segment.timeline()) {
            Some(history) => history.contains(start.segment.timeline(), start.lsn),
            None => segment.timeline() > start.segment.timeline(),
        };
        segment.position() >= start.segment.position()
            && (segment.timeline() == start.segment.timeline() || descends())
    }

    /// Returns notices for the administrator.
    pub(crate) fn notices(&self) -> Vec<String> {
        let notice = "a backup is starting, or crashed while starting, so it isn't known which WAL it needs; no WAL is \
                      removed this time (see the markers in ...uploading/; prune removes an abandoned one after 24 hours)";
        let broken = self.broken.iter().map(|(key, reason)| {
            format!(
                "backup {key} can't be restored, so no WAL is kept for it: {reason}. Its objects are kept; delete {}, if \
                 SwiftWAL 0.2.2 reported at the time that the backup had failed",
                ObjectName::legacy_backup(*key)
            )
        });
        let known = broken.chain(self.no_backups.iter().cloned()).chain(self.histories.notices());
        known.chain(self.is_starting.then(|| notice.to_owned())).collect()
    }
}

/// The error if only damaged backups of SwiftWAL 0.2.2 exist. A lagging listing may make a good one look so, and that
/// is no reason to delete WAL.
fn nothing_is_known(key: BackupKey, reason: &str) -> Error {
    let object = ObjectName::legacy_backup(key).to_string();
    Refusal::NeedsUnknown { key: key.to_string(), reason: reason.to_owned(), object }.into()
}

async fn start(repository: &Repository, backup: &ChosenBackup, only_itself: bool) -> Result<Start> {
    if let Some(record) = &backup.record {
        let last = only_itself.then_some(record.last_wal);
        return Ok(Start { segment: record.first_wal, lsn: record.start_lsn, last });
    }
    let label = label_of(repository, backup).await?;
    Ok(Start { segment: label.start_segment(), lsn: label.start_lsn(), last: None })
}

/// Whether it is a backup of SwiftWAL 0.2.2 without a label, so that pg_basebackup may have failed.
fn is_without_label(inventory: &Inventory, key: BackupKey) -> bool {
    inventory.backups.iter().any(|backup| backup.key == key && backup.legacy && !backup.has_label())
}
