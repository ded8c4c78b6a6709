//! Chooses the backup to restore and the timeline that recovery follows, and checks that the target can be reached.

mod goal;
mod question;

use swiftwal_postgres::Timeline;

use self::{
    goal::{Goal, Way},
    question::Doubt,
};
use super::{Observe, RecoveryTarget, RestoreEvent, RestoreOptions, TargetTimeline};
use crate::{
    error::{Error, Refusal, Result},
    repository::{
        Repository,
        backup::ChosenBackup,
        chain,
        choice::BackupChoice,
        completeness::{missing_object, needed_and_missing},
        key::BackupKey,
        record::BackupRecord,
        timelines::{Branch, Content, ListedBackup, Position, Timelines},
    },
};

/// The chosen backup and timeline.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) backup: ChosenBackup,
    /// The backups that it builds on, the newest first.
    pub(super) parents: Vec<BackupRecord>,
    /// The timeline for the recovery settings.
    pub(super) target_timeline: Option<TargetTimeline>,
    /// The timeline to follow. None if that depends on the version of PostgreSQL.
    pub(super) followed: Option<Branch>,
    /// The ends of the timelines that aren't followed.
    pub(super) others: Vec<Branch>,
}

/// Chooses the backup to restore and the timeline to follow, before anything is copied.
///
/// # Errors
///
/// [`Error::Refused`] if the target can't be reached, or if only a person can decide which timeline contains the newest
/// data.
pub(super) async fn choose(
    repository: &Repository,
    choice: BackupChoice,
    options: &RestoreOptions,
    observe: Observe<'_>,
) -> Result<Choice> {
    repository.cluster().await?;
    match choice {
        BackupChoice::Latest => choose_latest(repository, options, observe).await,
        BackupChoice::Key(key) => choose_by_key(repository, key, options, observe).await,
    }
}

async fn choose_latest(
    repository: &Repository,
    options: &RestoreOptions,
    observe: Observe<'_>,
) -> Result<Choice> {
    let inventory = repository.inventory().await?;
    let mut timelines = Timelines::survey(repository, &inventory).await?;
    look_for_asked(repository, &mut timelines, options).await?;
    let goal = Goal { options, timelines: &timelines };
    goal.check_timeline(repository.location())?;
    let (backup, parents, way) = newest_that_reaches(repository, &goal, observe).await?;
    if let Some(RecoveryTarget::Name(_) | RecoveryTarget::Xid(_)) = options.target {
        observe(RestoreEvent::Notice(
            "swiftwal can't tell whether this backup ended before the target; if recovery says that it ended before the \
             target was reached, restore an earlier backup",
        ));
    }
    goal.settle((backup, parents), BackupChoice::Latest, way)
}

async fn choose_by_key(
    repository: &Repository,
    key: BackupKey,
    options: &RestoreOptions,
    observe: Observe<'_>,
) -> Result<Choice> {
    let backup = ChosenBackup::by_key(repository, key).await?;
    let mut timelines = survey_or_look_beyond(repository, &backup, observe).await?;
    look_for_asked(repository, &mut timelines, options).await?;
    let goal = Goal { options, timelines: &timelines };
    goal.check_timeline(repository.location())?;
    let unusable = |reason| Error::Refused(Refusal::Unsuitable { key: key.to_string(), reason });
    let incomplete = |reason| Error::Refused(Refusal::Incomplete { key: key.to_string(), reason });
    if let Some(text) = goal.is_too_late(&backup) {
        return Err(unusable(text));
    }
    let choice = BackupChoice::Key(key);
    let way = match goal.way_from(&backup)? {
        Way::Blocked { followed, position } if goal.is_open() => {
            return Err(goal.question(&Doubt::NotOnTheWay { key, position, followed }, choice));
        }
        Way::Blocked { followed, position } => return Err(unusable(blocked(followed, position))),
        way => way,
    };
    if let Some(text) = missing_wal(repository, &backup).await? {
        return Err(incomplete(text));
    }
    let parents = match chain::parents(repository, &backup).await? {
        Ok(parents) => parents,
        Err(text) => return Err(incomplete(text + &instead(repository, &timelines, key).await?)),
    };
    goal.settle((backup, parents), choice, way)
}

/// Reads everything about the timelines or, if the repository can't be listed, what can be requested by name.
async fn survey_or_look_beyond(
    repository: &Repository,
    backup: &ChosenBackup,
    observe: Observe<'_>,
) -> Result<Timelines> {
    let surveyed = async {
        let inventory = repository.inventory().await?;
        Timelines::survey(repository, &inventory).await
    };
    match surveyed.await {
        Ok(timelines) => Ok(timelines.with(backup)),
        Err(error) => {
            observe(RestoreEvent::Notice(&format!(
                "it isn't known whether there is newer data on another timeline: {}",
                error.in_full()
            )));
            Timelines::beyond(repository, backup).await
        }
    }
}

/// Requests the history of the chosen timeline, since a listing may not show it yet.
async fn look_for_asked(
    repository: &Repository,
    timelines: &mut Timelines,
    options: &RestoreOptions,
) -> Result<()> {
    match options.target_timeline {
        Some(TargetTimeline::Id(timeline)) => timelines.histories.look_for(repository, timeline).await,
        _ => Ok(()),
    }
}

