//! Work that may hang, with an end to the wait for it.

use std::{sync::mpsc, thread, time::Duration};

/// What `work` returns, or none if it takes longer than `limit`.
pub(crate) fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (tell, told) = mpsc::channel();
    let thread = thread::Builder::new().name("last words".to_owned());
    thread.spawn(move || drop(tell.send(work()))).ok()?;
    told.recv_timeout(limit).ok()
}
