//! Requests a WAL file under one name after the other, without waiting long for any answer.

use std::time::Duration;

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use object_store::GetOptions;
use swiftwal_compression::Format;
use swiftwal_postgres::WalName;
use tokio::time::timeout;

use super::{ObserveSize, PATIENCE, WalObject};
use crate::{
    error::{Error, Result},
    repository::Repository,
};

/// The search for one WAL file. It requests no name twice.
pub(super) struct Search<'a> {
    repository: &'a Repository,
    pub(super) name: WalName,
    options: GetOptions,
    pub(super) observe_size: ObserveSize<'a>,
    requested: Vec<Format>,
    waiting: FuturesUnordered<BoxFuture<'a, Result<Option<WalObject>>>>,
    /// The first failed request.
    failed: Option<Error>,
}

impl<'a> Search<'a> {
    pub(super) fn new(
        repository: &'a Repository,
        name: WalName,
        options: GetOptions,
        observe_size: ObserveSize<'a>,
    ) -> Self {
        let (requested, waiting) = (Vec::new(), FuturesUnordered::new());
        Self { repository, name, options, observe_size, requested, waiting, failed: None }
    }

    /// Requests the file in these `formats`, each as soon as the previous request was answered or is late. None if no
    /// answer so far contains the file; some may be outstanding.
    pub(super) async fn ask(
        &mut self,
        formats: impl IntoIterator<Item = Format, IntoIter: Send> + Send,
    ) -> Option<WalObject> {
        for format in formats {
            if self.requested.contains(&format) {
                continue;
            }
            self.request(format);
            if let Some(Some(found)) = self.answer(PATIENCE).await {
                return Some(found);
            }
        }
        None
    }

    /// As [`ask`](Self::ask), but also waits for the outstanding answers. None if every answer is that the file is
    /// missing.
    ///
    /// # Errors
    ///
    /// The first request that failed; then the answers to the others are waited for only a moment.
    pub(super) async fn ask_and_finish(
        &mut self,
        formats: impl IntoIterator<Item = Format, IntoIter: Send> + Send,
    ) -> Result<Option<WalObject>> {
        if let Some(found) = self.ask(formats).await {
            return Ok(Some(found));
        }
        while !self.waiting.is_empty() {
            let patience = if self.failed.is_none() { Duration::MAX } else { PATIENCE };
            match self.answer(patience).await {
                Some(Some(found)) => return Ok(Some(found)),
                Some(None) => {}
                None => break,
            }
        }
        self.failed.take().map_or(Ok(None), Err)
    }

    fn request(&mut self, format: Format) {
        self.requested.push(format);
        let (repository, name, observe_size) = (self.repository, self.name, self.observe_size);
        let options = self.options.clone();
        let open = async move { repository.open_wal(name, format, options, observe_size).await };
        self.waiting.push(open.boxed());
    }

    /// Returns the next answer, which may be the file; none if it doesn't come in time.
    async fn answer(&mut self, patience: Duration) -> Option<Option<WalObject>> {
        match timeout(patience, self.waiting.next()).await.ok()?? {
            Ok(found) => Some(found),
            Err(error) => {
                self.failed.get_or_insert(error);
                Some(None)
            }
        }
    }

    /// Whether every request was answered, and the file is missing under each name.
    pub(super) fn is_answered(&self) -> bool {
        self.waiting.is_empty() && self.failed.is_none()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::{
        PutMode,
        memory::InMemory,
        throttle::{ThrottleConfig, ThrottledStore},
    };
    use tokio::time::Instant;

    use super::*;
    use crate::{local::clock::SystemClock, repository::layout::ObjectName, storage::Storage};

    const DELAY: Duration = Duration::from_secs(60);

    /// Looks for the WAL file `name` in a storage with one file, the segment 3, whose every answer comes late. Returns
    /// the outcome, and how long it took.
    async fn late(name: &str) -> (Result<()>, Duration) {
        let config = ThrottleConfig { wait_get_per_call: DELAY, ..ThrottleConfig::default() };
        let storage = Storage::new(Arc::new(ThrottledStore::new(InMemory::new(), config)));
        let repository = Repository::new(storage, "a test", Arc::new(SystemClock));
        let stored = "000000010000000000000003".parse().unwrap();
        let object = ObjectName::Wal { name: stored, format: Format::Zstd };
        repository.put(&object, "wal".into(), PutMode::Create).await.unwrap();
        let began = Instant::now();
        let mut search = Search::new(&repository, name.parse().unwrap(), GetOptions::default(), &|_| {});
        let found = search.ask_and_finish(Format::ALL).await;
        (found.map(|found| assert!(found.is_some() == (name == stored.to_string()))), began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn late_answers_are_waited_for_before_a_file_is_missing() {
        let (found, took) = late("000000010000000000000003").await;
        found.unwrap();
        assert_eq!(took, DELAY);
        let (absent, took) = late("000000010000000000000004").await;
        absent.unwrap();
        // Each of the four names was requested a moment after the one before.
        assert_eq!(took, DELAY + 3 * PATIENCE);
    }
}
