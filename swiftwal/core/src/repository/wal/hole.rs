//! Whether missing WAL is a hole: whether the stored WAL goes on after it.
//!
//! PostgreSQL takes missing WAL for the end of the archive, ends recovery there and promotes. Where later WAL is stored,
//! that would give up what it contains, without a word.

use std::time::Duration;

use futures::TryStreamExt;
use jiff::{SignedDuration, Timestamp};
use object_store::path::Path;
use swiftwal_postgres::{SegmentName, SegmentSize, Timeline, WalName};

use super::{
    listed::{ListedWal, MOST_LATER, prefix, wal_of},
    unreadable_although_listed,
};
use crate::{
    error::{Error, Result},
    repository::{
        Repository,
        history::Histories,
        layout::ObjectName,
        timelines::{ListedBackup, read_all},
    },
};

/// How long a segment may be on its way after a later one was stored: archive-wal stores several at once.
const BATCH: SignedDuration = SignedDuration::from_secs(60);

impl Repository {
    /// Returns the error for a missing file if WAL is stored that comes after it; none if the stored WAL ends there.
    ///
    /// A missing segment isn't a hole if it belongs to a time before its timeline: PostgreSQL looks for it on the
    /// parent next. Neither is a missing history of the timeline on which the archive began.
    pub(super) async fn hole(
        &self,
        name: WalName,
        listed: &ListedWal,
        segment_size: SegmentSize,
    ) -> Result<Option<Error>> {
        if listed.later.is_empty() {
            return Ok(None);
        }
        let is_needed = match name {
            WalName::Segment(segment) => !self.is_before_its_timeline(segment, segment_size).await?,
            WalName::History(timeline) => self.has_older(timeline).await?,
            WalName::Partial(_) | WalName::Backup { .. } => false,
        };
        if !is_needed {
            return Ok(None);
        }
        self.hole_in(name, listed).await
    }

    /// As [`hole`](Self::hole), for a missing segment after which nothing is stored on its timeline, if WAL is stored of
    /// `descendant`, a timeline that began after the segment.
    pub(crate) async fn hole_before(
        &self,
        segment: SegmentName,
        descendant: Timeline,
    ) -> Result<Option<Error>> {
        let listed = self.listed_wal(WalName::History(descendant), SegmentSize::default()).await?;
        self.hole_in(WalName::Segment(segment), &listed).await
    }

    async fn hole_in(&self, name: WalName, listed: &ListedWal) -> Result<Option<Error>> {
        let Some((later, stored)) = self.first_stored(listed).await? else { return Ok(None) };
        let settles_in = self.settles_in(stored).await;
        let (location, before) = (self.location().to_owned(), listed.before);
        Ok(Some(Error::WalHole { name, location, before, later, settles_in }))
    }

    /// Whether the timeline of a segment began after it.
    async fn is_before_its_timeline(&self, segment: SegmentName, size: SegmentSize) -> Result<bool> {
        let timeline = segment.timeline();
        let mut histories = Histories::default();
        histories.look_for(self, timeline).await?;
        let past = histories.past_of(timeline)?;
        Ok(segment.last_byte(size).is_some_and(|lsn| !past.contains(timeline, lsn)))
    }

    /// Whether WAL or a backup of a timeline before `timeline` is stored.
    async fn has_older(&self, timeline: Timeline) -> Result<bool> {
        // The lowest timeline comes first.
        let mut objects = self.storage.store().list_with_offset(None, &Path::from("wal_"));
        let (is_in_order, own) = (self.storage.lists_in_order(), prefix(timeline));
        while let Some(object) = objects.try_next().await.map_err(self.failed("list", "objects"))? {
            let found = object.location.as_ref();
            if wal_of(&ObjectName::parse(found)).is_some_and(|(wal, _)| wal.timeline() < timeline) {
                return Ok(true);
            }
            if is_in_order && *found > *own {
                break;
            }
        }
        let backups = read_all(self, &self.inventory().await?).await?;
        let position = |backup: &ListedBackup| backup.position;
        Ok(backups.iter().filter_map(position).any(|position| position.timeline < timeline))
    }

    /// Returns the first of the later WAL that exists, and when it was stored: a listing may lag behind a deletion.
    async fn first_stored(&self, listed: &ListedWal) -> Result<Option<(WalName, Timestamp)>> {
        for (later, object) in &listed.later {
            if let Some(stored) = self.stored(object).await? {
                return Ok(Some((*later, stored)));
            }
        }
        match listed.later.last() {
            // There may be more.
            Some((_, object)) if listed.later.len() == MOST_LATER => {
                Err(unreadable_although_listed(object.clone()))
            }
            _ => Ok(None),
        }
    }

    /// Returns how long a missing file may still be on its way, if the WAL after it was stored at this time. If the storage
    /// doesn't tell its time, it may have been just now.
    async fn settles_in(&self, stored: Timestamp) -> Duration {
        let now = self.storage_now_if_told().await;
        let age = now.map_or(SignedDuration::ZERO, |now| now.duration_since(stored));
        (BATCH - age).clamp(SignedDuration::ZERO, BATCH).unsigned_abs()
    }
}