impl Goal<'_> {
    /// Decides which timeline recovery follows, unless a person has to decide that.
    fn settle(
        &self,
        (backup, parents): (ChosenBackup, Vec<BackupRecord>),
        choice: BackupChoice,
        way: Way,
    ) -> Result<Choice> {
        let followed = match way {
            Way::Along(past) => {
                if let Some(doubt) = self.doubt(&backup, choice, &past) {
                    return Err(self.question(&doubt, choice));
                }
                Some(self.timelines.branch(past.timeline()))
            }
            Way::Blocked { .. } | Way::Unknown => None,
        };
        let tips = self.timelines.tips().into_iter().map(|tip| self.timelines.branch(tip));
        let others: Vec<_> = tips
            .filter(|tip| followed.as_ref().is_none_or(|followed| followed.timeline != tip.timeline))
            .collect();
        Ok(Choice { backup, parents, target_timeline: self.setting(), followed, others })
    }
}

/// Returns the newest backup from which recovery can reach the goal, those it builds on, and its way there.
async fn newest_that_reaches(
    repository: &Repository,
    goal: &Goal<'_>,
    observe: Observe<'_>,
) -> Result<(ChosenBackup, Vec<BackupRecord>, Way)> {
    let mut obstacle = None;
    for listed in goal.timelines.backups.iter().rev() {
        let key = listed.key;
        let backup = match &listed.content {
            Content::Backup(backup) => backup,
            Content::NoBackup(reason) => {
                observe(RestoreEvent::Notice(reason));
                continue;
            }
            // With a target, an older backup will do: recovery from it only takes longer.
            Content::Unreadable(error) if goal.options.target.is_some() => {
                let text = error.in_full();
                observe(RestoreEvent::Notice(&format!("skipping backup {key}: {text}")));
                obstacle = Some((key, text));
                continue;
            }
            Content::Unreadable(_) => {
                let error = repository.record(key).await.err();
                return Err(error.map_or_else(
                    || {
                        let what = format!("backup {key} couldn't be read a moment ago");
                        Refusal::overtaken(what, "try again").into()
                    },
                    |error| naming_an_older(error, goal.timelines, key),
                ));
            }
        };
        if let Some(text) = goal.is_too_late(backup) {
            obstacle = Some((key, text));
            continue;
        }
        let way = match goal.way_from(backup)? {
            Way::Blocked { followed, position } if goal.is_open() => {
                let doubt = Doubt::NotOnTheWay { key, position, followed };
                return Err(goal.question(&doubt, BackupChoice::Latest));
            }
            Way::Blocked { followed, position } => {
                obstacle = Some((key, blocked(followed, position)));
                continue;
            }
            way => way,
        };
        let incomplete = match missing_wal(repository, backup).await? {
            None => incomplete_tar(repository, backup).await?,
            lost => lost,
        };
        let parents = match incomplete {
            None => chain::parents(repository, backup).await?,
            Some(text) => Err(text),
        };
        let text = match parents {
            Ok(parents) => return Ok((backup.clone(), parents, way)),
            Err(text) => text,
        };
        observe(RestoreEvent::Notice(&format!("skipping backup {key}: {text}")));
        obstacle = Some((key, text));
    }
    match obstacle {
        None => Err(Error::NoBackup { location: repository.location().to_owned() }),
        Some((oldest, reason)) => Err(Error::Refused(Refusal::OutOfReach {
            location: repository.location().to_owned(),
            goal: if goal.is_end() { "be restored" } else { "reach that" },
            oldest: oldest.to_string(),
            reason,
        })),
    }
}

fn blocked(followed: Timeline, position: Position) -> String {
    format!("it was taken on timeline {} after timeline {followed} branched off", position.timeline)
}

/// Describes the missing WAL that the backup needs to become consistent, if there is any.
async fn missing_wal(repository: &Repository, backup: &ChosenBackup) -> Result<Option<String>> {
    let Some(record) = &backup.record else { return Ok(None) };
    let missing = needed_and_missing(repository, record).await?;
    Ok(missing.map(|segment| {
        format!(
            "it can't become consistent without WAL segment {segment}, which is not in {}; if you have that file \
             elsewhere, store it with archive-wal",
            repository.location()
        )
    }))
}

/// Describes the first tar of the backup that is missing or has another size, if there is any.
async fn incomplete_tar(repository: &Repository, backup: &ChosenBackup) -> Result<Option<String>> {
    let Some(record) = &backup.record else { return Ok(None) };
    let incomplete = missing_object(repository, record, |object| object.tar_bytes.is_some()).await?;
    Ok(incomplete.map(|object| {
        format!(
            "{} is missing in {}, or doesn't have its {} bytes; find out what happened to it, and take a new backup",
            object.name,
            repository.location(),
            object.bytes
        )
    }))
}

/// Names the newest other backup that is complete, for a user who can't restore backup `key`.
async fn instead(repository: &Repository, timelines: &Timelines, key: BackupKey) -> Result<String> {
    let others = timelines.backups.iter().rev().filter(|listed| listed.key != key);
    for other in others.filter_map(ListedBackup::backup) {
        let is_complete = incomplete_tar(repository, other).await?.is_none();
        if is_complete && chain::parents(repository, other).await?.is_ok() {
            return Ok(format!("; restore backup {} instead", other.key));
        }
    }
    Ok("; there is no other backup that is complete".to_owned())
}

/// Returns the error with the key of an older backup that can be restored instead, if there is one.
fn naming_an_older(error: Error, timelines: &Timelines, key: BackupKey) -> Error {
    let backups = timelines.backups.iter().rev();
    let mut older = backups.skip_while(|backup| backup.key != key).filter(|backup| backup.backup().is_some());
    match (error, older.next()) {
        (Error::Damaged { object, reason }, Some(older)) => {
            Error::damaged(object, format!("{reason}; try the backup before it: {}", older.key))
        }
        (error, _) => error,
    }
}
