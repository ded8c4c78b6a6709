//! Removes WAL, so that no backup that begins meanwhile relies on it.
//!
//! prune, archive-cleanup and timeline discard plan by what is stored and in progress. A backup that begins after that may
//! need WAL that was to be removed: that of a standby starts where its last restartpoint was, perhaps before the newest
//! backup. So a removal is marked before its caller looks for such backups, and a backup looks for these marks as soon as
//! its marker says which WAL it needs.
//!
//! A mark is named after the last segment that is removed of its timeline. Several processes may have the same mark: the
//! first that has finished has removed the files of the others, too, and may remove the mark.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use object_store::{PutMode, PutPayload, path::Path};
use swiftwal_postgres::{SegmentName, Timeline};

use crate::{
    error::{Refusal, Result},
    repository::{
        Repository,
        inventory::StoredWal,
        layout::{ObjectName, REMOVING_WAL},
        running::RunningBackup,
    },
};

/// WAL that is to be removed.
#[derive(Debug, Default)]
pub(crate) struct WalRemoval {
    files: Vec<ObjectName>,
    /// The last segment of each timeline that is removed.
    last: BTreeMap<Timeline, SegmentName>,
}

impl WalRemoval {
    pub(crate) fn of(files: &[StoredWal]) -> Self {
        let mut last = BTreeMap::new();
        for segment in files.iter().filter_map(|file| file.name.segment()) {
            let newest = last.entry(segment.timeline()).or_insert(segment);
            *newest = segment.max(*newest);
        }
        Self { files: files.iter().map(StoredWal::object_name).collect(), last }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Stores the marks. A full storage refuses them; then the removal isn't marked.
    pub(crate) async fn mark(&self, repository: &Repository) -> Result<()> {
        for mark in self.marks() {
            match repository.put(&mark, PutPayload::new(), PutMode::Overwrite).await {
                Err(error) if repository.storage().is_full(&error) => return Ok(()),
                stored => drop(stored?),
            }
        }
        Ok(())
    }

    /// Fails if one of these backups needs what is to be removed, or doesn't know yet what it needs.
    ///
    /// # Errors
    ///
    /// [`Refusal::Overtaken`].
    pub(crate) fn refuse_needed_by(&self, begun: &[RunningBackup], repository: &Repository) -> Result<()> {
        let is_needed = |backup: &RunningBackup| match backup.start {
            Some((first, _)) => self.last.get(&first.timeline()).is_some_and(|last| *last >= first),
            None => !self.is_empty(),
        };
        if !begun.iter().any(is_needed) {
            return Ok(());
        }
        let what = format!(
            "a backup in {} was begun after this command had made its plan, and may need WAL that was to be removed. Nothing \
             was removed",
            repository.location()
        );
        Err(Refusal::overtaken(what, "run the command again").into())
    }

    /// Removes the files, then the marks.
    pub(crate) async fn carry_out(self, repository: &Repository) -> Result<()> {
        let marks: Vec<_> = self.marks().collect();
        repository.delete_all(self.files.into_iter()).await?;
        repository.delete_all(marks.into_iter()).await
    }

    fn marks(&self) -> impl Iterator<Item = ObjectName> {
        self.last.values().copied().map(ObjectName::RemovingWal)
    }
}

/// Whether a removal with this mark removes the segment.
pub(crate) fn is_covered(mark: SegmentName, segment: SegmentName) -> bool {
    mark.timeline() == segment.timeline() && mark >= segment
}

/// Fails if WAL is being removed that a backup needs which starts in segment `first`.
///
/// # Errors
///
/// [`Refusal::Overtaken`].
pub(crate) async fn refuse_while_removed(repository: &Repository, first: SegmentName) -> Result<()> {
    let marks = repository.storage().store().list(Some(&Path::from(REMOVING_WAL)));
    let marks: Result<Vec<_>, _> =
        marks.map_ok(|mark| ObjectName::parse(mark.location.as_ref())).try_collect().await;
    let marks = marks.map_err(repository.failed("list", "the marks of WAL that is being removed"))?;
    let covers =
        |mark: &ObjectName| matches!(mark, ObjectName::RemovingWal(last) if is_covered(*last, first));
    let Some(mark) = marks.iter().find(|mark| covers(mark)) else { return Ok(()) };
    let what = format!(
        "the backup starts in WAL segment {first}, and another command is removing WAL up to a later segment of that timeline \
         ({mark} in {})",
        repository.location()
    );
    Err(Refusal::overtaken(
        what,
        "take the backup again; if no other command is running any more, run prune first",
    )
    .into())
}
