//! Requests the base backup. The server makes a checkpoint before it begins, which may take hours.

#[cfg(test)]
mod tests;

use swiftwal_postgres::{BaseBackupRequest, BaseBackupSource, BaseBackupStream};
use tokio::time::{Instant, timeout_at};

use super::{
    silence::{CHECKPOINT_LIMIT, Phase},
    unless,
};
use crate::error::Result;

/// A base backup that was requested.
#[derive(Debug)]
pub(super) struct Requested {
    pub(super) stream: Box<dyn BaseBackupStream>,
    /// When it was requested. The limit for the start counts from here.
    pub(super) asked: Instant,
}

/// Requests a base backup, unless `stop` is ready first. Some sources return only when the server has made the
/// checkpoint, so the limit for the start holds here, too.
pub(super) async fn request(
    source: &dyn BaseBackupSource,
    request: &BaseBackupRequest,
    stop: impl Future<Output = ()> + Send,
) -> Result<Requested> {
    let asked = Instant::now();
    let starting = async {
        match timeout_at(asked + CHECKPOINT_LIMIT, source.start(request)).await {
            Ok(stream) => Ok(Requested { stream: stream?, asked }),
            Err(_) => Err(Phase::Checkpoint.overdue(CHECKPOINT_LIMIT, false).into()),
        }
    };
    unless(stop, starting).await
}
