//! Stores what is in the spool, in order, and then removes it there.
//!
//! It goes on for as long as the storage fails; only a refusal ends it, such as different content under the name of a
//! segment. Nothing is ever skipped, so the position that it publishes has no gap before it.

use std::{collections::BTreeMap, convert::Infallible, pin::pin, time::Duration};

use swiftwal_compression::Codec;
use swiftwal_postgres::{Lsn, SegmentName, SegmentSize, WalName};
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    ReceiveOptions,
    pause::{NEVER, Pause, may_pass},
    positions::Positions,
    spool::Spool,
};
use crate::{
    error::Result,
    local::{
        clock::{Clock, SystemClock},
        content::Fingerprint,
    },
    repository::{Repository, wal_file::WalFile},
};

/// How long storing one segment may take without a warning.
const SLOW: Duration = Duration::from_secs(5 * 60);

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
    /// The leftovers that the repository has, in the state in which they were read.
    stored_leftovers: BTreeMap<SegmentName, Fingerprint>,
}

impl<'a> Storing<'a> {
    pub(super) fn new(
        repository: &'a Repository,
        spool: &'a Spool,
        positions: &'a Positions,
        options: &ReceiveOptions,
    ) -> Self {
        let (codec, partial_interval) = (options.codec, options.partial_interval);
        let (stored_beginning, stored_leftovers) = (None, BTreeMap::new());
        Self { repository, spool, positions, codec, partial_interval, stored_beginning, stored_leftovers }
    }

    /// Stores everything, until something can't be stored and a retry wouldn't help.
    pub(super) async fn run(&mut self) -> Result<Infallible> {
        self.note_leftovers().await?;
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
        self.note_leftovers().await?;
        self.store_complete().await?;
        for segment in self.spool.begun().await? {
            self.store_begun(segment).await?;
            self.spool.remove(WalName::Partial(segment)).await?;
        }
        Ok(())
    }

    /// Records what an earlier process may have stored the beginning of.
    async fn note_leftovers(&self) -> Result<()> {
        let (complete, begun) = (self.spool.complete().await?, self.spool.begun().await?);
        self.positions.begun().extend(complete.into_iter().chain(begun));
        Ok(())
    }

    /// Stores the complete segments, until there are none.
    async fn store_complete(&self) -> Result<()> {
        loop {
            let segments = self.spool.complete().await?;
            if segments.is_empty() {
                return Ok(());
            }
            for segment in segments {
                self.store_segment(segment).await?;
            }
        }
    }

