//! Runs blocking work in a separate thread, so that it doesn't delay the network.

use std::{future::pending, panic};

use crate::error::Result;

/// Runs `work` in a blocking thread. A panic in it continues in the caller.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(payload) => panic::resume_unwind(payload),
            // The runtime ends, and is about to drop this future too.
            Err(_cancelled) => pending().await,
        },
    }
}
