//! Paging: the position of a listing, and whether another page follows.

use http::{HeaderValue, Method, header};

use super::page::Row;
use crate::client::Request;

/// Most names of one page: Swift's default, and hardly anyone's is lower.
pub(crate) const PAGE: usize = 10_000;

/// What is to be listed, and how far that has come.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    pub(crate) container: String,
    pub(crate) prefix: String,
    /// The listing goes on behind this name.
    pub(crate) marker: String,
    /// It ends before this name; empty: where the prefix ends.
    pub(crate) end: String,
    /// Empty: none.
    pub(crate) delimiter: String,
    pub(crate) limit: usize,
    pub(crate) done: bool,
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
            done: false,
        }
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

    /// Moves on behind a page. A page that isn't full is the last; but a server that silently hands out less than it
    /// is asked for (Ceph) stops at a round number.
    pub(crate) fn advance(&mut self, rows: &[Row]) {
        let is_full = rows.len() >= self.limit || rows.len().is_multiple_of(1000);
        self.done = rows.is_empty() || !is_full;
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
    fn a_full_page_is_followed_by_another_and_a_short_one_is_the_last() {
        let mut cursor = Cursor { limit: 2, ..Cursor::new("c", "") };
        cursor.advance(&rows(&["a", "b"]));
        assert!(!cursor.done);
        assert!(cursor.request().query.contains(&("marker", "b".to_owned())));
        cursor.advance(&rows(&["c"]));
        assert!(cursor.done);
    }

    #[test]
    fn a_round_number_of_names_may_not_be_all_though_more_were_asked_for() {
        let mut cursor = Cursor::new("c", "");
        cursor.advance(&rows(&["a"; 5000]));
        assert!(!cursor.done);
        cursor.advance(&rows(&["a"; 4999]));
        assert!(cursor.done);
    }

    #[test]
    fn an_empty_page_is_the_last() {
        let mut cursor = Cursor::new("c", "");
        cursor.advance(&[]);
        assert!(cursor.done);
    }
}
