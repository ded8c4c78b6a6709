//! A canary: an object that is stored, read, listed and deleted, to see that the repository can be used.

use std::time::Duration;

use jiff::SignedDuration;
use object_store::{PutMode, path::Path};
use uuid::Uuid;

use crate::{
    error::{Error, Result},
    repository::{Repository, layout::ObjectName, markers::list_dated, objects::PutOutcome},
};

/// The prefix of the canaries.
const CANARIES: &str = "...check";

/// How long a listing may lag behind. Swift's do after an outage.
const LISTING_LIMIT: Duration = Duration::from_secs(10);
/// How long to wait before the next listing.
const LISTING_PAUSE: Duration = Duration::from_millis(500);

/// The age at which a canary is certainly one that a check left when it was killed.
const LEFT_BEHIND: SignedDuration = SignedDuration::from_hours(1);

/// What a canary has shown beyond that an object can be stored, read back and deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canary {
    /// Whether an object is never overwritten if that is asked for, as archive-wal relies on.
    pub create_only: bool,
    /// Whether the listing showed it within ten seconds.
    pub is_listed: bool,
}

impl Repository {
    /// Stores an object, reads it back, lists it and deletes it. It also deletes what earlier calls left when they were
    /// killed.
    ///
    /// # Errors
    ///
    /// Those of the storage, and [`Error::Damaged`] if the object isn't read as it was stored.
    pub async fn send_canary(&self) -> Result<Canary> {
        let canary = ObjectName::Hidden(format!("{CANARIES}/{}", Uuid::new_v4()));
        let seen = self.look_at(&canary).await;
        let deleted = self.delete(&canary).await;
        let seen = seen?;
        deleted?;
        match self.read(&canary).await? {
            None => Ok(seen),
            Some(_) => Err(Error::damaged(&canary, "it can still be read after it was deleted")),
        }
    }

    async fn look_at(&self, canary: &ObjectName) -> Result<Canary> {
        let content = canary.to_string();
        self.put(canary, content.clone().into(), PutMode::Create).await?;
        let read = self.read(canary).await?;
        if read.as_deref() != Some(content.as_bytes()) {
            return Err(Error::damaged(canary, "it isn't read as it was stored a moment ago"));
        }
        let again = self.put(canary, "another content".into(), PutMode::Create).await?;
        let is_listed = self.is_listed(canary).await?;
        Ok(Canary { create_only: again == PutOutcome::NameTaken, is_listed })
    }

    /// Whether listings show the canary. Those that are much older are deleted.
    async fn is_listed(&self, canary: &ObjectName) -> Result<bool> {
        let list = || list_dated(self, Path::from(CANARIES), "canaries");
        let looks = tokio::time::timeout(LISTING_LIMIT, async {
            loop {
                let listed = list().await?;
                if let Some((_, stored)) = listed.iter().find(|(name, _)| name == canary) {
                    let left = listed.iter().filter(|(_, date)| *date < *stored - LEFT_BEHIND);
                    self.delete_all(left.map(|(name, _)| name.clone()).collect::<Vec<_>>().into_iter())
                        .await?;
                    return Ok(true);
                }
                tokio::time::sleep(LISTING_PAUSE).await;
            }
        });
        looks.await.unwrap_or(Ok(false))
    }
}
