//! Listings, page by page, and what they show about objects. A listing may lag behind what is stored.
//!
//! [`Cursor`] implements paging: its `advance` decides whether another page follows.

mod cursor;
mod page;
mod read_ahead;
mod shapes;

use std::sync::Arc;

use futures::{FutureExt, StreamExt, TryStreamExt, stream::BoxStream};
use http::{HeaderMap, StatusCode};
use object_store::{ListResult, ObjectMeta, Result, path::Path};

use self::page::Row;
#[cfg(any(test, fuzzing, feature = "fuzz"))]
pub use self::page::fuzz::listing;
pub(crate) use self::{
    cursor::{Cursor, PAGE},
    page::Entry,
};
use crate::{
    client::rejected,
    concurrency::{AT_ONCE, at_once},
    containers::Containers,
    dialect::Server,
    error::StoreError,
    object::{Shape, head_unproven, header, no_length},
    target::Target,
};

/// The longest page: 10,000 names of 1024 bytes, each escaped sixfold, with the other fields.
const PAGE_BYTES: usize = 128 << 20;

/// Lists containers.
#[derive(Clone, Debug)]
pub(crate) struct Listings {
    containers: Arc<Containers>,
}

impl Listings {
    pub(crate) fn new(containers: &Arc<Containers>) -> Self {
        Self { containers: Arc::clone(containers) }
    }

    /// Lists the objects below a prefix, after an offset, in the byte order of their names.
    pub(crate) fn list(
        &self,
        prefix: Option<&Path>,
        offset: Option<&Path>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let cursor = Cursor::new(&self.containers.container, below(prefix));
        let cursor = match offset {
            Some(offset) => cursor.behind(offset.as_ref()),
            None => cursor,
        };
        let this = self.clone();
        self.entries(cursor)
            .try_filter_map(|entry| async move { Ok(entry.location().map(|location| (location, entry))) })
            .map_ok(move |(location, entry)| {
                let this = this.clone();
                async move { this.listed(location, &entry).await }.boxed()
            })
            .try_buffered(AT_ONCE)
            .boxed()
    }

