//! The timelines of a repository: their backups and WAL, and which timeline PostgreSQL would follow.
//!
//! Restore, prune, archive-cleanup and the commands about timelines use it. No clock decides anything here: backups and
//! WAL are ordered by timelines and LSNs. The time when WAL was stored is only shown, or is a reason to ask the user.

mod backups;
mod branch;

use std::collections::BTreeSet;

use jiff::Timestamp;
use swiftwal_postgres::{Lsn, SegmentName, SegmentSize, Timeline, TimelineHistory, WalName};

pub(crate) use self::backups::{Content, ListedBackup, Position, read_all, with_records};
pub use self::branch::Branch;
use crate::{
    error::{Error, Result},
    repository::{
        Repository, backup::ChosenBackup, cluster::ClusterInfo, history::Histories, inventory::Inventory,
        key::BackupKey, record::BackupRecord,
    },
};

/// The timelines of a repository, with their backups, WAL and histories.
#[derive(Debug)]
pub(crate) struct Timelines {
    /// The backups, in the order in which they are in the WAL.
    pub(crate) backups: Vec<ListedBackup>,
    pub(crate) histories: Histories,
    /// The segments, sorted by name, each once.
    pub(crate) segments: Vec<Segment>,
    pub(crate) segment_size: SegmentSize,
}

/// A stored WAL segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) name: SegmentName,
    pub(crate) stored: Timestamp,
}

/// Returns every timeline of a repository, in order.
///
/// # Errors
/// Those of the storage.
pub async fn timelines(repository: &Repository) -> Result<Vec<Branch>> {
    let inventory = repository.inventory().await?;
    let timelines = Timelines::survey(repository, &inventory).await?;
    Ok(timelines.all().into_iter().map(|timeline| timelines.branch(timeline)).collect())
}

impl Timelines {
    /// Reads everything that shows the timelines.
    ///
    /// # Errors
    ///
    /// Those of the storage, and [`Error::NewerFormat`] for the repository itself.
    /// Damaged or missing objects aren't errors here.
    pub(crate) async fn survey(repository: &Repository, inventory: &Inventory) -> Result<Self> {
        let cluster = repository.cluster_once().await?;
        let backups = read_all(repository, inventory).await?;
        Self::of(repository, inventory, cluster.as_ref(), backups).await
    }

    /// As [`survey`](Self::survey), for a caller that has read `cluster.json` and the backups.
    pub(crate) async fn of(
        repository: &Repository,
        inventory: &Inventory,
        cluster: Option<&ClusterInfo>,
        backups: Vec<ListedBackup>,
    ) -> Result<Self> {
        let mut histories = Histories::listed(repository, inventory).await?;
        let on: BTreeSet<_> = backups.iter().filter_map(|backup| Some(backup.position?.timeline)).collect();
        for timeline in on {
            histories.look_beyond(repository, timeline).await?;
        }
        let of_backup = || backups.iter().find_map(ListedBackup::segment_size);
        let segment_size = cluster.map(|info| info.identity.wal_segment_bytes).or_else(of_backup);
        let segment_size = segment_size.unwrap_or_default();
        Ok(Self { segments: segments(inventory, segment_size), backups, histories, segment_size })
    }

    /// Reads the histories of the timelines after that of `backup`, for a repository that can't be listed.
    pub(crate) async fn beyond(repository: &Repository, backup: &ChosenBackup) -> Result<Self> {
        let backup = ListedBackup::of(backup.clone());
        let mut histories = Histories::default();
        if let Some(position) = backup.position {
            histories.look_for(repository, position.timeline).await?;
            histories.look_beyond(repository, position.timeline).await?;
        }
        let segment_size = backup.segment_size().unwrap_or_default();
        Ok(Self { backups: vec![backup], histories, segments: Vec::new(), segment_size })
    }

    /// Adds `backup`, unless the listing has shown it.
    pub(crate) fn with(mut self, backup: &ChosenBackup) -> Self {
        if !self.backups.iter().any(|listed| listed.key == backup.key) {
            self.backups.push(ListedBackup::of(backup.clone()));
        }
        self
    }

