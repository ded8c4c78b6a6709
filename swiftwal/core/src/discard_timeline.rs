//! discard_timeline: removes a timeline that was a mistake, such as that of a copy that was started for a test and
//! archived.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;
use swiftwal_postgres::{Timeline, WalName};

use crate::{
    error::{Error, Refusal, Result},
    repository::{
        Repository,
        clocks::Liveness,
        inventory::{Inventory, StoredWal},
        record::BackupRecord,
        running::{Considered, RunningBackup, in_progress},
        timelines::{Branch, Content, ListedBackup, Timelines},
        wal_removal::WalRemoval,
    },
};

/// What discarding a timeline removes.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct DiscardPlan {
    /// The timeline.
    pub branch: Branch,
    /// The WAL files to remove, in the order of their names.
    pub remove: Vec<StoredWal>,
    /// The history to remove after them, in each stored compression; none if it is kept.
    pub remove_history: Vec<StoredWal>,
    /// Notices for the administrator.
    pub notices: Vec<String>,
    /// The backups that the plan takes into account.
    #[serde(skip)]
    considered: Considered,
}

/// Plans what discarding `timeline` removes. It changes nothing.
///
/// # Errors
///
/// [`Error::Refused`] if a backup or another timeline needs it, or if that isn't known; [`Error::Damaged`] for a
/// damaged commit record or history.
pub async fn plan_discard(repository: &Repository, timeline: Timeline) -> Result<DiscardPlan> {
    repository.check_before_deleting().await?;
    let inventory = repository.inventory_with_every_record().await?;
    let mut timelines = Timelines::survey(repository, &inventory).await?;
    refuse_unknown(repository, &timelines, timeline)?;
    refuse_unreadable(&mut timelines, timeline)?;
    refuse_with_backups(&timelines, timeline)?;
    let Liveness { now, before, .. } = repository.liveness(&inventory).await;
    refuse_while_backing_up(repository, &inventory, timeline, before).await?;
    refuse_with_children(&timelines, timeline)?;
    let known = inventory.backups.iter().map(|backup| backup.key).collect();
    Ok(plan(&inventory, &timelines, timeline, Considered { known, now, before }))
}

/// Carries out the plan. The history is removed last: after an interruption, the timeline is still listed and can be
/// discarded again.
///
/// # Errors
///
/// [`Error::Refused`] if a backup was begun meanwhile that may need the timeline; those of the storage.
pub async fn discard_timeline(repository: &Repository, plan: &DiscardPlan) -> Result<()> {
    WalRemoval::of_timeline(plan.branch.timeline, &plan.remove, &plan.considered).run(repository).await?;
    let histories: Vec<_> = plan.remove_history.iter().map(StoredWal::object_name).collect();
    repository.delete_all(histories.into_iter()).await
}

fn plan(
    inventory: &Inventory,
    timelines: &Timelines,
    timeline: Timeline,
    considered: Considered,
) -> DiscardPlan {
    let of_it = inventory.wal.iter().copied().filter(|wal| wal.name.timeline() == timeline);
    let (mut remove_history, remove): (Vec<_>, Vec<_>) =
        of_it.partition(|wal| matches!(wal.name, WalName::History(_)));
    let mut notices: Vec<_> = timelines.histories.notices().collect();
    let newer = timelines.histories.newest_from(timeline);
    if newer > timeline && !remove_history.is_empty() {
        remove_history.clear();
        notices.push(format!(
            "{:08X}.history is kept: without it PostgreSQL wouldn't find timeline {newer}, since it looks for one history \
             after the other",
            timeline.get()
        ));
    }
    notices.extend(still_in_use(timelines, timeline));
    DiscardPlan { branch: timelines.branch(timeline), remove, remove_history, notices, considered }
}

/// Warns of a timeline on which a server may still be writing.
fn still_in_use(timelines: &Timelines, timeline: Timeline) -> Option<String> {
    let newest = timelines.segments.iter().max_by_key(|segment| segment.stored)?;
    (newest.name.timeline() == timeline).then(|| {
        format!(
            "the newest WAL in the repository, {} at {}, is on timeline {timeline}: make sure that it isn't the \
             timeline of your production server, and that no server archives on it any more",
            newest.name, newest.stored
        )
    })
}

