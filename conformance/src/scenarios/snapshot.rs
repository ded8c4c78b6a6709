//! A snapshot of a repository's objects, to restore them after a command has changed them.

use std::collections::BTreeMap;

use anyhow::Result;
use bytes::Bytes;

use crate::subject::Subject;

/// Every object with its content.
#[derive(Debug)]
pub(super) struct Snapshot(BTreeMap<String, Bytes>);

impl Snapshot {
    pub(super) async fn of(subject: &Subject) -> Result<Self> {
        let mut objects = BTreeMap::new();
        for object in subject.objects().await? {
            let bytes = subject.get(&object).await?;
            objects.insert(object, bytes);
        }
        Ok(Self(objects))
    }

    /// Stores the missing objects, and deletes the new ones.
    pub(super) async fn put_back(&self, subject: &Subject) -> Result<()> {
        let present = subject.objects().await?;
        for (object, bytes) in self.0.iter().filter(|(object, _)| !present.contains(*object)) {
            subject.put(object, bytes.clone()).await?;
        }
        for object in present.iter().filter(|object| !self.0.contains_key(*object)) {
            subject.delete(object).await?;
        }
        Ok(())
    }
}
