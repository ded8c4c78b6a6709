//! Lists a repository.

use futures::TryStreamExt;

use crate::{
    error::{Error, Result},
    repository::{
        Repository,
        inventory::{Inventory, StoredObject, touched},
        layout::ObjectName,
        record::BackupRecord,
    },
};

impl Repository {
    /// Lists everything that is stored.
    ///
    /// A listing may lag behind on some storage: an object that it lacks may exist.
    ///
    /// # Errors
    ///
    /// [`Error::NoRepository`] if nothing at all is listed, as with an unmounted disk; and those of the storage.
    pub async fn inventory(&self) -> Result<Inventory> {
        match self.list().await? {
            Some(inventory) => Ok(inventory),
            None => Err(Error::NoRepository { location: self.location.to_string() }),
        }
    }

    /// As [`inventory`](Self::inventory), for a caller that deletes: asks the storage itself for commit records that
    /// the listing doesn't show yet.
    pub(crate) async fn inventory_with_every_record(&self) -> Result<Inventory> {
        let mut inventory = self.inventory().await?;
        for key in inventory.without_record() {
            let name = BackupRecord::object_name(key);
            if let Some(bytes) = self.size(&name).await? {
                inventory.commit(key, StoredObject { name, bytes });
            }
        }
        Ok(inventory)
    }

    /// Lists everything that is stored. None if there is nothing at all.
    pub(crate) async fn list(&self) -> Result<Option<Inventory>> {
        if !self.is_proven() && !self.shows_ours_at_its_top().await? {
            return Ok(None);
        }
        let mut objects = self.storage.store().list(None);
        let mut builder = Inventory::builder();
        let mut is_empty = true;
        let is_wanted = self.storage.sweeper().is_some_and(|sweeper| sweeper.wants_listed());
        let longest_whole = self.storage.limits().part_bytes as u64;
        while let Some(object) = objects.try_next().await.map_err(self.failed("list", "objects"))? {
            let name = object.location.as_ref();
            is_empty = is_empty && !is_ours(name);
            builder.add(name, object.size, touched(&object));
            if is_wanted && object.size > longest_whole && is_ours(name) {
                builder.keep(object);
            }
        }
        if is_empty {
            return Ok(None);
        }
        self.note_read().await;
        Ok(Some(builder.finish()))
    }

    /// Whether the storage contains no object of a repository.
    pub(crate) async fn is_empty(&self) -> Result<bool> {
        if !self.shows_ours_at_its_top().await? {
            return Ok(true);
        }
        let mut objects = self.storage.store().list(None);
        while let Some(object) = objects.try_next().await.map_err(self.failed("list", "objects"))? {
            if is_ours(object.location.as_ref()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether it is proven to be a repository: its `cluster.json` was read.
    fn is_proven(&self) -> bool {
        self.first_read.get().is_some()
    }

    /// Whether the storage has a name of a repository at its top. Returns true if finding that out would cost as much
    /// as a listing.
    pub(super) async fn shows_ours_at_its_top(&self) -> Result<bool> {
        match self.storage.top_names() {
            Some(names) => names.any(is_ours).await.map_err(self.failed("list", "objects")),
            None => Ok(true),
        }
    }
}

/// Whether a name at the top of a storage belongs to a repository, as an object or as a directory of objects.
pub(super) fn is_ours(name: &str) -> bool {
    !matches!(ObjectName::parse(name), ObjectName::Foreign(_))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;
    use jiff::Timestamp;
    use object_store::{ObjectMeta, ObjectStoreExt, memory::InMemory};

    use super::*;
    use crate::{
        local::clock::SystemClock,
        storage::{Limits, Storage, Sweep, TopNames},
    };

    #[derive(Debug)]
    struct Top(&'static [&'static str]);

    #[async_trait]
    impl TopNames for Top {
        async fn any(&self, wanted: for<'a> fn(&'a str) -> bool) -> object_store::Result<bool> {
            Ok(self.0.iter().any(|name| wanted(name)))
        }
    }

    #[tokio::test]
    async fn a_place_with_no_name_of_ours_at_its_top_is_not_listed() {
        let store = InMemory::new();
        store.put(&"wal_00000002.history".into(), "x".into()).await.unwrap();
        let store = Arc::new(store);
        for (top, is_repository) in
            [(&["home", "etc"][..], false), (&["home", "...uploading"], true), (&["cluster.json"], true)]
        {
            let storage = Storage::new(Arc::<InMemory>::clone(&store)).with_top_names(Arc::new(Top(top)));
            let repository = Repository::new(storage, "x", Arc::new(SystemClock));
            assert_eq!(repository.inventory().await.is_ok(), is_repository, "{top:?}");
            assert_eq!(repository.is_empty().await.unwrap(), !is_repository, "{top:?}");
        }
    }

    #[derive(Debug)]
    struct Wants(bool);

    #[async_trait]
    impl Sweep for Wants {
        async fn leftovers(&self, _: Timestamp, _: Vec<ObjectMeta>) -> object_store::Result<Vec<String>> {
            Ok(Vec::new())
        }

        fn wants_listed(&self) -> bool {
            self.0
        }

        async fn remove(&self, _: &[String]) -> object_store::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn whatever_may_be_stored_in_parts_is_passed_to_a_sweep_that_wants_it() {
        let store = Arc::new(InMemory::new());
        let large = [
            "backup_manifest_20330828T1810Z.zst",
            "pg_basebackup_20330828T1810Z.index.zst",
            "pg_basebackup_20330828T1810Z.tar.zst",
            "wal_00000001000000000000005C.zst",
        ];
        for name in large {
            store.put(&name.into(), "abcde".into()).await.unwrap();
        }
        let other = "wal_00000001000000000000005D";
        for (name, content) in [("wal_00000002.history", "abc"), (other, "abcd"), ("foreign", "abcde")] {
            store.put(&name.into(), content.into()).await.unwrap();
        }
        for (wants, expected) in [(true, &large[..]), (false, &[])] {
            let storage = Storage::new(Arc::<InMemory>::clone(&store))
                .with_limits(Limits { part_bytes: 4, ..Limits::default() })
                .with_sweep(Arc::new(Wants(wants)));
            let repository = Repository::new(storage, "x", Arc::new(SystemClock));
            let long = repository.inventory().await.unwrap().long;
            assert_eq!(long.iter().map(|object| object.location.as_ref()).collect::<Vec<_>>(), expected);
        }
    }
}
