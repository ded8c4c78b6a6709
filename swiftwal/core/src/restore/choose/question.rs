//! The question which branch to restore, if only a person can decide.

use std::fmt::{self, Write};

use swiftwal_postgres::{Timeline, TimelineHistory};

use super::goal::Goal;
use crate::{
    error::{Error, Refusal},
    repository::{
        backup::ChosenBackup,
        choice::BackupChoice,
        key::BackupKey,
        timelines::{ListedBackup, Position, Segment},
    },
    restore::{RecoveryTarget, TargetTimeline},
};

/// The reason why the choice of a branch is in doubt.
#[derive(Debug)]
pub(super) enum Doubt {
    /// The newest backup, or the chosen one, isn't on the way to the timeline that PostgreSQL would follow.
    NotOnTheWay { key: BackupKey, position: Position, followed: Timeline },
    /// A later backup is on another branch.
    LaterBackup { key: BackupKey, beside: BackupKey, timeline: Timeline, followed: Timeline },
    /// WAL on another branch was stored later than the last WAL on this one, or at the same time if the timeline to
    /// follow has no WAL.
    LaterWal { beside: Segment, last: Option<Segment>, followed: Timeline },
}

impl Goal<'_> {
    /// Returns the reason to doubt that the newest data is on the way from `chosen` along `past`.
    pub(super) fn doubt(
        &self,
        chosen: &ChosenBackup,
        choice: BackupChoice,
        past: &TimelineHistory,
    ) -> Option<Doubt> {
        let is_asked_for =
            choice == BackupChoice::Latest && self.options.target_timeline == Some(TargetTimeline::Current);
        if !self.is_open() && !is_asked_for {
            return None;
        }
        let of_backup = self.later_backup(chosen, past);
        of_backup.or_else(|| self.is_open().then(|| self.later_wal(past)).flatten())
    }

    /// Returns a backup on another branch that was taken later than each on this one. With a target, only backups that
    /// can reach it count.
    fn later_backup(&self, chosen: &ChosenBackup, past: &TimelineHistory) -> Option<Doubt> {
        let is_on_the_way = |position: Position| past.contains(position.timeline, position.last);
        let reaches =
            |listed: &&ListedBackup| listed.backup().is_some_and(|backup| self.is_too_late(backup).is_none());
        let newest_where = |is_wanted: &dyn Fn(Position) -> bool| {
            let wanted = |listed: &&ListedBackup| listed.position.is_some_and(is_wanted);
            self.timelines.backups.iter().filter(reaches).filter(wanted).max_by_key(|listed| listed.key)
        };
        let on_the_way = newest_where(&is_on_the_way).map_or(chosen.key, |newest| newest.key);
        let beside = newest_where(&|position| !is_on_the_way(position))?;
        if beside.key < on_the_way.max(chosen.key) {
            return None;
        }
        Some(Doubt::LaterBackup {
            key: chosen.key,
            beside: beside.key,
            timeline: beside.position?.timeline,
            followed: past.timeline(),
        })
    }

    fn later_wal(&self, past: &TimelineHistory) -> Option<Doubt> {
        let (last, beside) = self.timelines.last_stored(past);
        let beside = beside?;
        // If the timeline to follow has no WAL of its own, WAL stored at the same time as the last before it is newer
        // data.
        let is_bare = self.timelines.is_bare(past.timeline());
        let is_later =
            last.is_none_or(|last| beside.stored > last.stored || (is_bare && beside.stored == last.stored));
        let may_matter = match &self.options.target {
            None | Some(RecoveryTarget::Xid(_) | RecoveryTarget::Name(_)) => true,
            Some(RecoveryTarget::Time(time)) => last.is_none_or(|last| *time > last.stored),
            Some(RecoveryTarget::Lsn(lsn)) => last.is_none_or(|last| *lsn >= self.timelines.end_of(last)),
            Some(RecoveryTarget::Immediate) => false,
        };
        (is_later && may_matter).then_some(Doubt::LaterWal { beside, last, followed: past.timeline() })
    }

    /// Returns the question, with every branch and the option that chooses it.
    pub(super) fn question(&self, doubt: &Doubt, choice: BackupChoice) -> Error {
        let mut text = format!("{doubt}. Nothing was restored: choose the timeline to follow");
        for tip in self.timelines.tips() {
            // Writing to a String can't fail.
            let _ = write!(text, "\n  {}\n      {}", self.timelines.branch(tip), self.option(tip, choice));
        }
        Refusal::Undecided { question: text }.into()
    }

    /// Returns the option that restores the end of `tip`.
    fn option(&self, tip: Timeline, choice: BackupChoice) -> String {
        let leads = |listed: &ListedBackup| {
            listed.position.is_some_and(|position| self.timelines.leads_to(position, tip))
        };
        if let BackupChoice::Key(key) = choice
            && self.timelines.backups.iter().any(|listed| listed.key == key && leads(listed))
        {
            return format!("to follow it: restore {key} --target-timeline {tip}");
        }
        let reaches = |listed: &&ListedBackup| {
            leads(listed) && listed.backup().is_some_and(|backup| self.is_too_late(backup).is_none())
        };
        match self.timelines.backups.iter().rev().find(reaches) {
            Some(best) => {
                format!("to follow it, from backup {}: restore latest --target-timeline {tip}", best.key)
            }
            None => "no backup leads there".to_owned(),
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOnTheWay { key, position, followed } => write!(
                f,
                "backup {key} was taken on timeline {} after timeline {followed} branched off, and PostgreSQL would follow \
                 timeline {followed}",
                position.timeline
            ),
            Self::LaterBackup { key, beside, timeline, followed } => write!(
                f,
                "backup {beside} was taken later than {key}, on timeline {timeline}, and isn't on the way to timeline \
                 {followed}, which PostgreSQL would follow"
            ),
            Self::LaterWal { beside, last, followed } => {
                write!(f, "{} was stored at {}", beside.name, beside.stored)?;
                match last {
                    Some(last) if last.stored == beside.stored => write!(f, ", as late as {}", last.name)?,
                    Some(last) => write!(f, ", later than {} at {}", last.name, last.stored)?,
                    None => {}
                }
                write!(f, ", and isn't on the way to timeline {followed}, which PostgreSQL would follow")
            }
        }
    }
}
