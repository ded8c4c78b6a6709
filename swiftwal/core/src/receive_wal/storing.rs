//! Stores what is in the spool, in order, and then removes it there.
//!
//! It goes on for as long as the storage fails; only a refusal ends it, such as different content under the name of a
//! segment. Nothing is ever skipped, so the position that it publishes has no gap before it.

use std::{convert::Infallible, time::Duration};

use swiftwal_compression::Codec;
use swiftwal_postgres::{Lsn, SegmentName, SegmentSize, WalName};
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    ReceiveOptions,
    pause::{Pause, may_pass},
    positions::Positions,
    spool::Spool,
};
use crate::{
    error::{Error, Result},
    local::content::Beginning,
    repository::{Repository, wal_file::WalFile, wal_received::ContentLength},
};

/// How long to wait for the next beginning of a segment if none is stored regularly.
const NEVER: Duration = Duration::from_secs(1 << 30);

/// The part of the receiver that stores.
#[derive(Debug)]
pub(super) struct Storing<'a> {
    repository: &'a Repository,
    spool: &'a Spool,
    positions: &'a Positions,
    codec: Codec,
    /// How often the beginning of the current segment is stored; zero for never.
    partial_interval: Duration,
    /// The segment whose beginning was stored last, and how long that is at least.
    stored_beginning: Option<(SegmentName, u64)>,
}

impl<'a> Storing<'a> {
    pub(super) fn new(
        repository: &'a Repository,
        spool: &'a Spool,
        positions: &'a Positions,
        options: &ReceiveOptions,
    ) -> Self {
        let (codec, partial_interval) = (options.codec, options.partial_interval);
        Self { repository, spool, positions, codec, partial_interval, stored_beginning: None }
    }

