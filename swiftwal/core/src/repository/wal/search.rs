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