    /// Fails if the record of a backup requires a newer version of this program. A damaged record isn't an error here.
    pub(crate) fn refuse_not_understood(&mut self) -> Result<()> {
        let is_foreign = |backup: &mut ListedBackup| match &backup.content {
            Content::Unreadable(error) => !matches!(error, Error::Damaged { .. }),
            Content::Backup(_) | Content::NoBackup(_) => false,
        };
        match self.backups.extract_if(.., is_foreign).next().map(|backup| backup.content) {
            Some(Content::Unreadable(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Returns every timeline of which anything is stored.
    pub(crate) fn all(&self) -> BTreeSet<Timeline> {
        let of_backups = self.backups.iter().filter_map(|backup| Some(backup.position?.timeline));
        let of_wal = self.segments.iter().map(|segment| segment.name.timeline());
        self.histories.timelines().chain(of_backups).chain(of_wal).collect()
    }

    /// Returns the timelines whose histories are missing.
    pub(crate) fn without_history(&self) -> impl Iterator<Item = Timeline> {
        let lacks = |timeline: &Timeline| *timeline != Timeline::FIRST && !self.histories.has(*timeline);
        self.all().into_iter().filter(lacks)
    }

    /// Returns the timelines that have an end of their own: no other timeline branched off them, or they have backups
    /// or WAL behind the places where others did.
    pub(crate) fn tips(&self) -> Vec<Timeline> {
        self.all().into_iter().filter(|timeline| self.is_tip(*timeline)).collect()
    }

    fn is_tip(&self, timeline: Timeline) -> bool {
        let children: Vec<_> = self.children(timeline).collect();
        let is_shared = |lsn| children.iter().any(|child| child.contains(timeline, lsn));
        let mut backups = self.backups.iter().filter_map(|backup| backup.position);
        let last = self.last_segment(timeline).and_then(|segment| segment.name.start(self.segment_size));
        children.is_empty()
            || last.is_some_and(|start| !is_shared(start))
            || backups.any(|backup| backup.timeline == timeline && !is_shared(backup.last))
    }

    /// Returns the branch that the newest backup leads to: the newest timeline that PostgreSQL finds from it, if the
    /// backup leads there.
    pub(crate) fn main_tip(&self) -> Option<Timeline> {
        let position = self.backups.iter().rev().find_map(|backup| backup.position)?;
        let newest = self.histories.newest_from(position.timeline);
        let leading = self.tips().into_iter().filter(|tip| self.leads_to(position, *tip));
        leading.max_by_key(|tip| (*tip == newest, *tip))
    }

    /// Returns the timelines that descend from `timeline`.
    pub(crate) fn children(&self, timeline: Timeline) -> impl Iterator<Item = &TimelineHistory> {
        self.histories
            .readable()
            .filter(move |history| history.ancestors().iter().any(|ancestor| ancestor.timeline == timeline))
    }

    /// Describes `timeline`.
    pub(crate) fn branch(&self, timeline: Timeline) -> Branch {
        let ancestor = self.histories.get(timeline).and_then(|history| history.ancestors().last().copied());
        let is_on = |backup: &&ListedBackup| {
            backup.backup().is_some() && backup.position.is_some_and(|position| position.timeline == timeline)
        };
        let last = self.last_segment(timeline);
        Branch {
            timeline,
            parent: ancestor.map(|ancestor| ancestor.timeline),
            branched_off_at: ancestor.map(|ancestor| ancestor.switchpoint),
            history_is_damaged: self.histories.past_of(timeline).is_err(),
            newest_backup: self.backups.iter().rev().find(is_on).map(|backup| backup.key),
            last_wal: last.map(|segment| segment.name),
            last_wal_stored: last.map(|segment| segment.stored),
        }
    }

    /// Whether `timeline` has neither a backup nor a segment.
    pub(crate) fn is_bare(&self, timeline: Timeline) -> bool {
        let mut on = self.backups.iter().filter_map(|backup| backup.position);
        self.last_segment(timeline).is_none() && !on.any(|position| position.timeline == timeline)
    }

    fn last_segment(&self, timeline: Timeline) -> Option<Segment> {
        let after = self.segments.partition_point(|segment| segment.name.timeline() <= timeline);
        let last = self.segments.get(after.checked_sub(1)?)?;
        (last.name.timeline() == timeline).then_some(*last)
    }

    /// Whether recovery from a backup at `position` can follow `timeline`. It can't if the history can't be read.
    pub(crate) fn leads_to(&self, position: Position, timeline: Timeline) -> bool {
        let past = self.histories.past_of(timeline);
        past.is_ok_and(|past| past.contains(position.timeline, position.last))
    }

    /// Returns the position of `backup`. None if it is unknown.
    pub(crate) fn position_of(&self, key: BackupKey) -> Option<Position> {
        self.backups.iter().find(|backup| backup.key == key)?.position
    }

    /// Returns the commit record of a backup. None if there is none that can be read.
    pub(crate) fn record_of(&self, key: BackupKey) -> Option<&BackupRecord> {
        self.backups.iter().find(|backup| backup.key == key)?.backup()?.record.as_ref()
    }

    /// Returns the end of a segment: the first byte after it.
    pub(crate) fn end_of(&self, segment: Segment) -> Lsn {
        let start = segment.name.start(self.segment_size).unwrap_or(Lsn(0));
        Lsn(start.0.saturating_add(self.segment_size.bytes()))
    }

    /// Returns the segment that was stored last among those on the way to the end of `past`, and the same among the
    /// others.
    pub(crate) fn last_stored(&self, past: &TimelineHistory) -> (Option<Segment>, Option<Segment>) {
        let is_on_the_way = |segment: &&Segment| {
            let start = segment.name.start(self.segment_size);
            start.is_some_and(|start| past.contains(segment.name.timeline(), start))
        };
        let (on, beside): (Vec<_>, Vec<_>) = self.segments.iter().partition(is_on_the_way);
        let last =
            |segments: Vec<&Segment>| segments.into_iter().copied().max_by_key(|segment| segment.stored);
        (last(on), last(beside))
    }
}

impl ListedBackup {
    fn segment_size(&self) -> Option<SegmentSize> {
        Some(self.backup()?.record.as_ref()?.wal_segment_bytes)
    }
}

/// The segments of a listing that a cluster with segments of `size` can have, each once.
fn segments(inventory: &Inventory, size: SegmentSize) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    for wal in &inventory.wal {
        let WalName::Segment(name) = wal.name else { continue };
        match segments.last_mut() {
            // One name may exist in several compressions.
            Some(last) if last.name == name => last.stored = last.stored.max(wal.stored),
            _ if name.start(size).is_some() => segments.push(Segment { name, stored: wal.stored }),
            _ => {}
        }
    }
    segments
}
