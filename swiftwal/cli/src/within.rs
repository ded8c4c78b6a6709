//! Runs work that may hang, and waits for it for a limited time.

use std::{sync::mpsc, thread, time::Duration};

/// Runs `work` in a thread of this name. Returns its result, or None if it takes longer than `limit`.
pub(crate) fn within<T: Send + 'static>(
    name: &str,
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (sender, receiver) = mpsc::channel();
    let thread = thread::Builder::new().name(name.to_owned());
    thread.spawn(move || drop(sender.send(work()))).ok()?;
    receiver.recv_timeout(limit).ok()
}
