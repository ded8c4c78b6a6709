//! Reads a listing entry by entry. After a page that may or may not be the last, the next one is requested at once, while
//! the caller works on the entries.

use std::collections::VecDeque;

use futures::{
    StreamExt,
    stream::{BoxStream, try_unfold},
};
use object_store::Result;
use tokio::task::JoinSet;

use super::{Cursor, Entry, Listings, page::Row};

/// The position in a listing, with what was read and not yet returned.
struct ReadAhead {
    listings: Listings,
    cursor: Cursor,
    entries: VecDeque<Entry>,
    /// The request for the next page, if it is on its way. Dropping it ends it.
    next: JoinSet<Result<(Cursor, Vec<Row>)>>,
}

impl Listings {
    /// Returns the objects of a listing as a stream.
    pub(super) fn entries(&self, cursor: Cursor) -> BoxStream<'static, Result<Entry>> {
        let reader =
            ReadAhead { listings: self.clone(), cursor, entries: VecDeque::new(), next: JoinSet::new() };
        let next =
            |mut reader: ReadAhead| async move { Ok(reader.entry().await?.map(|entry| (entry, reader))) };
        try_unfold(reader, next).boxed()
    }
}

impl ReadAhead {
    async fn entry(&mut self) -> Result<Option<Entry>> {
        loop {
            if let Some(entry) = self.entries.pop_front() {
                return Ok(Some(entry));
            }
            if self.cursor.done {
                return Ok(None);
            }
            self.read_page().await?;
        }
    }

    async fn read_page(&mut self) -> Result<()> {
        let asked = self.cursor.limit;
        let (cursor, rows) = match self.next.join_next().await {
            Some(page) => page??,
            None => page(self.listings.clone(), self.cursor.clone()).await?,
        };
        if !cursor.done && !cursor.fills_pages && rows.len() < asked {
            self.next.spawn(page(self.listings.clone(), cursor.clone()));
        }
        self.cursor = cursor;
        self.entries.extend(rows.into_iter().filter_map(Row::object));
        Ok(())
    }
}

async fn page(listings: Listings, mut cursor: Cursor) -> Result<(Cursor, Vec<Row>)> {
    let rows = listings.page(&mut cursor).await?;
    Ok((cursor, rows))
}
