//! Which segments a large object has whose manifest can't be read: a listing proves it. The tag of the object is the MD5
//! of its segments' tags, so that no others have it.
//!
//! Several uploads may have these segments: uploads of the same content, and one that has stored more than its manifest
//! names. The object may consist of any of them.

use object_store::Result;

use super::{Manifests, Segment, e_tag, targets};
use crate::{error::StoreError, listing::Entry, target::Target};

impl Manifests {
    /// Returns everything that each upload has stored of which the object with this tag may consist: uploads of this
    /// store, or else of python-swiftclient, which names the segments
    /// `<object>/<time>/<size>/<segment size>/<number>`. The first has exactly the segments of the object.
    pub(crate) async fn uploads_of(&self, object: &Target, tag: &str) -> Result<Vec<Vec<Segment>>> {
        let uploads = self.uploads_under(&format!("{object}/upload-"), tag).await?;
        if !uploads.is_empty() {
            return Ok(uploads);
        }
        self.uploads_under(&format!("{}/", object.name), tag).await
    }

    /// Returns the segments of an object with this tag whose manifest can't be read. None unless a single upload has its
    /// content.
    pub(crate) async fn only_upload_of(&self, object: &Target, tag: &str) -> Result<Option<Vec<Target>>> {
        match &self.uploads_of(object, tag).await?[..] {
            [upload] => Ok(Some(targets(upload))),
            _ => Ok(None),
        }
    }

    /// Returns segments with the content of the object with this tag, if a listing proves that.
    pub(super) async fn proven(&self, object: &Target, tag: &str) -> Result<Option<Vec<Segment>>> {
        Ok(self.uploads_of(object, tag).await?.into_iter().next())
    }

    async fn uploads_under(&self, prefix: &str, tag: &str) -> Result<Vec<Vec<Segment>>> {
        let container = &self.containers.segments;
        let entries = match self.listings.names_under(container, prefix).await {
            Ok(entries) => entries,
            Err(error) if StoreError::is_missing_container(&error) => Vec::new(),
            Err(error) => return Err(error),
        };
        let mut uploads = uploads(container, &entries);
        let Some(exact) = uploads.iter().position(|upload| e_tag(upload) == tag) else {
            return Ok(Vec::new());
        };
        uploads.swap(0, exact);
        let wanted: Vec<_> = uploads[0].iter().map(|segment| segment.e_tag.clone()).collect();
        uploads.retain(|upload| has_in_order(upload.iter().map(|segment| &segment.e_tag), &wanted));
        Ok(uploads)
    }
}

/// Whether an upload with these tags has the wanted ones among them, in this order.
pub(crate) fn has_in_order<'a>(mut tags: impl Iterator<Item = &'a String>, wanted: &[String]) -> bool {
    wanted.iter().all(|wanted| tags.any(|tag| tag == wanted))
}

/// Returns the objects of each directory of a listing, as segments.
fn uploads(container: &str, entries: &[Entry]) -> Vec<Vec<Segment>> {
    let directory = |entry: &Entry| entry.name.rsplit_once('/').map(|(directory, _)| directory.to_owned());
    let same = |a: &Entry, b: &Entry| directory(a) == directory(b);
    entries
        .chunk_by(same)
        .map(|upload| upload.iter().map(|entry| segment(container, entry)).collect())
        .collect()
}

fn segment(container: &str, entry: &Entry) -> Segment {
    Segment {
        name: Target::new(container, &entry.name).path(),
        e_tag: entry.hash.clone(),
        bytes: entry.bytes,
        range: None,
        nested: false,
    }
}
