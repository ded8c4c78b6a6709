//! Cancels a base backup that is given up.

use std::{thread, time::Duration};

use tokio::{runtime::Builder, time::timeout};

use crate::replication::CancelToken;

/// How long is waited until the server has the request.
const LIMIT: Duration = Duration::from_secs(2);

/// Asks the server to cancel what a session waits for when this is dropped. A server that makes a checkpoint would notice
/// the closed connection only afterwards.
///
/// Dropping it blocks the thread until the request is sent, for two seconds at most: the process may end right after.
#[derive(Debug)]
pub(crate) struct CancelGuard(Option<CancelToken>);

impl CancelGuard {
    pub(crate) fn new(token: CancelToken) -> Self {
        Self(Some(token))
    }

    /// There is nothing to cancel any more.
    pub(crate) fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for CancelGuard {
    fn drop(&mut self) {
        let Some(token) = self.0.take() else { return };
        // In a runtime of its own, since the current one may have only this thread, and may be about to end.
        let sending = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            runtime
                .is_ok_and(|runtime| runtime.block_on(async { timeout(LIMIT, token.cancel()).await }).is_ok())
        });
        if !sending.join().unwrap_or(false) {
            tracing::debug!(
                "the server wasn't asked to cancel the backup; it notices when it writes to the connection"
            );
        }
    }
}
