//! Which backup is restored, and whether it can reach the target.

use std::{fmt, str::FromStr};

use swiftwal_postgres::{Lsn, Timeline, TimelineHistory, WalName};

use super::{Observe, RecoveryTarget, RestoreEvent, RestoreOptions, TargetTimeline, recovery};
use crate::{
    BackupKey, BackupKind, BackupRecord, Error, Inventory, ObjectName, ParseKeyError, Repository, Result,
    backup::needed_and_missing, history::history, legacy, whole::missing_object,
};

/// Which backup somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupChoice {
    /// The newest; with a target, the newest that can reach it.
    Latest,
    /// This one.
    Key(BackupKey),
}

impl FromStr for BackupChoice {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        if text.eq_ignore_ascii_case("latest") { Ok(Self::Latest) } else { text.parse().map(Self::Key) }
    }
}

impl fmt::Display for BackupChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::Key(key) => key.fmt(f),
        }
    }
}

/// A backup that exists.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ChosenBackup {
    /// Its name.
    pub key: BackupKey,
    /// Its commit record; none for a backup of SwiftWAL 0.2.2.
    pub record: Option<BackupRecord>,
}

impl ChosenBackup {
    /// The backup that was chosen, without regard to any target.
    pub(crate) async fn find(repository: &Repository, choice: BackupChoice) -> Result<Self> {
        // What a newer version stored may not be what it seems.
        repository.cluster().await?;
        match choice {
            BackupChoice::Key(key) => Self::by_key(repository, key).await,
            BackupChoice::Latest => {
                let inventory = repository.inventory().await?;
                for backup in inventory.backups.iter().rev() {
                    match Self::listed(repository, &inventory, backup.key).await {
                        Err(Error::Stranger { .. }) => {}
                        found => return found,
                    }
                }
                Err(Error::NoBackup { location: repository.location().to_owned() })
            }
        }
    }

    /// A backup that `inventory` shows.
    pub(crate) async fn listed(
        repository: &Repository,
        inventory: &Inventory,
        key: BackupKey,
    ) -> Result<Self> {
        let legacy = inventory.backups.iter().any(|backup| backup.key == key && backup.legacy);
        let record = if legacy { None } else { Some(repository.record(key).await?) };
        Ok(Self { key, record })
    }

    async fn by_key(repository: &Repository, key: BackupKey) -> Result<Self> {
        match repository.record(key).await {
            Ok(record) => Ok(Self { key, record: Some(record) }),
            Err(absent @ Error::UnknownBackup { .. }) => {
                let inventory = repository.inventory().await?;
                let is_legacy = inventory.backups.iter().any(|backup| backup.key == key && backup.legacy);
                if is_legacy { Ok(Self { key, record: None }) } else { Err(absent) }
            }
            Err(error) => Err(error),
        }
    }

    /// Refuses what this version can't restore by itself.
    ///
    /// # Errors
    /// [`Error::Refused`] for an incremental backup.
    pub(super) fn refuse_incremental(&self) -> Result<()> {
        let Some(BackupRecord { kind: BackupKind::Incremental, parent, .. }) = self.record else {
            return Ok(());
        };
        let parent = parent.map_or_else(String::new, |parent| format!(" (it builds on {parent})"));
        Err(Error::Refused(format!(
            "backup {} is incremental{parent}, and this version restores full backups only; use a newer swiftwal, or \
             restore a full backup by its key",
            self.key
        )))
    }

    /// Whether recovery from it can follow `history`, as far as the record tells.
    pub(crate) fn leads_to(&self, history: &TimelineHistory) -> bool {
        self.record.as_ref().is_none_or(|record| {
            // The end is exclusive: its last byte must lie on the way.
            history.contains(record.timeline, Lsn(record.stop_lsn.0.saturating_sub(1)))
        })
    }

    /// The object that holds the whole of a backup of SwiftWAL 0.2.2.
    pub(crate) fn legacy_object(&self) -> ObjectName {
        legacy::object(self.key)
    }
}