fn refuse_unknown(repository: &Repository, timelines: &Timelines, timeline: Timeline) -> Result<()> {
    let known = timelines.all();
    if !known.contains(&timeline) {
        let known: Vec<_> = known.iter().map(ToString::to_string).collect();
        return Err(Error::Refused(Refusal::timeline(
            timeline,
            format!("there is no timeline {timeline} in {}", repository.location()),
            format!("there are {}", known.join(", ")),
        )));
    }
    if known.len() == 1 {
        return Err(Error::Refused(Refusal::timeline(
            timeline,
            format!("timeline {timeline} is the only one in {}", repository.location()),
            "to give the repository up, delete its directory or container",
        )));
    }
    Ok(())
}

/// Refuses if a record or history is unreadable, since it may need the timeline. The timeline's own history doesn't
/// matter: timelines that branched off it have their own.
fn refuse_unreadable(timelines: &mut Timelines, timeline: Timeline) -> Result<()> {
    timelines.histories.all_readable_but(Some(timeline))?;
    let backups = std::mem::take(&mut timelines.backups);
    for backup in backups {
        match (backup.content, backup.position) {
            (Content::Unreadable(error), _) => return Err(error),
            (Content::Backup(_), None) => {
                return Err(Error::Refused(Refusal::Timeline {
                    timeline,
                    what: format!(
                        "backup {} doesn't show which timeline it was taken on: it has no label that can be read",
                        backup.key
                    ),
                    hint: None,
                }));
            }
            (content, position) => timelines.backups.push(ListedBackup { content, position, ..backup }),
        }
    }
    Ok(())
}

fn refuse_with_backups(timelines: &Timelines, timeline: Timeline) -> Result<()> {
    let is_on = |backup: &&ListedBackup| {
        backup.backup().is_some() && backup.position.is_some_and(|position| position.timeline == timeline)
    };
    let on: Vec<_> = timelines.backups.iter().filter(is_on).map(|backup| backup.key).collect();
    if on.is_empty() {
        return Ok(());
    }
    let keys: Vec<_> = on.iter().map(ToString::to_string).collect();
    let records: Vec<_> = on.iter().map(|key| BackupRecord::object_name(*key).to_string()).collect();
    Err(Error::Refused(Refusal::timeline(
        timeline,
        format!("timeline {timeline} is needed by the backups that were taken on it: {}", keys.join(", ")),
        format!(
            "if they are no longer needed, delete {}; the next prune removes the rest of them, and then the timeline can be \
             discarded",
            records.join(", ")
        ),
    )))
}

async fn refuse_while_backing_up(
    repository: &Repository,
    inventory: &Inventory,
    timeline: Timeline,
    before: Timestamp,
) -> Result<()> {
    let running = in_progress(repository, &inventory.markers, before).await?;
    let segments = inventory.wal.iter().filter_map(|wal| wal.name.segment());
    let last = segments.filter(|segment| segment.timeline() == timeline).max();
    let is_needed_by = |backup: &RunningBackup| {
        let starts_on_it = backup.start.is_none_or(|(first, _)| first.timeline() == timeline);
        starts_on_it || last.is_some_and(|last| backup.may_need(last))
    };
    if !running.iter().any(is_needed_by) && !inventory.has_live_legacy_upload(before) {
        return Ok(());
    }
    Err(Error::Refused(Refusal::timeline(
        timeline,
        format!(
            "a backup is in progress, or crashed less than 24 hours ago, and may need timeline {timeline}"
        ),
        "try again when it is done",
    )))
}

fn refuse_with_children(timelines: &Timelines, timeline: Timeline) -> Result<()> {
    let children: BTreeSet<_> = timelines.children(timeline).map(|history| history.timeline()).collect();
    if !children.is_empty() {
        let children: Vec<_> = children.iter().map(ToString::to_string).collect();
        return Err(Error::Refused(Refusal::timeline(
            timeline,
            format!(
                "timeline {timeline} is needed by another that branched off it: timeline {}",
                children.join(", ")
            ),
            "use prune to remove the WAL that no backup needs",
        )));
    }
    let is_orphan = |other: &Timeline| *other > timeline && !timelines.histories.has(*other);
    match timelines.all().into_iter().find(is_orphan) {
        Some(orphan) => Err(Error::Refused(Refusal::timeline(
            timeline,
            format!(
                "{:08X}.history is not stored, so timeline {orphan} may have branched off timeline {timeline} and need it",
                orphan.get()
            ),
            format!(
                "store that history with archive-wal from the pg_wal of a server that has it, or discard timeline {orphan} \
                 first"
            ),
        ))),
        None => Ok(()),
    }
}
