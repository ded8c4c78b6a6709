//! The stored backups that an incremental one can build on.

use swiftwal_postgres::ServerFacts;

use super::{Parent, manifest_copy::copy};
use crate::{
    error::{Error, ErrorKind, Refusal, Result},
    repository::{
        Repository,
        completeness::missing_object,
        inventory::Inventory,
        key::BackupKey,
        record::BackupRecord,
        timelines::{Content, ListedBackup, Timelines},
    },
};

/// The stored backups, and the server whose backup builds on one of them.
pub(super) struct Candidates<'a> {
    repository: &'a Repository,
    facts: Option<&'a ServerFacts>,
    inventory: Inventory,
    timelines: Timelines,
}

/// A chain of backups: the newest first, the full one last.
type Chain<'a> = Vec<&'a BackupRecord>;

/// Why a backup can't be the parent.
type Reason = String;

impl<'a> Candidates<'a> {
    /// Reads the records of every backup.
    pub(super) async fn survey(repository: &'a Repository, facts: Option<&'a ServerFacts>) -> Result<Self> {
        // A new repository may be empty.
        let inventory = repository.list().await?.unwrap_or_default();
        let timelines = Timelines::survey(repository, &inventory).await?;
        Ok(Self { repository, facts, inventory, timelines })
    }

    /// Returns the newest backup that can be the parent; one with damaged pages only if there is no other.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotIncremental`] with the reason for the newest; [`Error::NoBackup`] if there is no backup at all.
    pub(super) async fn newest(&self) -> Result<Parent> {
        let mut of_newest = None;
        for damaged in [false, true] {
            for listed in self.timelines.backups.iter().rev() {
                let reason = match self.chain(listed) {
                    Ok(chain) if is_damaged(&chain) != damaged => continue,
                    Ok(chain) => match self.parent(&chain).await? {
                        Ok(parent) => return Ok(parent),
                        Err(reason) => reason,
                    },
                    Err(reason) => reason,
                };
                of_newest.get_or_insert((listed.key, reason));
            }
        }
        let location = self.repository.location();
        Err(match of_newest {
            None => Error::NoBackup { location: location.to_owned() },
            Some((key, reason)) => not_incremental(format!(
                "no backup in {location} can be its parent; the reason for the newest, {key}: {reason}"
            )),
        })
    }

    /// Returns the given backup as the parent.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotIncremental`] if it can't be the parent, [`Error::UnknownBackup`].
    pub(super) async fn given(&self, key: BackupKey) -> Result<Parent> {
        let Some(listed) = self.timelines.backups.iter().find(|backup| backup.key == key) else {
            return Err(self.repository.unknown_backup(key).await);
        };
        let refused = |reason| not_incremental(format!("backup {key} can't be its parent: {reason}"));
        let chain = self.chain(listed).map_err(refused)?;
        self.parent(&chain).await?.map_err(refused)
    }

    /// Returns the chain of a backup, if it can be the parent as far as the records show.
    fn chain<'b>(&'b self, newest: &'b ListedBackup) -> Result<Chain<'b>, Reason> {
        let mut chain = Vec::new();
        let mut next = Some(newest);
        while let Some(listed) = next {
            let record = record(listed)?;
            if self.inventory.deleting.contains_key(&record.key) {
                return Err(format!("the deletion of backup {} has begun", record.key));
            }
            chain.push(record);
            if chain.len() > self.timelines.backups.len() {
                return Err("its chain has no full backup".to_owned());
            }
            next = match record.parent {
                None => None,
                Some(parent) => {
                    let listed = self.timelines.backups.iter().find(|backup| backup.key == parent);
                    Some(listed.ok_or_else(|| missing_member(parent))?)
                }
            };
        }
        self.check_timeline(newest)?;
        Ok(chain)
    }

    /// Fails if the server isn't on a timeline that leads there from the backup.
    fn check_timeline(&self, newest: &ListedBackup) -> Result<(), Reason> {
        let Some((position, facts)) = newest.position.zip(self.facts) else { return Ok(()) };
        let (of_backup, of_server) = (position.timeline, facts.timeline);
        if of_backup == of_server || self.timelines.leads_to(position, of_server) {
            return Ok(());
        }
        let history = format!("{:08X}.history", of_server.get());
        Err(if self.timelines.histories.has(of_server) {
            format!(
                "the server's timeline {of_server} branched off before it, or elsewhere, according to {history}"
            )
        } else {
            format!(
                "it is on timeline {of_backup} and the server on timeline {of_server}, and {history}, which would show that \
                 one leads to the other, isn't archived yet"
            )
        })
    }

    /// Returns the parent, if everything of its chain is there.
    async fn parent(&self, chain: &Chain<'_>) -> Result<Result<Parent, Reason>> {
        let Some(newest) = chain.first() else { return Ok(Err("its chain is empty".to_owned())) };
        for member in chain {
            if let Some(object) = missing_object(self.repository, member, |_| true).await? {
                return Ok(Err(format!("{} is missing, or has another size", object.name)));
            }
        }
        match copy(self.repository, newest).await {
            Ok(Ok(manifest)) => {
                let record = (*newest).clone();
                let damage = chain.iter().find_map(|member| member.damage_notice());
                Ok(Ok(Parent { record, chain_length: chain.len(), damage, manifest }))
            }
            Ok(Err(reason)) => Ok(Err(reason.to_owned())),
            Err(error) if error.kind() == ErrorKind::Damaged => Ok(Err(error.in_full())),
            Err(error) => Err(error),
        }
    }
}

/// Returns the record of a backup of this repository.
fn record(listed: &ListedBackup) -> Result<&BackupRecord, Reason> {
    match &listed.content {
        Content::Backup(backup) => {
            backup.record.as_ref().ok_or_else(|| format!("backup {} is of SwiftWAL 0.2.2", listed.key))
        }
        Content::NoBackup(reason) => Err(reason.clone()),
        Content::Unreadable(error) => Err(error.in_full()),
    }
}

fn is_damaged(chain: &Chain<'_>) -> bool {
    chain.iter().any(|record| record.damaged_pages > 0)
}

fn missing_member(parent: BackupKey) -> Reason {
    format!("backup {parent}, which its chain needs, is missing")
}

fn not_incremental(reason: Reason) -> Error {
    Refusal::not_incremental(
        reason,
        "take a full backup, or use --incremental=auto, which does that by itself",
    )
    .into()
}