    /// Stores everything, until something can't be stored and a retry wouldn't help.
    pub(super) async fn run(&mut self) -> Result<Infallible> {
        self.note_leftovers()?;
        let interval = if self.partial_interval.is_zero() { NEVER } else { self.partial_interval };
        let (mut pause, mut is_due) = (Pause::default(), true);
        let mut next = Instant::now() + interval;
        loop {
            let stored = async {
                self.store_complete().await?;
                self.store_leftovers().await?;
                if is_due { self.store_current().await } else { Ok(()) }
            };
            match stored.await {
                Ok(()) => pause = Pause::default(),
                Err(error) if may_pass(&error) => {
                    let seconds = pause.seconds();
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "can't store WAL; it is kept in the spool. Trying again in {seconds} s"
                    );
                    sleep(pause.next()).await;
                    continue;
                }
                Err(error) => return Err(error),
            }
            if is_due {
                next = Instant::now() + interval;
            }
            is_due = tokio::select! {
                () = self.positions.completed.notified() => false,
                () = self.positions.store_now.notified() => true,
                () = sleep_until(next) => true,
            };
        }
    }

    /// Stores everything that is in the spool, once, and removes it there.
    pub(super) async fn store_all(&self) -> Result<()> {
        self.note_leftovers()?;
        self.store_complete().await?;
        for segment in self.spool.begun()? {
            self.store_begun(segment).await?;
            self.spool.remove(WalName::Partial(segment))?;
        }
        Ok(())
    }

    /// Records what an earlier process may have stored the beginning of.
    fn note_leftovers(&self) -> Result<()> {
        let complete = self.spool.complete()?.into_iter().filter_map(WalName::segment);
        let begun = self.spool.begun()?;
        self.positions.begun().extend(complete.chain(begun));
        Ok(())
    }

    /// Stores the complete files, until there are none.
    async fn store_complete(&self) -> Result<()> {
        loop {
            let names = self.spool.complete()?;
            if names.is_empty() {
                return Ok(());
            }
            self.store_files(names).await?;
        }
    }

    async fn store_files(&self, names: Vec<WalName>) -> Result<()> {
        for name in names {
            let file = WalFile::open(&self.spool.path_of(name))?;
            self.repository.archive_file(&file, self.codec).await?;
            if let WalName::Segment(segment) = name {
                let is_begun = self.positions.begun().remove(&segment);
                if is_begun && let Err(error) = self.repository.remove_received(segment).await {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the incomplete {segment} remains beside the complete one, until a prune removes both"
                    );
                }
            }
            self.spool.remove(name)?;
            self.publish(name, file.bytes(), file.bytes());
            tracing::info!("stored {name}");
        }
        Ok(())
    }

    /// Stores the beginning of the segment that is being received, unless all of that is stored.
    ///
    /// Everything before it is stored first: a segment is complete in the spool before the next one begins.
    async fn store_current(&mut self) -> Result<()> {
        self.store_complete().await?;
        let received = self.positions.received.borrow().clone();
        let Some((segment, beginning)) = received.and_then(|received| received.current) else {
            return Ok(());
        };
        if self.positions.is_all_stored() {
            return Ok(());
        }
        let written = beginning.written;
        let stored = match self.stored_beginning {
            Some((of, bytes)) if of == segment => bytes,
            _ => self.repository.received_bytes(segment).await?,
        };
        self.stored_beginning = Some((segment, stored));
        // An earlier process had received more of it, and the server is sending that again.
        if written < stored {
            return Ok(());
        }
        let (path, size) = (self.spool.path_of(WalName::Partial(segment)), beginning.bytes);
        let Some(file) = WalFile::beginning(segment, &path, beginning)? else { return Ok(()) };
        self.positions.begun().insert(segment);
        self.repository.store_received(segment, &file).await?;
        self.stored_beginning = Some((segment, written));
        self.publish(WalName::Partial(segment), size, written);
        tracing::info!("stored {written} bytes of {segment}");
        Ok(())
    }

    /// Stores the segments that were begun and aren't the current one: that of an earlier process, or the last one of a
    /// timeline that has ended. They are removed from the spool if another segment is being received.
    async fn store_leftovers(&self) -> Result<()> {
        let received = self.positions.received.borrow().clone();
        let current = received.and_then(|received| received.current).map(|(segment, _)| segment);
        for segment in self.spool.begun()? {
            if current != Some(segment) {
                self.store_begun(segment).await?;
                if current.is_some() {
                    self.spool.remove(WalName::Partial(segment))?;
                }
            }
        }
        Ok(())
    }

    /// Stores a segment that was begun, as far as the spool has it, unless the repository has as much.
    async fn store_begun(&self, segment: SegmentName) -> Result<()> {
        let path = self.spool.path_of(WalName::Partial(segment));
        let beginning = self.spool.open_begun(segment)?;
        let bytes = content_bytes(&beginning).map_err(Error::local("read", &path))?;
        let is_stored = self.repository.wal_format(WalName::Segment(segment)).await?.is_some();
        if is_stored {
            // Another process has stored the segment.
            return self.repository.remove_received(segment).await;
        }
        if bytes <= self.repository.received_bytes(segment).await? {
            return Ok(());
        }
        match WalFile::beginning(segment, &path, beginning) {
            Ok(Some(file)) => self.repository.store_received(segment, &file).await,
            // A crash of the machine left a file without content: nothing of it was reported.
            Ok(None) | Err(Error::Damaged { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn publish(&self, name: WalName, segment_bytes: u64, stored: u64) {
        let size = SegmentSize::new(segment_bytes).ok();
        let start = size.and_then(|size| name.segment()?.start(size));
        self.positions.store(name, start.map(|start| start..Lsn(start.0 + stored)));
    }
}

/// Returns the length of the content without the zeros at its end.
fn content_bytes(beginning: &Beginning) -> std::io::Result<u64> {
    let mut piece = vec![0; 256 << 10];
    let mut length = ContentLength::default();
    loop {
        match beginning.read_at(&mut piece, length.read)? {
            0 => return Ok(length.without_zeros),
            read => length.add(&piece[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Arc};

    use bytes::Bytes;
    use object_store::memory::InMemory;
    use swiftwal_compression::Format;
    use swiftwal_postgres::Timeline;

    use super::*;
    use crate::{
        local::clock::SystemClock,
        receive_wal::positions::Received,
        repository::{layout::ObjectName, segment_check::synthetic_segment},
        storage::Storage,
    };

    const SEGMENT_BYTES: u64 = 1 << 20;

    fn content(number: u32) -> Bytes {
        synthetic_segment(number, SEGMENT_BYTES as u32).into()
    }

    /// Otherwise the server would remove a segment that only the spool has.
    #[tokio::test]
    async fn the_beginning_of_a_segment_is_never_flushed_before_the_segments_before_it() {
        let repository =
            Repository::new(Storage::new(Arc::new(InMemory::new())), "a test", Arc::new(SystemClock));
        let directory = tempfile::tempdir().unwrap();
        let spool = Spool::open(directory.path()).unwrap();
        let positions = Positions::new();
        let size = SegmentSize::new(SEGMENT_BYTES).unwrap();
        let name = |number| SegmentName::containing(Timeline::FIRST, Lsn(number * SEGMENT_BYTES), size);
        let mut complete = spool.begin(name(5), size).unwrap();
        complete.append(vec![content(5)]).await.unwrap();
        spool.complete_segment(complete).await.unwrap();
        let mut current = spool.begin(name(6), size).unwrap();
        current.append(vec![content(6).slice(..1000)]).await.unwrap();
        let written = Lsn(6 * SEGMENT_BYTES + 1000);
        positions.received.send_replace(Some(Received {
            timeline: Timeline::FIRST,
            pending: BTreeSet::new(),
            stored: Lsn(5 * SEGMENT_BYTES),
            written,
            current: Some((name(6), current.beginning())),
        }));
        let mut storing = Storing {
            repository: &repository,
            spool: &spool,
            positions: &positions,
            codec: Codec::default(),
            partial_interval: Duration::ZERO,
            stored_beginning: None,
        };
        storing.store_current().await.unwrap();
        assert_eq!(positions.status().flushed, Some(written));
        let object = ObjectName::Wal { name: WalName::Segment(name(5)), format: Format::Zstd };
        assert!(repository.size(&object).await.unwrap().is_some());
    }
}
