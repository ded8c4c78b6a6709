//! What a backup builds on: nothing if it is full, or its parent if it is incremental.
//!
//! The parent is chosen before anything is claimed or stored, and its manifest is copied to this machine and verified, so
//! that a storage that fails, or a parent that can't be used, is found out before the server's checkpoint.

mod candidates;
mod manifest_copy;

use std::num::NonZeroU32;

use swiftwal_postgres::{BackupLabel, ParentManifest, ServerFacts, SourceErrorKind};

use self::candidates::Candidates;
use super::{BackupEvent, Observe};
use crate::{
    error::{Error, Refusal, Result},
    repository::{
        Repository,
        choice::BackupChoice,
        key::BackupKey,
        preflight::incremental_obstacle,
        record::{BackupKind, BackupRecord},
    },
};

/// Whether a backup is full or incremental.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackupMode {
    /// A full backup.
    #[default]
    Full,
    /// An incremental backup that builds on the given backup, or on the newest one that can be its parent. If there is
    /// none, the backup fails.
    Incremental(BackupChoice),
    /// An incremental backup that builds on the newest backup that can be its parent, or a full one if there is none.
    Auto {
        /// The largest number of backups in a chain, the full one included: if the parent's chain has that many, the
        /// backup is full. `None` for no limit.
        full_every: Option<NonZeroU32>,
    },
}

/// What a backup builds on.
#[derive(Debug)]
pub(super) struct Base {
    parent: Option<Parent>,
    /// Whether the backup may be full instead.
    may_be_full: bool,
}

/// The backup that an incremental one builds on.
#[derive(Debug)]
pub(super) struct Parent {
    record: BackupRecord,
    /// The number of backups in its chain, the full one and itself included.
    chain_length: usize,
    /// A notice if its chain contains pages that were damaged on the server.
    damage: Option<String>,
    manifest: ParentManifest,
}

impl Parent {
    /// Warns of damaged pages: the new backup may rely on them.
    fn announced(self, observe: Observe<'_>) -> Self {
        if let Some(damage) = &self.damage {
            observe(BackupEvent::Warning(&format!(
                "the new backup builds on damaged pages: {damage}; take a full backup once they are repaired"
            )));
        }
        self
    }
}

impl Base {
    /// Chooses the parent for a backup of the server that reported `facts`, if they are known.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotIncremental`].
    pub(super) async fn choose(
        repository: &Repository,
        facts: Option<&ServerFacts>,
        mode: BackupMode,
        observe: Observe<'_>,
    ) -> Result<Self> {
        let (choice, full_every) = match mode {
            BackupMode::Full => return Ok(Self { parent: None, may_be_full: true }),
            BackupMode::Incremental(choice) => {
                let parent = find(repository, facts, choice).await?.announced(observe);
                return Ok(Self { parent: Some(parent), may_be_full: false });
            }
            BackupMode::Auto { full_every } => (BackupChoice::Latest, full_every),
        };
        let full = |reason: &str, is_planned| {
            observe(BackupEvent::Full { reason, is_planned });
            Ok(Self { parent: None, may_be_full: true })
        };
        match find(repository, facts, choice).await {
            Ok(parent) if full_every.is_some_and(|most| parent.chain_length >= most.get() as usize) => {
                let length = parent.chain_length;
                full(&format!("the chain of backup {} has {length} backups", parent.record.key), true)
            }
            Ok(parent) => Ok(Self { parent: Some(parent.announced(observe)), may_be_full: true }),
            Err(Error::NoBackup { location }) => full(&format!("there is no backup in {location} yet"), true),
            Err(Error::Refused(Refusal::NotIncremental { reason, .. })) => full(&reason, false),
            Err(error) => Err(error),
        }
    }

    /// Returns the key of the parent; none for a full backup.
    pub(super) fn parent(&self) -> Option<BackupKey> {
        self.parent.as_ref().map(|parent| parent.record.key)
    }

    /// Returns the parent's manifest; none for a full backup.
    pub(super) fn manifest(&self) -> Option<ParentManifest> {
        self.parent.as_ref().map(|parent| parent.manifest.clone())
    }

    pub(super) fn kind(&self) -> BackupKind {
        if self.parent.is_some() { BackupKind::Incremental } else { BackupKind::Full }
    }

    /// After the `error` of a server that can't take this incremental backup: makes it a full one, if it may be one.
    /// Returns whether it has changed.
    pub(super) fn give_up(&mut self, error: &Error, observe: Observe<'_>) -> bool {
        let Error::Source(refusal) = error else { return false };
        if refusal.kind() != SourceErrorKind::NotIncremental || !self.may_be_full || self.parent.is_none() {
            return false;
        }
        observe(BackupEvent::Full { reason: &error.in_full(), is_planned: false });
        self.parent = None;
        true
    }

    /// Fails unless `label` is that of a backup with this base.
    pub(super) fn check_label(&self, label: &BackupLabel) -> Result<()> {
        let parent = self.parent.as_ref().map(|parent| (parent.record.start_lsn, parent.record.timeline));
        if label.incremental_from() == parent {
            return Ok(());
        }
        let describe = |from: Option<(swiftwal_postgres::Lsn, swiftwal_postgres::Timeline)>| match from {
            Some((lsn, timeline)) => format!("an incremental backup from {lsn} on timeline {timeline}"),
            None => "a full backup".to_owned(),
        };
        let reason =
            format!("it is that of {}, not of {}", describe(label.incremental_from()), describe(parent));
        Err(Error::damaged("backup_label", reason))
    }
}

/// Returns the given parent, or the newest backup that can be the parent.
async fn find(repository: &Repository, facts: Option<&ServerFacts>, choice: BackupChoice) -> Result<Parent> {
    if let Some(refusal) = facts.and_then(incremental_obstacle) {
        return Err(refusal.into());
    }
    let candidates = Candidates::survey(repository, facts).await?;
    match choice {
        BackupChoice::Key(key) => candidates.given(key).await,
        BackupChoice::Latest => candidates.newest().await,
    }
}
