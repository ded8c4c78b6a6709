//! Cancels a base backup that is given up.

use tokio::runtime::Handle;

use crate::replication::CancelToken;

/// Asks the server to cancel what a session waits for when this is dropped. A server that makes a checkpoint would notice
/// the closed connection only afterwards.
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
        if let (Some(token), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            // If the process ends before that, the server notices when it writes to the connection.
            runtime.spawn(async move { token.cancel().await });
        }
    }
}