    async fn store_segment(&self, segment: SegmentName) -> Result<()> {
        let file = self.spool.open_complete(segment).await?;
        warn_if_slow(segment, self.repository.archive_file(&file, self.codec)).await?;
        let is_begun = self.positions.begun().remove(&segment);
        if is_begun && let Err(error) = self.repository.remove_received(segment).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the incomplete {segment} remains beside the complete one, until a prune removes both"
            );
        }
        let name = WalName::Segment(segment);
        self.spool.remove(name).await?;
        self.publish(name, file.bytes(), file.bytes());
        tracing::info!("stored {name}");
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
        warn_if_slow(segment, self.repository.store_received(segment, &file)).await?;
        self.stored_beginning = Some((segment, written));
        self.publish(WalName::Partial(segment), size, written);
        tracing::info!("stored {written} bytes of {segment}");
        Ok(())
    }

    /// Stores the segments that were begun and aren't the current one: that of an earlier process, or the last one of a
    /// timeline that has ended. They are removed from the spool if one at their position or behind it is being received. What
    /// doesn't change is read once.
    async fn store_leftovers(&mut self) -> Result<()> {
        for segment in self.spool.begun().await? {
            // Asked anew for each: the receiver goes on meanwhile.
            if self.positions.current() == Some(segment) {
                continue;
            }
            let found = self.spool.fingerprint(segment).await?;
            if found.is_none() || self.stored_leftovers.get(&segment) != found.as_ref() {
                self.store_begun(segment).await?;
            }
            // The receiver only goes forward, so it never begins a segment of the same position or before.
            let is_passed =
                |current: SegmentName| current != segment && segment.position() <= current.position();
            if self.positions.current().is_some_and(is_passed) {
                self.spool.remove(WalName::Partial(segment)).await?;
                self.stored_leftovers.remove(&segment);
            } else if let Some(found) = found.filter(|found| !found.is_young(SystemClock.now())) {
                self.stored_leftovers.insert(segment, found);
            }
        }
        Ok(())
    }

    /// Stores a segment that was begun, as far as the spool has it, unless the repository has as much.
    async fn store_begun(&self, segment: SegmentName) -> Result<()> {
        let path = self.spool.path_of(WalName::Partial(segment));
        let beginning = self.spool.open_begun(segment).await?;
        let is_stored = self.repository.wal_format(WalName::Segment(segment)).await?.is_some();
        if is_stored {
            // Another process has stored the segment.
            return self.repository.remove_received(segment).await;
        }
        if beginning.written <= self.repository.received_bytes(segment).await? {
            return Ok(());
        }
        match WalFile::beginning(segment, &path, beginning)? {
            Some(file) => self.repository.store_received(segment, &file).await,
            // A crash of the machine left a file without content: nothing of it was reported.
            None => Ok(()),
        }
    }

    fn publish(&self, name: WalName, segment_bytes: u64, stored: u64) {
        let size = SegmentSize::new(segment_bytes).ok();
        let start = size.and_then(|size| name.segment()?.start(size));
        self.positions.store(name, start.map(|start| start..Lsn(start.0 + stored)));
    }
}

