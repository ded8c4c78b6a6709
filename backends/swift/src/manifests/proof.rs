//! Which segments a large object has whose manifest can't be read: a listing proves it. The tag of the object is the MD5
//! of its segments' tags, so that no other segments have it.

use object_store::Result;

use super::{Manifests, Segment, e_tag};
use crate::{error::StoreError, listing::Entry, target::Target};

impl Manifests {
    /// Returns the segments of each upload that has the content of the object with this tag: uploads of this store, or
    /// else of python-swiftclient, which names the segments `<object>/<time>/<size>/<segment size>/<number>`. There may
    /// be several, of the same content; then the object may consist of any of them.
    pub(crate) async fn uploads_of(&self, object: &Target, tag: &str) -> Result<Vec<Vec<Segment>>> {
        let uploads = self.uploads_under(&format!("{object}/upload-"), tag).await?;
        if !uploads.is_empty() {
            return Ok(uploads);
        }
        self.uploads_under(&format!("{}/", object.name), tag).await
    }

    async fn uploads_under(&self, prefix: &str, tag: &str) -> Result<Vec<Vec<Segment>>> {
        let container = &self.containers.segments;
        let entries = match self.listings.names_under(container, prefix).await {
            Ok(entries) => entries,
            Err(error) if StoreError::is_missing_container(&error) => Vec::new(),
            Err(error) => return Err(error),
        };
        let mut uploads = uploads(container, &entries);
        uploads.retain(|upload| e_tag(upload) == tag);
        Ok(uploads)
    }
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
