//! Paging: the position in a listing, and whether another page follows.

use http::{HeaderValue, Method, header};

use super::page::Row;
use crate::client::Request;

/// The largest number of names in a page: Swift's default, which few operators reduce.
pub(crate) const PAGE: usize = 10_000;

/// The number of names in the first page after an offset: a caller that gives an offset often wants only the next name.
const FIRST_PAGE: usize = 100;

/// The range to list, and the position in it.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    pub(crate) container: String,
    pub(crate) prefix: String,
    /// The listing continues after this name.
    pub(crate) marker: String,
    /// The listing ends before this name. If it is empty, the listing ends with the prefix.
    pub(crate) end: String,
    /// Names that contain it after the prefix are grouped. Empty to group none.
    pub(crate) delimiter: String,
    pub(crate) limit: usize,
    /// How many names the pages after the next one have.
    pub(crate) later_limit: Option<usize>,
    pub(crate) done: bool,
    /// Whether the server that has sent the last page fills its pages.
    pub(crate) fills_pages: bool,
}

impl Cursor {
    pub(crate) fn new(container: &str, prefix: impl Into<String>) -> Self {
        Self {
            container: container.to_owned(),
            prefix: prefix.into(),
            marker: String::new(),
            end: String::new(),
            delimiter: String::new(),
            limit: PAGE,
            later_limit: None,
            done: false,
            fills_pages: false,
        }
    }

    /// Continues after the name `marker`: with one short page, then with pages of the usual length.
    pub(crate) fn behind(self, marker: &str) -> Self {
        Self { marker: marker.to_owned(), limit: FIRST_PAGE, later_limit: Some(self.limit), ..self }
    }

    pub(crate) fn request(&self) -> Request {
        let mut request = Request::new(Method::GET, &self.container)
            .header(header::ACCEPT, HeaderValue::from_static("application/json"))
            .query("format", "json")
            .query("limit", self.limit.to_string());
        for (name, value) in [
            ("prefix", &self.prefix),
            ("marker", &self.marker),
            ("end_marker", &self.end),
            ("delimiter", &self.delimiter),
        ] {
            if !value.is_empty() {
                request = request.query(name, value);
            }
        }
        request
    }

    /// Moves to the position after a page. Only an empty page is certainly the last. One that isn't full is the last as
    /// well if the server fills its pages: others may return any number of names.
    pub(crate) fn advance(&mut self, rows: &[Row], fills_pages: bool) {
        self.fills_pages = fills_pages;
        self.done = rows.is_empty() || (fills_pages && rows.len() < self.limit);
        self.limit = self.later_limit.take().unwrap_or(self.limit);
        if let Some(last) = rows.last() {
            self.marker = last.name().to_owned();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(names: &[&str]) -> Vec<Row> {
        names.iter().map(|name| Row::Subdir { subdir: (*name).to_owned() }).collect()
    }

    #[test]
    fn of_a_server_that_fills_its_pages_a_short_one_is_the_last() {
        let mut cursor = Cursor { limit: 2, ..Cursor::new("c", "") };
        cursor.advance(&rows(&["a", "b"]), true);
        assert!(!cursor.done);
        assert!(cursor.request().query.contains(&("marker", "b".to_owned())));
        cursor.advance(&rows(&["c"]), true);
        assert!(cursor.done);
    }

    #[test]
    fn of_any_other_server_only_an_empty_page_is_the_last() {
        let mut cursor = Cursor::new("c", "");
        cursor.advance(&rows(&["a"; 22]), false);
        assert!(!cursor.done);
        cursor.advance(&[], false);
        assert!(cursor.done);
    }

    #[test]
    fn behind_an_offset_the_first_page_is_short_and_the_later_ones_are_not() {
        let mut cursor = Cursor::new("c", "").behind("a");
        assert!(cursor.request().query.contains(&("limit", "100".to_owned())));
        assert!(cursor.request().query.contains(&("marker", "a".to_owned())));
        cursor.advance(&rows(&["b"; 100]), true);
        assert!(!cursor.done);
        assert!(cursor.request().query.contains(&("limit", "10000".to_owned())));
    }
}
