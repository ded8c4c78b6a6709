//! Listings of a directory: the metadata of each object, in bounded memory.

use std::{
    fs::Metadata,
    os::unix::fs::MetadataExt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::{SystemTime, UNIX_EPOCH},
};

use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use object_store::{ObjectMeta, Result, path::Path};
use tokio::task::spawn_blocking;

use super::{
    error::Error,
    root::Root,
    trace::Trace,
    walk::{FoundFile, Walk, Wanted},
};

/// How many batches are processed at a time. A second thread nearly halves the time for a large directory, and a third
/// batch keeps it busy while the first one is consumed.
const BATCHES: usize = 3;

/// Lists the objects below `prefix` whose names follow `offset`, unordered and in bounded memory.
///
/// An object that is created or deleted meanwhile may be included or not. Every other object is included once.
pub(super) fn list(
    root: &Arc<Root>,
    prefix: Option<&Path>,
    offset: Option<&Path>,
) -> BoxStream<'static, Result<ObjectMeta>> {
    let offset = offset.cloned();
    let trace = Trace::new("LIST", prefix.map_or("", AsRef::as_ref));
    let counted = Arc::new(AtomicU64::new(0));
    let listed = Arc::clone(&counted);
    stream::try_unfold(Walk::new(root, Wanted::Objects, prefix), next_names)
        .map_ok(move |names| {
            let offset = offset.clone();
            look_at(move || objects(names, offset.as_ref()))
        })
        .try_buffered(BATCHES)
        .map_ok(|objects| stream::iter(objects).map(Ok))
        .try_flatten()
        .inspect_ok(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
        })
        .chain(stream::poll_fn(move |_| {
            trace.listed(listed.load(Ordering::Relaxed));
            Poll::Ready(None)
        }))
        .boxed()
}

async fn look_at<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T> {
    Ok(spawn_blocking(work).await??)
}

/// Returns the next names, and the rest of the walk.
pub(super) async fn next_names(mut walk: Walk) -> Result<Option<(Vec<FoundFile>, Walk)>> {
    look_at(move || {
        let names = walk.next_batch()?;
        Ok((!names.is_empty()).then_some((names, walk)))
    })
    .await
}

fn objects(names: Vec<FoundFile>, offset: Option<&Path>) -> Result<Vec<ObjectMeta>, Error> {
    let wanted = |found: &FoundFile| offset.is_none_or(|offset| found.location > *offset);
    names.into_iter().filter(wanted).filter_map(|found| object(found).transpose()).collect()
}

fn object(found: FoundFile) -> Result<Option<ObjectMeta>, Error> {
    let Some(metadata) = found.metadata()? else { return Ok(None) };
    let modified = found.modified(&metadata)?;
    Ok(Some(object_meta(found.location, &metadata, modified)))
}

/// Returns the metadata of the object in a file.
pub(super) fn object_meta(location: Path, metadata: &Metadata, modified: SystemTime) -> ObjectMeta {
    ObjectMeta {
        e_tag: Some(e_tag(metadata, modified)),
        last_modified: modified.into(),
        location,
        size: metadata.len(),
        version: None,
    }
}

/// The tag that `LocalFileSystem` gives to an object that is requested by name.
fn e_tag(metadata: &Metadata, modified: SystemTime) -> String {
    let since_1970 = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    // 64 bits suffice for 580,000 years, and are formatted several times as fast as 128.
    let micros = since_1970.as_secs() * 1_000_000 + u64::from(since_1970.subsec_micros());
    format!("\"{:x}-{micros:x}-{:x}\"", metadata.ino(), metadata.len())
}
