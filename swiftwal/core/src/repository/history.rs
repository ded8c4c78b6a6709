//! Timeline histories in the repository. One parser checks them before they are stored and when they are read.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture, stream};
use swiftwal_compression::Format;
use swiftwal_postgres::{Timeline, TimelineHistory, WalName};
use tokio::io::AsyncReadExt;

use crate::{
    error::{Error, Result},
    repository::{Repository, inventory::Inventory, objects::CONCURRENT_READS},
};

/// The largest size of a history that is read. Real ones are much smaller.
pub(crate) const HISTORY_BYTES: u64 = 1 << 20;

/// The stored histories.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histories {
    readable: BTreeMap<Timeline, TimelineHistory>,
    /// Those that exist but can't be read: the object, and the reason.
    damaged: BTreeMap<Timeline, (String, String)>,
    /// Those that a listing shows, but that don't exist.
    vanished: Vec<String>,
    /// Those that are missing, according to requests for them.
    absent: BTreeSet<Timeline>,
}

impl Histories {
    /// Reads every history that a listing shows.
    pub(crate) async fn listed(repository: &Repository, inventory: &Inventory) -> Result<Self> {
        let mut listed: Vec<_> = inventory.wal.iter().filter_map(|wal| history_of(wal.name)).collect();
        listed.dedup();
        let read = |timeline| async move { Ok((timeline, read(repository, timeline).await?)) }.boxed();
        let reads: Vec<BoxFuture<'_, Result<_>>> = listed.into_iter().map(read).collect();
        let read: Vec<_> = stream::iter(reads).buffered(CONCURRENT_READS).try_collect().await?;
        let mut histories = Self::default();
        for (timeline, found) in read {
            if !histories.add(timeline, found) {
                let wal = inventory.wal.iter().filter(|wal| history_of(wal.name) == Some(timeline));
                histories.vanished.extend(wal.map(|wal| wal.object_name().to_string()));
            }
        }
        Ok(histories)
    }

    /// Requests the histories after `timeline` that no listing shows, as PostgreSQL does: a listing may lag. Each is
    /// requested in every compression, as every reader does, since `cluster.json` may lack one.
    pub(crate) async fn look_beyond(&mut self, repository: &Repository, timeline: Timeline) -> Result<()> {
        while let Some(next) = next(self.newest_from(timeline)).filter(|next| !self.absent.contains(next)) {
            let found = read(repository, next).await?;
            if !self.add(next, found) {
                self.absent.insert(next);
            }
        }
        Ok(())
    }

    /// Requests the history of `timeline`, if it isn't known yet.
    pub(crate) async fn look_for(&mut self, repository: &Repository, timeline: Timeline) -> Result<()> {
        if timeline != Timeline::FIRST && !self.has(timeline) {
            let found = read(repository, timeline).await?;
            self.add(timeline, found);
        }
        Ok(())
    }

    /// Records the outcome of reading a history. Returns whether it exists.
    fn add(&mut self, timeline: Timeline, found: Option<Stored>) -> bool {
        match found {
            Some(Ok(history)) => drop(self.readable.insert(timeline, history)),
            Some(Err(damage)) => drop(self.damaged.insert(timeline, damage)),
            None => return false,
        }
        true
    }

    /// Returns the newest timeline as PostgreSQL finds it from `timeline` on: it looks for the history of the next
    /// timeline, and of the one after that, until one is missing.
    ///
    /// Source: `findNewestTimeLine` in PostgreSQL's `src/backend/access/transam/timeline.c`.
    pub(crate) fn newest_from(&self, timeline: Timeline) -> Timeline {
        let mut newest = timeline;
        while let Some(next) = next(newest).filter(|next| self.has(*next)) {
            newest = next;
        }
        newest
    }

    /// Whether the history of `timeline` is stored, even if it can't be read. The first timeline has none.
    pub(crate) fn has(&self, timeline: Timeline) -> bool {
        self.readable.contains_key(&timeline) || self.damaged.contains_key(&timeline)
    }

