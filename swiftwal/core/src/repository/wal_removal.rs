//! Removes WAL, so that no backup that begins meanwhile relies on it.
//!
//! prune, archive-cleanup and timeline discard plan by what is stored and in progress. A backup that begins after that may
//! need WAL that was to be removed: that of a standby starts where its last restartpoint was, perhaps before the newest
//! backup. So a removal is marked before its caller looks for such backups, and a backup looks for these marks as soon as
//! its marker says which WAL it needs.
//!
//! A mark is named after the last segment that is removed of its timeline. Several processes may have the same mark, and the
//! first that has finished removes it. So each looks for its marks again before it removes files.
//!
//! A full storage refuses the marks. No backup can begin on it either, as long as it is full. So the removal then tries to
//! mark what remains after each file that it removes, and looks for backups again as soon as that succeeds.

use std::collections::BTreeMap;

use jiff::Timestamp;
use swiftwal_postgres::{SegmentName, Timeline};

use crate::{
    error::{Refusal, Result},
    repository::{
        Repository,
        inventory::StoredWal,
        layout::ObjectName,
        markers::{put_mark, wal_marks},
        running::{Considered, RunningBackup, begun_since, may_lead_to},
    },
};

/// WAL that is to be removed.
#[derive(Debug)]
pub(crate) struct WalRemoval<'a> {
    files: Vec<ObjectName>,
    /// The last segment of each timeline that is removed.
    last: BTreeMap<Timeline, SegmentName>,
    /// What the plan takes into account; none if backups are ignored.
    considered: Option<&'a Considered>,
    /// The timeline that is discarded. A backup that starts on it needs it, wherever it starts.
    discarded: Option<Timeline>,
}

impl<'a> WalRemoval<'a> {
    pub(crate) fn of(files: &[StoredWal], considered: Option<&'a Considered>) -> Self {
        let mut last = BTreeMap::new();
        for segment in files.iter().filter_map(|file| file.name.segment()) {
            let newest = last.entry(segment.timeline()).or_insert(segment);
            *newest = segment.max(*newest);
        }
        let files = files.iter().map(StoredWal::object_name).collect();
        Self { files, last, considered, discarded: None }
    }

    /// As [`of`](Self::of), for all WAL of a timeline.
    pub(crate) fn of_timeline(timeline: Timeline, files: &[StoredWal], considered: &'a Considered) -> Self {
        Self { discarded: Some(timeline), ..Self::of(files, Some(considered)) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Stores the marks. Returns whether all of them were stored, which a full storage refuses.
    pub(crate) async fn mark(&self, repository: &Repository) -> Result<bool> {
        for mark in self.marks() {
            if !put_mark(repository, &mark).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Fails if one of these backups needs what is to be removed, or doesn't know yet what it needs.
    ///
    /// # Errors
    ///
    /// [`Refusal::Overtaken`].
    pub(crate) fn refuse_needed_by(&self, begun: &[RunningBackup], repository: &Repository) -> Result<()> {
        if self.is_empty() || !begun.iter().any(|backup| self.is_needed_by(backup)) {
            return Ok(());
        }
        let what = format!(
            "a backup in {} is in progress, or was taken after this command had made its plan, and may need WAL that was to be \
             removed. Nothing more was removed",
            repository.location()
        );
        Err(Refusal::overtaken(what, "run the command again when that backup is done").into())
    }

    /// Removes the files, if no backup needs them that the plan doesn't take into account.
    ///
    /// # Errors
    ///
    /// [`Refusal::Overtaken`].
    pub(crate) async fn run(self, repository: &Repository) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        // The marks remain if such a backup is found after they were stored. So this looks for one before that, too.
        self.refuse_needed(repository).await?;
        self.mark(repository).await?;
        self.refuse_needed(repository).await?;
        self.carry_out(repository).await
    }

    /// Removes the files, then the marks. The caller has marked the removal, if the storage isn't full, and has then looked
    /// for backups that need the files.
    ///
    /// # Errors
    ///
    /// [`Refusal::Overtaken`] if another process has removed a mark, and a backup has begun that needs the files.
    pub(crate) async fn carry_out(mut self, repository: &Repository) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let mut is_marked = self.is_marked(repository).await?;
        if !is_marked {
            is_marked = self.mark(repository).await?;
            self.refuse_needed(repository).await?;
        }
        let mut files = std::mem::take(&mut self.files).into_iter();
        while !is_marked && let Some(file) = files.next() {
            repository.delete(&file).await?;
            is_marked = self.mark(repository).await?;
            if is_marked {
                self.refuse_needed(repository).await?;
            }
        }
        let marks: Vec<_> = self.marks().collect();
        repository.delete_all(files).await?;
        repository.delete_all(marks.into_iter()).await
    }

    async fn is_marked(&self, repository: &Repository) -> Result<bool> {
        for mark in self.marks() {
            if repository.size(&mark).await?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn refuse_needed(&self, repository: &Repository) -> Result<()> {
        let Some(considered) = self.considered else { return Ok(()) };
        self.refuse_needed_by(&begun_since(repository, considered).await?, repository)
    }

    fn is_needed_by(&self, backup: &RunningBackup) -> bool {
        let is_on_discarded = |timeline| backup.start.is_some_and(|(first, _)| first.timeline() == timeline);
        self.last.values().any(|last| backup.may_need(*last)) || self.discarded.is_some_and(is_on_discarded)
    }

    fn marks(&self) -> impl Iterator<Item = ObjectName> {
        self.last.values().copied().map(ObjectName::RemovingWal)
    }
}

/// Returns the marks that no running command relies on, and when each was written: those that aren't younger than `before`, and
/// those of WAL of which nothing is kept.
pub(crate) fn stale_wal_marks(
    marks: &[(SegmentName, Timestamp)],
    keep_wal: &[StoredWal],
    before: Timestamp,
) -> Vec<(ObjectName, Timestamp)> {
    let is_gone = |last: SegmentName| {
        let mut segments = keep_wal.iter().filter_map(|wal| wal.name.segment());
        !segments.any(|segment| segment.timeline() == last.timeline() && segment <= last)
    };
    let stale = marks.iter().filter(|(last, marked)| *marked <= before || is_gone(*last));
    stale.map(|(last, marked)| (ObjectName::RemovingWal(*last), *marked)).collect()
}

/// Fails if WAL is being removed that a backup may need which starts in segment `first`.
///
/// # Errors
///
/// [`Refusal::Overtaken`].
pub(crate) async fn refuse_while_removed(repository: &Repository, first: SegmentName) -> Result<()> {
    let covers =
        |mark: &ObjectName| matches!(mark, ObjectName::RemovingWal(last) if may_lead_to(first, *last));
    let marks = wal_marks(repository).await?;
    let Some((mark, _)) = marks.iter().find(|(mark, _)| covers(mark)) else { return Ok(()) };
    let what = format!(
        "the backup starts in WAL segment {first}, and another command is removing WAL up to a later segment ({mark} in {})",
        repository.location()
    );
    Err(Refusal::overtaken(
        what,
        "a backup of a standby starts at its last restartpoint: wait for the next one, after a CHECKPOINT on the primary, then \
         take the backup again",
    )
    .into())
}
