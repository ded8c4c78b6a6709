//! How objects are stored, according to a listing or to requests for the objects.

use std::collections::HashMap;

use futures::FutureExt;
use object_store::Result;

use super::{
    Listings,
    cursor::{Cursor, PAGE},
    page::{Entry, Row},
};
use crate::{
    concurrency::at_once,
    object::{self, Shape},
    outage::Outage,
    target::Target,
};

/// From this number of objects on, a listing may be cheaper than a request for each.
const FEW: usize = 3;

/// The number of rows of a listing that costs Swift about as much as one more request.
const ROWS_A_REQUEST: usize = 100;

impl Listings {
    /// Returns how objects of this store's container are stored. None for an object that doesn't exist.
    ///
    /// One listing shows many of them, if their names are near each other. It may lag, so it is believed only about the
    /// objects that it shows. The others are requested one by one; so are objects with the MD5 of nothing, which may be
    /// large ([`Entry::may_be_large`]), and long ones, since some clusters show static large objects as plain. An object
    /// that became a large one a moment ago may be mistaken for a plain one.
    ///
    /// # Errors
    ///
    /// The listing's failure, which leaves the shape of all objects unknown. Each outcome has the failure of its own
    /// request.
    pub(crate) async fn shapes(&self, objects: &[Target]) -> Result<Vec<Result<Option<Shape>>>> {
        let listed = match self.listed_shapes(objects).await {
            // Credentials that may delete may lack permission to list.
            Err(object_store::Error::PermissionDenied { .. }) => HashMap::new(),
            listed => listed?,
        };
        let outage = Outage::default();
        let shapes = objects.iter().map(|object| {
            let (known, outage) = (listed.get(&object.name), &outage);
            async move {
                match known {
                    Some(shape) => Ok(Some(shape.clone())),
                    None => outage.or(object, object::shape(&self.containers, object)).await,
                }
            }
            .boxed()
        });
        Ok(futures::StreamExt::collect(at_once(shapes)).await)
    }

    /// Returns the shapes that a listing shows, as far as listings are worth their cost.
    async fn listed_shapes(&self, objects: &[Target]) -> Result<HashMap<String, Shape>> {
        let mut names: Vec<_> = objects.iter().map(|object| object.name.as_str()).collect();
        names.sort_unstable();
        let (mut rest, mut shapes) = (&names[..], HashMap::new());
        while rest.len() >= FEW {
            let mut cursor = Cursor::over(&self.containers.container, rest);
            let rows = self.page(&mut cursor).await?;
            let end = cursor.marker.as_str();
            let covered = if cursor.done { rest.len() } else { rest.partition_point(|name| *name <= end) };
            let paid = covered * ROWS_A_REQUEST >= rows.len();
            let entries = rows.into_iter().filter_map(Row::object);
            let wanted = entries.filter(|entry| rest.binary_search(&entry.name.as_str()).is_ok());
            shapes.extend(wanted.filter_map(|entry| Some((entry.name.clone(), shape(&entry)?))));
            rest = &rest[covered..];
            if !paid {
                break;
            }
        }
        Ok(shapes)
    }
}

impl Cursor {
    /// A cursor over these names, which must be sorted, and the names between them, if these are few.
    pub(super) fn over(container: &str, names: &[&str]) -> Self {
        let (first, last) =
            (names.first().copied().unwrap_or_default(), names.last().copied().unwrap_or_default());
        let mut before = first.chars();
        before.next_back();
        Self {
            marker: before.as_str().to_owned(),
            end: format!("{last}\u{1}"),
            limit: (names.len() * ROWS_A_REQUEST).min(PAGE),
            ..Self::new(container, shared(first, last))
        }
    }
}

/// Returns the common prefix of two names. If these are the first and the last of sorted names, all of them have it.
fn shared<'a>(first: &'a str, last: &str) -> &'a str {
    let same = first.chars().zip(last.chars()).take_while(|(a, b)| a == b);
    &first[..same.map(|(char, _)| char.len_utf8()).sum()]
}

/// Returns how an object is stored; None if the listing doesn't show it.
fn shape(entry: &Entry) -> Option<Shape> {
    if entry.is_static() {
        return Some(Shape::Static);
    }
    (!entry.may_be_large() && !entry.may_be_static()).then_some(Shape::Plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_over_names_begins_before_the_first_and_ends_behind_the_last() {
        let cursor = Cursor::over("c", &["wal_01", "wal_0é", "wal_1"]);
        assert_eq!(cursor.prefix, "wal_");
        assert!(cursor.marker.as_str() < "wal_01" && cursor.end.as_str() > "wal_1");
        assert_eq!(cursor.limit, 3 * ROWS_A_REQUEST);
        assert_eq!(shared("é1", "è1"), "");
    }
}