/// The backup to restore.
///
/// # Errors
/// [`Error::Refused`] where it can't reach the target: better now than after the copying.
pub(super) async fn choose(
    repository: &Repository,
    choice: BackupChoice,
    options: &RestoreOptions,
    observe: Observe<'_>,
) -> Result<ChosenBackup> {
    repository.cluster().await?;
    let inventory = repository.inventory().await?;
    let goal = Goal::new(repository, &inventory, options).await?;
    let BackupChoice::Key(key) = choice else {
        let chosen = newest_that_reaches(repository, &inventory, &goal, observe).await?;
        if let Some(RecoveryTarget::Name(_) | RecoveryTarget::Xid(_)) = options.target {
            observe(RestoreEvent::Notice(
                "nobody but PostgreSQL can tell whether this backup ended before the target; if recovery says that \
                 it ended before the target was reached, restore an earlier backup",
            ));
        }
        return Ok(chosen);
    };
    let chosen = ChosenBackup::by_key(repository, key).await?;
    match goal.obstacle_to(repository, &chosen).await? {
        None => Ok(chosen),
        Some(Obstacle { text, .. }) => {
            Err(Error::Refused(format!("backup {} can't be used: {text}", chosen.key)))
        }
    }
}

async fn newest_that_reaches(
    repository: &Repository,
    inventory: &Inventory,
    goal: &Goal<'_>,
    observe: Observe<'_>,
) -> Result<ChosenBackup> {
    let mut obstacle = None;
    for backup in inventory.backups.iter().rev() {
        let candidate = match ChosenBackup::listed(repository, inventory, backup.key).await {
            Ok(candidate) => candidate,
            Err(error @ Error::Stranger { .. }) => {
                observe(RestoreEvent::Notice(&error.to_string()));
                continue;
            }
            // With a target, an older backup does as well: it only takes longer.
            Err(error @ Error::Damaged { .. }) if goal.target.is_some() => {
                observe(RestoreEvent::Notice(&format!("passing over backup {}: {error}", backup.key)));
                obstacle = Some((backup.key, error.to_string()));
                continue;
            }
            Err(error) => return Err(naming_an_older(error, inventory, backup.key)),
        };
        let obstacle_to = match goal.obstacle_to(repository, &candidate).await? {
            None => lost_tar(repository, inventory, &candidate).await?,
            found => found,
        };
        match obstacle_to {
            None => return Ok(candidate),
            Some(Obstacle { text, is_surprising }) => {
                if is_surprising {
                    observe(RestoreEvent::Notice(&format!("passing over backup {}: {text}", candidate.key)));
                }
                obstacle = Some((candidate.key, text));
            }
        }
    }
    match obstacle {
        None => Err(Error::NoBackup { location: repository.location().to_owned() }),
        Some((oldest, reason)) => Err(Error::Refused(format!(
            "no backup in {} can {}; of the oldest, {oldest}: {reason}",
            repository.location(),
            if goal.is_end() { "be restored" } else { "reach that" }
        ))),
    }
}

/// What of its data isn't there with its size.
async fn lost_tar(
    repository: &Repository,
    inventory: &Inventory,
    candidate: &ChosenBackup,
) -> Result<Option<Obstacle>> {
    let Some(record) = &candidate.record else { return Ok(None) };
    let lost = missing_object(repository, inventory, record, |object| object.tar_bytes.is_some()).await?;
    Ok(lost.map(|object| Obstacle {
        text: format!(
            "{} isn't in {} with its {} bytes; look at what happened to it, and take a new backup",
            object.name,
            repository.location(),
            object.bytes
        ),
        is_surprising: true,
    }))
}

/// The same error, with the way out that there is.
fn naming_an_older(error: Error, inventory: &Inventory, key: BackupKey) -> Error {
    let older = inventory.backups.iter().rev().find(|backup| backup.key < key);
    match (error, older) {
        (Error::Damaged { object, reason }, Some(older)) => {
            Error::damaged(object, format!("{reason}; the one before it can be restored as {}", older.key))
        }
        (error, _) => error,
    }
}

