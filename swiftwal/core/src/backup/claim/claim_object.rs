//! The claim object of a key: an object with a fixed name, so that only one process can create it.

use object_store::PutMode;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    error::{Error, Result},
    repository::{Repository, key::BackupKey, layout::ObjectName, markers::CLAIM_ID},
};

/// The content of a claim object.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Holder {
    /// The id of the holder's marker.
    pub(super) id: String,
    /// The host of the process.
    pub(super) host: String,
    /// The id of the process on that host.
    pub(super) pid: u32,
}

/// The holder of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holding {
    Ours,
    Anothers,
}

/// The claim object of one key, for the process whose marker has the id `id`.
#[derive(Debug)]
pub(super) struct ClaimObject<'a> {
    repository: &'a Repository,
    pub(super) name: ObjectName,
    id: Uuid,
}

impl<'a> ClaimObject<'a> {
    pub(super) fn new(repository: &'a Repository, key: BackupKey, id: Uuid) -> Self {
        let name = ObjectName::Marker { claim: key.to_string(), id: CLAIM_ID.to_owned() };
        Self { repository, name, id }
    }

    /// Creates the object, unless there is one. [`holder`](Self::holder) shows whose it is.
    pub(super) async fn create(&self) -> Result<()> {
        let holder = Holder { id: self.id.to_string(), host: super::host(), pid: std::process::id() };
        let bytes = serde_json::to_vec(&holder).map_err(|error| Error::damaged(&self.name, error))?;
        self.repository.put(&self.name, bytes.into(), PutMode::Create).await.map(drop)
    }

    /// Returns the holder of the key. None if there is no claim object.
    pub(super) async fn holder(&self) -> Result<Option<Holding>> {
        let Some(bytes) = self.repository.read(&self.name).await? else { return Ok(None) };
        // If it can't be parsed, this process didn't write it.
        let is_ours =
            serde_json::from_slice(&bytes).is_ok_and(|holder: Holder| holder.id == self.id.to_string());
        Ok(Some(if is_ours { Holding::Ours } else { Holding::Anothers }))
    }

    /// Removes the object, if it is ours.
    pub(super) async fn give_back(&self) -> Result<()> {
        match self.holder().await? {
            Some(Holding::Ours) => self.repository.delete(&self.name).await,
            _ => Ok(()),
        }
    }
}
