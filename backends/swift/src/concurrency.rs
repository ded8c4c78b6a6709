//! Runs a few requests at a time.

use futures::{
    StreamExt,
    future::BoxFuture,
    stream::{self, Buffered},
};

/// The largest number of simultaneous requests where each object takes one.
pub(crate) const AT_ONCE: usize = 8;

/// Runs the futures, a few at a time, and returns their results in order.
pub(crate) fn at_once<'a, T>(
    futures: impl Iterator<Item = BoxFuture<'a, T>>,
) -> Buffered<stream::Iter<std::vec::IntoIter<BoxFuture<'a, T>>>> {
    stream::iter(futures.collect::<Vec<_>>()).buffered(AT_ONCE)
}
