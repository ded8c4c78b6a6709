//! Synchronises a faulty storage with its test, without a clock: each waits for the other.

use std::future::pending;

use tokio::sync::Semaphore;

/// The points at which a faulty storage waits for its test, and the test for the storage.
#[derive(Debug)]
pub(super) struct Pace {
    hung: Semaphore,
    wanted: Semaphore,
    given: Semaphore,
    held: Semaphore,
    let_go: Semaphore,
}

impl Default for Pace {
    fn default() -> Self {
        let [hung, wanted, given, held, let_go] = [0; 5].map(Semaphore::new);
        Self { hung, wanted, given, held, let_go }
    }
}

impl Pace {
    /// Never returns, since there is no answer.
    pub(super) async fn hang<T>(&self) -> T {
        self.hung.add_permits(1);
        pending().await
    }

    /// Returns when a call hangs.
    pub(super) async fn hung(&self) {
        take(&self.hung).await;
    }

    /// Returns when the test releases the next byte.
    pub(super) async fn byte(&self) {
        self.wanted.add_permits(1);
        take(&self.given).await;
    }

    /// Returns when the storage waits for a byte.
    pub(super) async fn wanted(&self) {
        take(&self.wanted).await;
    }

    /// Releases the byte that the storage waits for.
    pub(super) fn give(&self) {
        self.given.add_permits(1);
    }

    /// Returns when the test releases the answer.
    pub(super) async fn hold(&self) {
        self.held.add_permits(1);
        take(&self.let_go).await;
    }

    /// Returns when an answer is delayed.
    pub(super) async fn held(&self) {
        take(&self.held).await;
    }

    /// Releases the delayed answer.
    pub(super) fn let_go(&self) {
        self.let_go.add_permits(1);
    }
}

async fn take(semaphore: &Semaphore) {
    // No semaphore is ever closed.
    if let Ok(permit) = semaphore.acquire().await {
        permit.forget();
    }
}
