//! Finds and removes the segments that uploads have left behind.

mod inventory;

use std::{collections::HashSet, time::SystemTime};

use futures::{FutureExt, TryStreamExt};
use object_store::{ObjectMeta, Result};

use self::inventory::{Inventory, Tags};
use crate::{
    concurrency::at_once,
    error::StoreError,
    large::{segments_of, upload_of},
    listing::Entry,
    manifests::Segment,
    outage::Outage,
    store::{Store, Swift},
    target::Target,
};

impl Swift {
    /// Names the uploads that have left segments behind: no manifest of this container names them, and nothing
    /// was added to them since `before`. Each is named by where its segments lie below the
    /// name of this container, `<object>/upload-<unique>`.
    ///
    /// An upload in progress is never among them as long as it stores a segment now and then, and completes soon
    /// after the last: choose a time a day ago. Only what was uploaded to this container is looked at; what other
    /// containers and other programs keep beside it is not.
    ///
    /// It costs two listings, as long as these show that every upload belongs to its object: that of the segments,
    /// and of the stretch of names which the older uploads were for. Otherwise the manifests are read. That a manifest
    /// is absent is decided by asking for it, never by a listing.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from being certain. A missing container of segments has nothing in it.
    pub async fn leftovers(&self, before: SystemTime) -> Result<Vec<String>> {
        self.leftovers_after_listing(before, Vec::new()).await
    }

    /// As [`leftovers`](Self::leftovers), for a caller that has just listed the container: `listed` is what that listing
    /// showed, or a part of it. If it shows that every upload belongs to its object, the second listing is saved.
    ///
    /// # Errors
    ///
    /// As [`leftovers`](Self::leftovers).
    pub async fn leftovers_after_listing(
        &self,
        before: SystemTime,
        listed: Vec<ObjectMeta>,
    ) -> Result<Vec<String>> {
        let store = &self.0;
        let Some(segments) = store.segments_listed().await? else { return Ok(Vec::new()) };
        let inventory = Inventory::new(&store.containers.container, segments)?;
        let mut tags: Tags =
            listed.into_iter().filter_map(|meta| Some((meta.location.into(), meta.e_tag?))).collect();
        let unsettled = inventory.unsettled(&tags, before);
        let entries = store.listings.names_among(&inventory.objects_of(&unsettled)).await?;
        tags.extend(entries.into_iter().filter_map(Entry::tagged));
        let candidates = inventory.unsettled(&tags, before);
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        // A copy may have another name, and the same segments.
        let objects: Vec<_> = store
            .listings
            .names_under(&store.containers.container, "")
            .await?
            .into_iter()
            .filter(Entry::is_static)
            .collect();
        let named = store.named_uploads(&objects).await?;
        let unnamed = candidates.into_iter().filter(|upload| !named.contains(upload));
        let checks = unnamed.map(|upload| {
            async move { Ok::<_, object_store::Error>((store.is_left_over(&upload).await?).then_some(upload)) }.boxed()
        });
        at_once(checks).try_filter_map(|upload| async { Ok(upload) }).try_collect().await
    }

    /// Removes the segments of uploads that [`leftovers`](Self::leftovers) named. One that is gone, or that its
    /// object's manifest names by now, is left alone.
    ///
    /// # Errors
    ///
    /// The first failure, returned at the end. The others are removed anyway, unless the server no longer answers.
    pub async fn remove_leftovers(&self, leftovers: &[String]) -> Result<()> {
        let outage = Outage::default();
        let mut removed = Ok(());
        for upload in leftovers {
            let target = Target::new(self.segments_container(), upload);
            removed = removed.and(outage.or(&target, self.0.remove_leftover(upload)).await);
        }
        removed
    }
}

impl Store {
    async fn remove_leftover(&self, upload: &str) -> Result<()> {
        if !self.is_left_over(upload).await? {
            return Ok(());
        }
        let segments =
            self.listings.names_under(&self.containers.segments, &self.segments_at(upload)).await?;
        let targets: Vec<_> =
            segments.into_iter().map(|entry| Target::new(&self.containers.segments, entry.name)).collect();
        self.deletion.delete_all(&targets).await.into_iter().collect()
    }

    /// Those of this container's objects. None: there is no container of segments.
    async fn segments_listed(&self) -> Result<Option<Vec<Entry>>> {
        match self
            .listings
            .names_under(&self.containers.segments, &segments_of(&self.containers.container))
            .await
        {
            Ok(entries) => Ok(Some(entries)),
            Err(error) if StoreError::is_missing_container(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The uploads that the manifests of these objects name.
    async fn named_uploads(&self, objects: &[Entry]) -> Result<HashSet<String>> {
        let targets: Vec<_> =
            objects.iter().map(|entry| Target::new(&self.containers.container, &entry.name)).collect();
        let manifests = targets.iter().map(|target| self.manifests.manifest(target).boxed());
        let manifests: Vec<_> = at_once(manifests).try_collect().await?;
        Ok(manifests.iter().flatten().flatten().filter_map(|segment| self.upload_named(segment)).collect())
    }

    /// Which upload of this store a manifest names by one of its segments.
    fn upload_named(&self, segment: &Segment) -> Option<String> {
        let target = segment.target().filter(|target| target.container == self.containers.segments)?;
        upload_of(&self.containers.container, &target.name).map(|(upload, _)| upload.to_owned())
    }

    /// What the names of an upload's segments begin with.
    fn segments_at(&self, upload: &str) -> String {
        format!("{}{upload}/", segments_of(&self.containers.container))
    }

    /// Whether the object that an upload was for does without it, by the object's own word.
    async fn is_left_over(&self, upload: &str) -> Result<bool> {
        let below = self.segments_at(upload);
        let Some((_, object)) = upload_of(&self.containers.container, &below) else { return Ok(false) };
        let manifest = self
            .manifests
            .static_manifest(&Target::new(&self.containers.container, object))
            .await?
            .unwrap_or_default();
        Ok(!manifest.iter().any(|segment| self.upload_named(segment).as_deref() == Some(upload)))
    }
}
