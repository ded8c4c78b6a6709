//! Finds and removes the segments that abandoned uploads have left.

mod inventory;

use std::{collections::HashSet, time::SystemTime};

use futures::{FutureExt, TryStreamExt};
use object_store::{ObjectMeta, Result};

use self::inventory::{Inventory, Tags};
use crate::{
    concurrency::at_once,
    error::StoreError,
    handles::Handles,
    large::{segments_of, upload_of},
    listing::Entry,
    manifests::{Manifest, Segment},
    outage::Outage,
    store::{Store, Swift},
    target::Target,
};

impl Swift {
    /// Finds abandoned uploads: no manifest of this container names their segments, and no segment was added since
    /// `before`. Each is named by the prefix of its segments below the name of this container,
    /// `<object>/upload-<unique>`.
    ///
    /// An upload in progress is never among them if it stores a segment from time to time and completes soon after the
    /// last one: set `before` to a day ago. Only uploads to this container are considered, not what other containers
    /// and programs keep in the same container of segments.
    ///
    /// It costs two listings, if these show that every upload belongs to its object: one of the segments, and one of
    /// the range of names that the older uploads were for. Otherwise manifests are read. Only a request for a manifest
    /// proves that it is missing, never a listing.
    ///
    /// # Errors
    ///
    /// Anything that leaves the result uncertain. A missing container of segments is empty.
    pub async fn leftovers(&self, before: SystemTime) -> Result<Vec<String>> {
        self.leftovers_after_listing(before, Vec::new()).await
    }

    /// As [`leftovers`](Self::leftovers), for a caller that has just listed the container: `listed` is the result of
    /// that listing, or a part of it. If it shows that every upload belongs to its object, the second listing is saved.
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
        let inventory = Inventory::new(&store.handles.containers.container, segments)?;
        let mut tags: Tags =
            listed.into_iter().filter_map(|meta| Some((meta.location.into(), meta.e_tag?))).collect();
        let unsettled = inventory.unsettled(&tags, before);
        let entries = store.handles.listings.names_among(&inventory.objects_of(&unsettled)).await?;
        tags.extend(entries.into_iter().filter_map(Entry::tagged));
        let candidates = inventory.unsettled(&tags, before);
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        // A copy may have another name, and the same segments.
        let Some(named) = store.uploads_in_use(&inventory).await? else { return Ok(Vec::new()) };
        let unnamed = candidates.into_iter().filter(|upload| !named.contains(upload));
        let checks = unnamed.map(|upload| {
            async move { Ok::<_, object_store::Error>((store.is_left_over(&upload).await?).then_some(upload)) }.boxed()
        });
        at_once(checks).try_filter_map(|upload| async { Ok(upload) }).try_collect().await
    }

    /// Removes the segments of uploads that [`leftovers`](Self::leftovers) returned. An upload that no longer exists,
    /// or that a manifest names by now, is left alone.
    ///
    /// # Errors
    ///
    /// The first failure, returned at the end. The other uploads are still removed, unless the server no longer
    /// answers.
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
        let segments = self
            .handles
            .listings
            .names_under(&self.handles.containers.segments, &self.segments_at(upload))
            .await?;
        let targets: Vec<_> = segments
            .into_iter()
            .map(|entry| Target::new(&self.handles.containers.segments, entry.name))
            .collect();
        self.handles.deletion.delete_all(&targets).await.into_iter().collect()
    }

    /// Lists the segments of this container's objects. None if there is no container of segments.
    async fn segments_listed(&self) -> Result<Option<Vec<Entry>>> {
        match self
            .handles
            .listings
            .names_under(&self.handles.containers.segments, &segments_of(&self.handles.containers.container))
            .await
        {
            Ok(entries) => Ok(Some(entries)),
            Err(error) if StoreError::is_missing_container(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the uploads that the objects of the container consist of. None if that isn't certain.
    async fn uploads_in_use(&self, inventory: &Inventory) -> Result<Option<HashSet<String>>> {
        let Handles { containers, listings, .. } = &self.handles;
        let mut entries = listings.names_under(&containers.container, "").await?;
        let is_shown = containers.client.dialect().lists_manifests();
        entries.retain(|entry| {
            entry.is_static() || (!is_shown && (entry.may_be_large() || entry.may_be_static()))
        });
        let uses = entries.iter().map(|entry| self.uploads_of(entry, inventory).boxed());
        let uses: Vec<_> = at_once(uses).try_collect().await?;
        Ok(uses.into_iter().collect::<Option<Vec<_>>>().map(|uses| uses.into_iter().flatten().collect()))
    }

    /// Returns the uploads that an object may consist of, according to its manifest or, if that can't be read, to the
    /// tags of their segments. None if neither shows its segments.
    async fn uploads_of(&self, entry: &Entry, inventory: &Inventory) -> Result<Option<Vec<String>>> {
        let Handles { containers, manifests, .. } = &self.handles;
        let object = Target::new(&containers.container, &entry.name);
        let manifest = match entry.is_static() {
            true => manifests.manifest(&object).await?,
            false => manifests.static_manifest(&object).await?,
        };
        let e_tag = match manifest {
            Manifest::Absent | Manifest::Other => return Ok(Some(Vec::new())),
            Manifest::Segments(segments) => {
                return Ok(Some(segments.iter().filter_map(|segment| self.upload_named(segment)).collect()));
            }
            Manifest::Unreadable { e_tag } => e_tag,
        };
        let uploads = inventory.uploads_with(&e_tag);
        if uploads.is_empty() && manifests.uploads_of(&object, &e_tag).await?.is_empty() {
            tracing::warn!(
                %object,
                "leftovers can't be told from the segments of this object, whose manifest can't be read"
            );
            return Ok(None);
        }
        Ok(Some(uploads.into_iter().cloned().collect()))
    }

    /// Returns the upload of this store that a manifest names by one of its segments.
    fn upload_named(&self, segment: &Segment) -> Option<String> {
        let target =
            segment.target().filter(|target| target.container == self.handles.containers.segments)?;
        upload_of(&self.handles.containers.container, &target.name).map(|(upload, _)| upload.to_owned())
    }

    /// The beginning of the names of an upload's segments.
    fn segments_at(&self, upload: &str) -> String {
        format!("{}{upload}/", segments_of(&self.handles.containers.container))
    }

    /// Whether the object that an upload was for certainly doesn't consist of it, according to a request for the object.
    async fn is_left_over(&self, upload: &str) -> Result<bool> {
        let below = self.segments_at(upload);
        let Some((_, object)) = upload_of(&self.handles.containers.container, &below) else {
            return Ok(false);
        };
        let object = Target::new(&self.handles.containers.container, object);
        let names_it = |segments: &[Segment]| {
            segments.iter().any(|segment| self.upload_named(segment).as_deref() == Some(upload))
        };
        Ok(match self.handles.manifests.static_manifest(&object).await? {
            Manifest::Absent | Manifest::Other => true,
            Manifest::Segments(segments) => !names_it(&segments),
            Manifest::Unreadable { e_tag } => {
                let uploads = self.handles.manifests.uploads_of(&object, &e_tag).await?;
                !uploads.is_empty() && !uploads.iter().any(|upload| names_it(upload))
            }
        })
    }
}
