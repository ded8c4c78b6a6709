//! Listings one page at a time, for callers that keep the token between pages.

use async_trait::async_trait;
use object_store::{
    Result,
    list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore},
};

use super::Swift;
use crate::listing::{Cursor, PAGE};

/// One page is one request. The token is the last name of the page, so that it is good for as long as one likes,
/// with any prefix and any number of names. A page that is exactly full has one though nothing may follow.
///
/// A page has at most as many names as the cluster lists at once, usually 10,000, and lacks those that aren't a
/// [`Path`](object_store::path::Path). Any delimiter will do that the cluster takes.
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
            ..Cursor::new(&self.0.containers.container, prefix.unwrap_or_default())
        };
        let rows = self.0.listings.page(&mut cursor).await?;
        let result = self.0.listings.list_result(rows, &cursor.delimiter).await?;
        Ok(PaginatedListResult { result, page_token: (!cursor.done).then_some(cursor.marker) })
    }
}