/// Warns, again and again, while storing a segment takes long: a file system that hangs reports no error.
async fn warn_if_slow<T>(segment: SegmentName, stored: impl Future<Output = T>) -> T {
    let mut stored = pin!(stored);
    loop {
        tokio::select! {
            outcome = &mut stored => return outcome,
            () = sleep(SLOW) => tracing::warn!(
                "the storage has been taking {segment} for more than {} minutes; WAL is kept in the spool",
                SLOW.as_secs() / 60
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        fs::{File, FileTimes},
        path::Path,
        sync::Arc,
        time::SystemTime,
    };

    use bytes::Bytes;
    use object_store::memory::InMemory;
    use swiftwal_compression::Format;
    use swiftwal_postgres::Timeline;
    use tempfile::TempDir;

    use super::*;
    use crate::{
        local::clock::SystemClock,
        receive_wal::{positions::Received, spool::private_directory},
        repository::{layout::ObjectName, segment_check::synthetic_segment},
        storage::Storage,
    };

    const SEGMENT_BYTES: u64 = 1 << 20;

    fn content(number: u32) -> Bytes {
        synthetic_segment(number, SEGMENT_BYTES as u32).into()
    }

    fn options(spool: &Path) -> ReceiveOptions {
        ReceiveOptions {
            slot: "swiftwal".to_owned(),
            create_slot: false,
            spool: spool.to_owned(),
            spool_bytes: 0,
            partial_interval: Duration::ZERO,
            allow_standby: false,
            codec: Codec::default(),
        }
    }

    /// Returns an empty repository, an empty spool and its directory, and the positions before the first stream.
    fn empty() -> (Repository, TempDir, Spool, Positions) {
        let storage = Storage::new(Arc::new(InMemory::new()));
        let directory = private_directory();
        let spool = Spool::open(directory.path()).unwrap();
        (Repository::new(storage, "a test", Arc::new(SystemClock)), directory, spool, Positions::new())
    }

    /// Otherwise the server would remove a segment that only the spool has.
    #[tokio::test]
    async fn the_beginning_of_a_segment_is_never_flushed_before_the_segments_before_it() {
        let (repository, directory, spool, positions) = empty();
        let size = SegmentSize::new(SEGMENT_BYTES).unwrap();
        let name = |number| SegmentName::containing(Timeline::FIRST, Lsn(number * SEGMENT_BYTES), size);
        let mut complete = spool.begin(name(5), size, None).await.unwrap();
        complete.append(vec![content(5)]).await.unwrap();
        spool.complete_segment(complete).await.unwrap();
        let mut current = spool.begin(name(6), size, None).await.unwrap();
        current.append(vec![content(6).slice(..1000)]).await.unwrap();
        let written = Lsn(6 * SEGMENT_BYTES + 1000);
        positions.received.send_replace(Some(Received {
            timeline: Timeline::FIRST,
            pending: BTreeSet::new(),
            stored: Lsn(5 * SEGMENT_BYTES),
            written,
            current: Some((name(6), current.beginning())),
        }));
        let mut storing = Storing::new(&repository, &spool, &positions, &options(directory.path()));
        storing.store_current().await.unwrap();
        assert_eq!(positions.status().flushed, Some(written));
        let object = ObjectName::Wal { name: WalName::Segment(name(5)), format: Format::Zstd };
        assert!(repository.size(&object).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_leftover_is_removed_when_the_receiver_has_passed_it() {
        let (repository, directory, spool, positions) = empty();
        let size = SegmentSize::new(SEGMENT_BYTES).unwrap();
        let name = |timeline, number| {
            SegmentName::containing(Timeline::new(timeline).unwrap(), Lsn(number * SEGMENT_BYTES), size)
        };
        for number in [5, 6, 8] {
            let mut begun = spool.begin(name(1, number), size, None).await.unwrap();
            begun.append(vec![content(number as u32).slice(..1000)]).await.unwrap();
        }
        let current = spool.begin(name(2, 6), size, None).await.unwrap();
        let stream = |current| Received {
            timeline: Timeline::new(2).unwrap(),
            pending: BTreeSet::new(),
            stored: Lsn(6 * SEGMENT_BYTES),
            written: Lsn(6 * SEGMENT_BYTES),
            current,
        };
        let mut storing = Storing::new(&repository, &spool, &positions, &options(directory.path()));
        // Between two segments it isn't known which one it is going to receive.
        positions.received.send_replace(Some(stream(None)));
        storing.store_leftovers().await.unwrap();
        assert_eq!(spool.begun().await.unwrap().len(), 4);
        positions.received.send_replace(Some(stream(Some((name(2, 6), current.beginning())))));
        storing.store_leftovers().await.unwrap();
        // It is going to be received over the file of an earlier process.
        assert_eq!(spool.begun().await.unwrap(), [name(1, 8), name(2, 6)]);
        assert_eq!(repository.received_bytes(name(1, 8)).await.unwrap(), 1000);
    }

    /// While no server is reachable, nothing else is current.
    #[tokio::test]
    async fn what_an_earlier_process_left_is_read_once_unless_it_changes() {
        let (repository, directory, spool, positions) = empty();
        let segment = SegmentName::containing(
            Timeline::FIRST,
            Lsn(5 * SEGMENT_BYTES),
            SegmentSize::new(SEGMENT_BYTES).unwrap(),
        );
        let path = spool.path_of(WalName::Partial(segment));
        let leave = |bytes: usize, seconds: u64| {
            let mut left = content(5)[..bytes].to_vec();
            left.resize(SEGMENT_BYTES as usize, 0);
            std::fs::write(&path, left).unwrap();
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            let file = File::options().write(true).open(&path).unwrap();
            file.set_times(FileTimes::new().set_modified(time)).unwrap();
        };
        let mut storing = Storing::new(&repository, &spool, &positions, &options(directory.path()));
        leave(1000, 1);
        storing.store_leftovers().await.unwrap();
        assert_eq!(repository.received_bytes(segment).await.unwrap(), 1000);
        repository.remove_received(segment).await.unwrap();
        storing.store_leftovers().await.unwrap();
        assert_eq!(repository.received_bytes(segment).await.unwrap(), 0);
        leave(2000, 2);
        storing.store_leftovers().await.unwrap();
        assert_eq!(repository.received_bytes(segment).await.unwrap(), 2000);
        assert!(path.exists());
    }
}