    /// Returns the ancestors of `timeline`. A timeline without a stored history has none, as for PostgreSQL.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] if its history can't be read.
    pub(crate) fn past_of(&self, timeline: Timeline) -> Result<TimelineHistory> {
        if let Some((object, reason)) = self.damaged.get(&timeline) {
            return Err(Error::damaged(object, reason));
        }
        let stored = self.readable.get(&timeline).cloned();
        Ok(stored.unwrap_or_else(|| TimelineHistory::without_ancestors(timeline)))
    }

    /// Returns the history of `timeline`. None if it isn't stored, or can't be read.
    pub(crate) fn get(&self, timeline: Timeline) -> Option<&TimelineHistory> {
        self.readable.get(&timeline)
    }

    /// Returns every history that can be read, by timeline.
    pub(crate) fn readable(&self) -> impl Iterator<Item = &TimelineHistory> {
        self.readable.values()
    }

    /// Returns the timelines whose histories are stored, readable or not, in order.
    pub(crate) fn timelines(&self) -> impl Iterator<Item = Timeline> {
        self.readable.keys().chain(self.damaged.keys()).copied()
    }

    /// Fails if any history can't be read: all must be known before something is deleted. The error says how to discard
    /// such a timeline.
    pub(crate) fn all_readable(&self) -> Result<()> {
        self.all_readable_but(None)
    }

    /// As [`all_readable`](Self::all_readable), except the history of `discarded`, which is going to be deleted.
    pub(crate) fn all_readable_but(&self, discarded: Option<Timeline>) -> Result<()> {
        match self.damaged.iter().find(|(timeline, _)| Some(**timeline) != discarded) {
            Some((timeline, (object, reason))) => Err(Error::damaged(
                object,
                format!(
                    "{reason}; if that timeline was a mistake, discard it: swiftwal timeline discard {timeline}"
                ),
            )),
            None => Ok(()),
        }
    }

    /// Returns notices for the administrator.
    pub(crate) fn notices(&self) -> impl Iterator<Item = String> {
        self.vanished.iter().map(|object| {
            format!("{object} is listed but doesn't exist; it was deleted a moment ago, or the storage has lost it")
        })
    }
}

/// A stored history: its content, or the object and the reason why it can't be read.
type Stored = Result<TimelineHistory, (String, String)>;

fn next(timeline: Timeline) -> Option<Timeline> {
    timeline.get().checked_add(1).and_then(Timeline::new)
}

fn history_of(name: WalName) -> Option<Timeline> {
    match name {
        WalName::History(timeline) => Some(timeline),
        _ => None,
    }
}

/// Reads the history of `timeline` by its name. None if it is proven to be missing.
async fn read(repository: &Repository, timeline: Timeline) -> Result<Option<Stored>> {
    let found = repository.wal_in(WalName::History(timeline), Format::ALL).await?;
    let Some(wal) = found else { return Ok(None) };
    let object = wal.name.clone();
    let mut content = Vec::new();
    let read = wal.content().take(HISTORY_BYTES).read_to_end(&mut content).await;
    let read = read.map_err(|error| repository.unreadable(&object, error));
    match read.and_then(|_| check_history(timeline, &content, &object)) {
        Ok(history) => Ok(Some(Ok(history))),
        Err(Error::Damaged { object, reason }) => Ok(Some(Err((object, reason)))),
        Err(error) => Err(error),
    }
}

/// Parses a history and checks that it is the one of its timeline, before it is stored or used. `place` is its name in
/// an error.
pub(crate) fn check_history(
    timeline: Timeline,
    content: &[u8],
    place: impl fmt::Display,
) -> Result<TimelineHistory> {
    let history = TimelineHistory::parse(timeline, content).map_err(|error| Error::damaged(&place, error))?;
    if history.ancestors().is_empty() && timeline != Timeline::FIRST {
        let hint = "it names no ancestor; store the right one with archive-wal --force";
        return Err(Error::damaged(place, hint));
    }
    Ok(history)
}
