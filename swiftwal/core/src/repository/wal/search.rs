//! Requests a WAL file under each name that it can have, without waiting long for any answer.

use std::{collections::BTreeSet, time::Duration};

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

/// The number of a request: the preferred name was requested first.
type Number = usize;

/// The search for one WAL file. It requests no name twice.
pub(super) struct Search<'a> {
    repository: &'a Repository,
    pub(super) name: WalName,
    options: GetOptions,
    pub(super) observe_size: ObserveSize<'a>,
    requested: Vec<Format>,
    waiting: FuturesUnordered<BoxFuture<'a, (Number, Result<Option<WalObject>>)>>,
    outstanding: BTreeSet<Number>,
    /// The file under the preferred one of the names that were found.
    found: Option<(Number, WalObject)>,
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
        Self {
            repository,
            name,
            options,
            observe_size,
            requested: Vec::new(),
            waiting: FuturesUnordered::new(),
            outstanding: BTreeSet::new(),
            found: None,
            failed: None,
        }
    }

    /// Requests the file in these `formats`: the first of all alone, since nearly every file has it, and the others together
    /// as soon as the first request was answered or is late. Of several files, returns the one that was requested first. None
    /// if no answer so far contains the file; some may be outstanding.
    pub(super) async fn ask(&mut self, formats: impl IntoIterator<Item = Format>) -> Option<WalObject> {
        let formats: Vec<_> = formats.into_iter().filter(|format| !self.requested.contains(format)).collect();
        let alone = usize::from(self.requested.is_empty()).min(formats.len());
        let (first, others) = formats.split_at(alone);
        for formats in [first, others] {
            formats.iter().for_each(|format| self.request(*format));
            if let Some(found) = self.preferred(|_| PATIENCE).await {
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
        formats: impl IntoIterator<Item = Format>,
    ) -> Result<Option<WalObject>> {
        if let Some(found) = self.ask(formats).await {
            return Ok(Some(found));
        }
        let patience = |search: &Self| if search.failed.is_none() { Duration::MAX } else { PATIENCE };
        match self.preferred(patience).await {
            Some(found) => Ok(Some(found)),
            None => self.failed.take().map_or(Ok(None), Err),
        }
    }

    fn request(&mut self, format: Format) {
        let number = self.requested.len();
        self.requested.push(format);
        self.outstanding.insert(number);
        let (repository, name, observe_size) = (self.repository, self.name, self.observe_size);
        let options = self.options.clone();
        let open = async move { (number, repository.open_wal(name, format, options, observe_size).await) };
        self.waiting.push(open.boxed());
    }

    /// Waits for answers, for each as long as `patience` says. Returns the file that was requested first, as soon as no
    /// earlier request can find it any more, or an answer is late; none if no answer so far contains the file.
    async fn preferred(&mut self, patience: fn(&Self) -> Duration) -> Option<WalObject> {
        while !self.is_decided()
            && let Ok(Some((number, answer))) = timeout(patience(self), self.waiting.next()).await
        {
            self.outstanding.remove(&number);
            match answer {
                Ok(Some(file)) if self.found.as_ref().is_none_or(|(other, _)| number < *other) => {
                    self.found = Some((number, file));
                }
                Ok(_) => {}
                Err(error) => drop(self.failed.get_or_insert(error)),
            }
        }
        self.found.take().map(|(_, file)| file)
    }

    /// Whether a file was found, and no earlier request is outstanding.
    fn is_decided(&self) -> bool {
        let first = self.outstanding.first();
        self.found.as_ref().is_some_and(|(number, _)| first.is_none_or(|first| number < first))
    }

    /// Whether every request was answered, and the file is missing under each name.
    pub(super) fn is_answered(&self) -> bool {
        self.outstanding.is_empty() && self.failed.is_none()
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

    /// Looks for the WAL file `name` in a storage with one file, the segment 3, whose every answer takes `delay`. Returns
    /// the outcome, and how long it took.
    async fn find(name: &str, format: Format, delay: Duration) -> (Result<()>, Duration) {
        let config = ThrottleConfig { wait_get_per_call: delay, ..ThrottleConfig::default() };
        let storage = Storage::new(Arc::new(ThrottledStore::new(InMemory::new(), config)));
        let repository = Repository::new(storage, "a test", Arc::new(SystemClock));
        let stored = "000000010000000000000003".parse().unwrap();
        let object = ObjectName::Wal { name: stored, format };
        repository.put(&object, "wal".into(), PutMode::Create).await.unwrap();
        let began = Instant::now();
        let mut search = Search::new(&repository, name.parse().unwrap(), GetOptions::default(), &|_| {});
        let found = search.ask_and_finish(Format::ALL).await;
        (found.map(|found| assert!(found.is_some() == (name == stored.to_string()))), began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn late_answers_are_waited_for_before_a_file_is_missing() {
        let delay = Duration::from_secs(60);
        let (found, took) = find("000000010000000000000003", Format::Zstd, delay).await;
        found.unwrap();
        assert_eq!(took, delay);
        let (absent, took) = find("000000010000000000000004", Format::Zstd, delay).await;
        absent.unwrap();
        // The other names were requested a moment after the first one.
        assert_eq!(took, delay + PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_file_takes_the_time_of_two_requests_in_a_row_whatever_names_it_can_have() {
        let delay = Duration::from_millis(20);
        for (name, format, in_a_row) in [
            ("000000010000000000000003", Format::Zstd, 1),
            ("000000010000000000000003", Format::None, 2),
            ("000000010000000000000004", Format::Zstd, 2),
        ] {
            let (found, took) = find(name, format, delay).await;
            found.unwrap();
            assert_eq!(took, in_a_row * delay, "{name} {format}");
        }
    }
}