/// Where recovery is to go.
struct Goal<'a> {
    target: Option<&'a RecoveryTarget>,
    /// The past of the timeline to be followed; none for that of the backup itself.
    history: Option<TimelineHistory>,
    /// Whether nobody chose that timeline, but PostgreSQL 12 and later would.
    is_default: bool,
}

/// Why a backup doesn't lead to the goal.
struct Obstacle {
    text: String,
    /// Whether the administrator should hear of it even where another backup serves.
    is_surprising: bool,
}

impl<'a> Goal<'a> {
    async fn new(
        repository: &Repository,
        inventory: &Inventory,
        options: &'a RestoreOptions,
    ) -> Result<Self> {
        let timeline = match options.target_timeline {
            Some(TargetTimeline::Current) => None,
            Some(TargetTimeline::Id(timeline)) => Some(timeline),
            Some(TargetTimeline::Latest) | None => latest_timeline(inventory),
        };
        let history = match timeline {
            Some(timeline) => Some(known_history(repository, timeline).await?),
            None => None,
        };
        Ok(Self { target: options.target.as_ref(), history, is_default: options.target_timeline.is_none() })
    }

    /// Whether recovery just goes to the end of what there is.
    fn is_end(&self) -> bool {
        self.target.is_none() && self.is_default
    }

    /// Why recovery from `chosen` can't get there; none if it can, as far as anybody can know.
    async fn obstacle_to(&self, repository: &Repository, chosen: &ChosenBackup) -> Result<Option<Obstacle>> {
        if let Some(obstacle) = self.obstacle(chosen) {
            return Ok(Some(obstacle));
        }
        let Some(record) = &chosen.record else { return Ok(None) };
        let missing = needed_and_missing(repository, record).await?;
        Ok(missing.map(|segment| Obstacle {
            text: format!(
                "it can't become consistent without WAL segment {segment}, which is not in {}; if you have that file \
                 elsewhere, store it with archive-wal",
                repository.location()
            ),
            is_surprising: true,
        }))
    }

    /// What the record tells of that.
    fn obstacle(&self, chosen: &ChosenBackup) -> Option<Obstacle> {
        let record = chosen.record.as_ref()?;
        let early = |end: &dyn fmt::Display, target: &dyn fmt::Display| {
            let text = format!("it ended at {end}, and the target is {target}; an earlier one is needed");
            Some(Obstacle { text, is_surprising: false })
        };
        match self.target {
            Some(RecoveryTarget::Time(time)) if *time < record.finished => {
                return early(&record.finished, time);
            }
            Some(RecoveryTarget::Lsn(lsn)) if *lsn < record.stop_lsn => return early(&record.stop_lsn, lsn),
            _ => {}
        }
        let history = self.history.as_ref()?;
        // Up to 11, PostgreSQL stays on the backup's own timeline unless told otherwise.
        let stays =
            self.is_default && recovery::major(&record.postgres_version).is_ok_and(|major| major < 12);
        if stays || chosen.leads_to(history) {
            return None;
        }
        let text = format!(
            "it was taken on timeline {} after timeline {} branched off; --target-timeline current stays on its own",
            record.timeline,
            history.timeline()
        );
        Some(Obstacle { text, is_surprising: true })
    }
}

async fn known_history(repository: &Repository, timeline: Timeline) -> Result<TimelineHistory> {
    history(repository, timeline).await.map_err(|error| match error {
        Error::WalAbsent { name, location } => Error::Refused(format!(
            "timeline {timeline} is not known: {name} is not in {location}; list-wal shows the histories there are"
        )),
        error => error,
    })
}

/// The newest timeline whose history is stored; none while there is but the first.
fn latest_timeline(inventory: &Inventory) -> Option<Timeline> {
    let histories = inventory.wal.iter().filter_map(|wal| match wal.name {
        WalName::History(timeline) => Some(timeline),
        _ => None,
    });
    histories.max()
}
