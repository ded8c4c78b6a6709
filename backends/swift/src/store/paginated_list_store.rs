//! Listings one page at a time, for callers that keep the token between pages.

use async_trait::async_trait;
use object_store::{
    Result,
    list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore},
};

use super::Swift;
use crate::listing::{Cursor, PAGE};

/// Each page is one request, unless the server returns fewer names than requested without saying that they are the
/// last. The token is the last name of the page, so it doesn't expire, and it can be used with any prefix and page size.
/// A page that is exactly full has a token even if nothing follows.
///
/// A page has at most as many names as the cluster lists at once, usually 10,000. It lacks names that aren't a
/// [`Path`](object_store::path::Path). Any delimiter that the cluster accepts can be used.
#[async_trait]
impl PaginatedListStore for Swift {
    async fn list_paginated(
        &self,
        prefix: Option<&str>,
        opts: PaginatedListOptions,
    ) -> Result<PaginatedListResult> {
        let PaginatedListOptions { offset, delimiter, max_keys, page_token, .. } = opts;
        let mut cursor = Cursor {
            marker: offset.max(page_token).unwrap_or_default(),
            delimiter: delimiter.unwrap_or_default().into_owned(),
            limit: max_keys.unwrap_or(PAGE).min(PAGE),
            ..Cursor::new(&self.0.handles.containers.container, prefix.unwrap_or_default())
        };
        let wanted = cursor.limit;
        let mut rows = self.0.handles.listings.page(&mut cursor).await?;
        while !cursor.done && rows.len() < wanted {
            cursor.limit = cursor.limit.min(wanted - rows.len());
            rows.extend(self.0.handles.listings.page(&mut cursor).await?);
        }
        let result = self.0.handles.listings.list_result(rows, &cursor.delimiter).await?;
        Ok(PaginatedListResult { result, page_token: (!cursor.done).then_some(cursor.marker) })
    }
}
