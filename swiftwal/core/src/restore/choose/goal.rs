//! The goal of a recovery, and whether it can be reached from a backup.

use std::fmt;

use swiftwal_postgres::{Timeline, TimelineHistory};

use crate::{
    error::{Error, Refusal, Result},
    repository::{
        backup::ChosenBackup,
        record::BackupRecord,
        timelines::{Position, Timelines},
    },
    restore::{RecoveryTarget, RestoreOptions, TargetTimeline, recovery},
};

/// The goal of a recovery, in a repository with these timelines.
#[derive(Debug)]
pub(super) struct Goal<'a> {
    pub(super) options: &'a RestoreOptions,
    pub(super) timelines: &'a Timelines,
}

impl Goal<'_> {
    /// Whether recovery goes to the end of the WAL.
    pub(super) fn is_end(&self) -> bool {
        self.options.target.is_none() && self.options.target_timeline.is_none()
    }

    /// Whether no timeline was chosen; `latest` doesn't choose one either.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.options.target_timeline, None | Some(TargetTimeline::Latest))
    }

    /// Returns why recovery from a backup can't stop at the target: the backup ended after it.
    pub(super) fn is_too_late(&self, backup: &ChosenBackup) -> Option<String> {
        let record = backup.record.as_ref()?;
        let early = |end: &dyn fmt::Display, target: &dyn fmt::Display| {
            Some(format!("it ended at {end}, and the target is {target}; an earlier one is needed"))
        };
        match &self.options.target {
            Some(RecoveryTarget::Time(time)) if *time < record.finished => early(&record.finished, time),
            Some(RecoveryTarget::Lsn(lsn)) if *lsn < record.stop_lsn => early(&record.stop_lsn, lsn),
            _ => None,
        }
    }

    /// Returns the timeline that PostgreSQL follows from a backup; none if that isn't known.
    pub(super) fn followed_from(&self, backup: &ChosenBackup) -> Option<Timeline> {
        let own = self.timelines.position_of(backup.key)?.timeline;
        match self.options.target_timeline {
            Some(TargetTimeline::Id(timeline)) => Some(timeline),
            Some(TargetTimeline::Current) => Some(own),
            Some(TargetTimeline::Latest) => Some(self.timelines.histories.newest_from(own)),
            None => Some(match stays_on_its_own(backup.record.as_ref()?) {
                true => own,
                false => self.timelines.histories.newest_from(own),
            }),
        }
    }

    /// Returns the way of recovery from a backup.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] if the history of the timeline to follow is damaged.
    pub(super) fn way_from(&self, backup: &ChosenBackup) -> Result<Way> {
        let (Some(followed), Some(position)) =
            (self.followed_from(backup), self.timelines.position_of(backup.key))
        else {
            return Ok(Way::Unknown);
        };
        let past = self.timelines.histories.past_of(followed)?;
        let leads_there = past.contains(position.timeline, position.last);
        Ok(if leads_there { Way::Along(past) } else { Way::Blocked { followed, position } })
    }

    /// Returns the timeline for the settings. PostgreSQL refuses the number of a timeline without a history, except the
    /// first one; but it can stay on the backup's own timeline.
    pub(super) fn setting(&self) -> Option<TargetTimeline> {
        match self.options.target_timeline {
            Some(TargetTimeline::Id(timeline))
                if timeline != Timeline::FIRST && !self.timelines.histories.has(timeline) =>
            {
                Some(TargetTimeline::Current)
            }
            asked => asked,
        }
    }

    /// Refuses an unknown timeline.
    pub(super) fn check_timeline(&self, location: &str) -> Result<()> {
        let Some(TargetTimeline::Id(timeline)) = self.options.target_timeline else { return Ok(()) };
        let mut positions = self.timelines.backups.iter().filter_map(|backup| backup.position);
        let is_known = timeline == Timeline::FIRST
            || self.timelines.histories.has(timeline)
            || positions.any(|position| position.timeline == timeline);
        if is_known {
            return Ok(());
        }
        Err(Error::Refused(Refusal::timeline(
            timeline,
            format!("timeline {timeline} is not known: {:08X}.history is not in {location}", timeline.get()),
            "see timeline list",
        )))
    }
}

/// The way that recovery takes from a backup.
#[derive(Debug)]
pub(super) enum Way {
    /// It leads to the end of the timeline with this past.
    Along(TimelineHistory),
    /// The timeline to follow branched off before the backup's end.
    Blocked { followed: Timeline, position: Position },
    /// The backup's position, or its version of PostgreSQL, is unknown.
    Unknown,
}

/// Up to version 11, PostgreSQL stays on the backup's own timeline unless told otherwise.
fn stays_on_its_own(record: &BackupRecord) -> bool {
    recovery::major(&record.postgres_version).is_ok_and(|major| major < 12)
}