    /// Lists the objects directly below a prefix, and the prefixes below it.
    pub(crate) async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut cursor =
            Cursor { delimiter: "/".to_owned(), ..Cursor::new(&self.containers.container, below(prefix)) };
        let mut rows = Vec::new();
        while !cursor.done {
            rows.extend(self.page(&mut cursor).await?);
        }
        self.list_result(rows, "/").await
    }

    /// Converts rows to objects and to prefixes, which end with a delimiter.
    pub(crate) async fn list_result(&self, rows: Vec<Row>, delimiter: &str) -> Result<ListResult> {
        let (mut common_prefixes, mut entries) = (Vec::new(), Vec::new());
        for row in rows {
            match row {
                Row::Subdir { subdir } => common_prefixes.extend(page::directory(&subdir, delimiter)),
                Row::Object(entry) => entries.extend(entry.location().map(|location| (location, entry))),
            }
        }
        let metas = entries.into_iter().map(|(location, entry)| {
            let this = self.clone();
            async move { this.listed(location, &entry).await }.boxed()
        });
        let objects = at_once(metas).try_collect().await?;
        Ok(ListResult { common_prefixes, objects, extensions: http::Extensions::new() })
    }

    /// Lists every object of any container whose name begins with `prefix`, which needn't end with a slash.
    pub(crate) async fn names_under(&self, container: &str, prefix: &str) -> Result<Vec<Entry>> {
        let mut cursor = Cursor::new(container, prefix);
        let mut entries = Vec::new();
        while !cursor.done {
            entries.extend(self.page(&mut cursor).await?.into_iter().filter_map(Row::object));
        }
        Ok(entries)
    }

    /// Lists the objects of this store's container from the first of these names to the last. The names must be sorted.
    pub(crate) async fn names_among(&self, names: &[&str]) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        if names.is_empty() {
            return Ok(entries);
        }
        let mut cursor = Cursor { limit: PAGE, ..Cursor::over(&self.containers.container, names) };
        while !cursor.done {
            entries.extend(self.page(&mut cursor).await?.into_iter().filter_map(Row::object));
        }
        Ok(entries)
    }

    /// Requests the next page.
    pub(crate) async fn page(&self, cursor: &mut Cursor) -> Result<Vec<Row>> {
        if let Some(info) = self.containers.client.known_info() {
            cursor.limit = cursor.limit.min(info.container_listing_limit.max(1));
        }
        let mut request = cursor.request();
        let mut response = self.containers.send(request.clone()).await?;
        if response.status == StatusCode::PRECONDITION_FAILED {
            // This cluster's pages are shorter.
            let limit = self.containers.client.info_anew().await?.container_listing_limit;
            cursor.limit = limit.clamp(1, cursor.limit.max(1));
            request = cursor.request();
            response = self.containers.send(request.clone()).await?;
        }
        let fills_pages = Server::of(&response.headers) == Some(Server::Swift);
        let mut rows: Vec<Row> = match response.status {
            StatusCode::NO_CONTENT => Vec::new(),
            StatusCode::OK => {
                serde_json::from_slice(&self.containers.whole(&request, response, PAGE_BYTES).await?)
                    .map_err(|error| StoreError::Protocol {
                        target: request.target(),
                        reason: error.to_string(),
                    })?
            }
            _ => return Err(rejected(response).await.into()),
        };
        if rows.first().is_some_and(|row| row.name() < cursor.marker.as_str()) {
            let reason = format!("the page after '{}' begins before it", cursor.marker.escape_debug());
            return Err(StoreError::Protocol { target: request.target(), reason }.into());
        }
        let marker = cursor.marker.clone();
        cursor.advance(&rows, fills_pages);
        // It may begin with the name that ended the previous page, and end the listing with that.
        rows.retain(|row| row.name() != marker);
        cursor.done |= rows.is_empty();
        Ok(rows)
    }

    /// Returns what the listing shows of an object, and requests the object if the listing can't tell.
    async fn listed(&self, location: Path, entry: &Entry) -> Result<ObjectMeta> {
        let mut meta = entry.meta(location)?;
        if entry.may_be_large() {
            let object = Target::new(&self.containers.container, &entry.name);
            if let Some(headers) = head_unproven(&self.containers, &object).await? {
                meta.size = self.size(&entry.name, &headers).await?;
                meta.e_tag = page::e_tag(&headers).or(meta.e_tag);
            }
        }
        Ok(meta)
    }

    /// Returns the size of an object, from the response to its GET or HEAD. Swift omits the size of a dynamic large
    /// object whose segments fill more than one listing; then the sizes of its segments are added.
    pub(crate) async fn size(&self, target: &str, headers: &HeaderMap) -> Result<u64> {
        let length = header(headers, "content-length").and_then(|length| length.parse().ok());
        match (length, Shape::of(headers)) {
            (Some(length), _) => Ok(length),
            (None, Shape::Dynamic { container, prefix }) => {
                let segments = self.names_under(&container, &prefix).await?;
                Ok(segments.iter().map(|segment| segment.bytes).sum())
            }
            (None, _) => Err(no_length(target).into()),
        }
    }
}

/// The prefix with a slash at its end: `a` is a prefix of `a/b`, but not of `ab` or of itself.
fn below(prefix: Option<&Path>) -> String {
    prefix.filter(|prefix| !prefix.as_ref().is_empty()).map(|prefix| format!("{prefix}/")).unwrap_or_default()
}

/// Lists all names, in pages of this size.
#[cfg(test)]
pub(crate) async fn in_pages_of(listings: &Listings, limit: usize) -> Vec<String> {
    let cursor = Cursor { limit, ..Cursor::new(&listings.containers.container, "") };
    listings.entries(cursor).map_ok(|entry| entry.name).try_collect().await.unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_a_part_of_a_path_ends() {
        assert_eq!(below(Some(&Path::from("a/b"))), "a/b/");
        assert_eq!(below(Some(&Path::from("/"))), "");
        assert_eq!(below(None), "");
    }
}
