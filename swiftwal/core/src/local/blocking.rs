//! Work that would hold up the network, on a thread of its own.

use std::panic;

use crate::error::Result;

/// Runs `work` on a blocking thread. A panic in it goes on in the caller.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(payload) => panic::resume_unwind(payload),
            Err(error) => unreachable!("blocking work is never cancelled: {error}"),
        },
    }
}
