//! The reading half: PostgreSQL → tar → frames. Every wait has a limit.

use std::{pin::pin, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use swiftwal_compression::compress_frame;
use swiftwal_postgres::{BackupLabel, BaseBackupEvent, BaseBackupStream, Lsn, Tablespace, Timeline};
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};

use super::{
    BackupEvent, BackupOptions, Observe,
    claim::Claim,
    framer::Framer,
    inspect::Inspector,
    room,
    server_clock::{ServerClock, Sighting},
    wal_wait,
};
use crate::{
    error::{Error, Overdue, Result},
    repository::{Repository, index::IndexedMember, tar_stream::TarStream},
};

/// How long the server may take until the first byte: a spread checkpoint lasts about `checkpoint_timeout`, which
/// people set to an hour and seldom to more.
const CHECKPOINT_LIMIT: Duration = Duration::from_secs(4 * 3600);
/// How long the server may be silent in the middle of the data.
const SILENCE_LIMIT: Duration = Duration::from_secs(600);

/// What goes from the reading to the storing half, in order.
#[derive(Debug)]
pub(super) enum Item {
    /// A tar begins.
    Archive(Option<Tablespace>),
    /// The data directory's tar showed its label.
    Label(BackupLabel),
    /// More of the current tar.
    Frame(PendingFrame),
    /// Every tar is complete. Without this item, the data must not be used.
    End,
}

/// A frame that is being compressed.
#[derive(Debug)]
pub(super) struct PendingFrame {
    pub(super) compressed: JoinHandle<std::io::Result<Vec<u8>>>,
    pub(super) tar_bytes: u64,
    /// The members that end in it.
    pub(super) members: Vec<IndexedMember>,
    /// What lies in it of PostgreSQL's manifest.
    pub(super) manifest: Vec<u8>,
}

/// What the tar of the data directory told.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) label: BackupLabel,
    /// The content of `PG_VERSION`.
    pub(super) version: String,
    pub(super) control: Vec<u8>,
    pub(super) start: (Timeline, Lsn),
    pub(super) stop: (Timeline, Lsn),
    /// When the backup started, by the server's clock.
    pub(super) started: Timestamp,
    /// When it had ended for sure, by the same clock.
    pub(super) finished: Timestamp,
}

/// Reads the whole backup and sends it on, frame by frame. `doubts` are told once it has begun.
pub(super) async fn read(
    source: Source<'_>,
    doubts: Vec<String>,
    options: &BackupOptions,
    observe: Observe<'_>,
    items: mpsc::Sender<Item>,
) -> Result<Received> {
    let Source { repository, claim, mut stream, asked } = source;
    let mut reader = Reader {
        claim,
        options,
        observe,
        items,
        asked,
        doubts,
        listened: Instant::now(),
        tar: None,
        framer: Framer::default(),
        inspector: Inspector::default(),
        label: None,
        clock: None,
        start: None,
    };
    loop {
        let event = next_of_data(&mut *stream, repository, reader.fell_silent(repository), observe).await?;
        let Some(event) = event else {
            return Err(Error::damaged("the base backup", "it ended without a report that it is complete"));
        };
        if let BaseBackupEvent::Finished { lsn, timeline } = event {
            return reader.finish((timeline, lsn)).await;
        }
        reader.take(event).await?;
    }
}

/// The next event but for what is only to be told. What doesn't bring the backup on doesn't prolong its time either: a
/// server that waits for its archiver warns of that now and then.
async fn next_of_data(
    stream: &mut dyn BaseBackupStream,
    repository: &Repository,
    fell_silent: impl Future<Output = Error> + Send,
    observe: Observe<'_>,
) -> Result<Option<BaseBackupEvent>> {
    let mut fell_silent = pin!(fell_silent);
    loop {
        let event = tokio::select! {
            biased;
            event = stream.next() => event?,
            error = &mut fell_silent => return Err(error),
        };
        match event {
            Some(BaseBackupEvent::Warning(text)) => {
                observe(BackupEvent::Warning(&format!("PostgreSQL says: {text}")));
            }
            Some(BaseBackupEvent::Estimate { bytes }) => {
                room::check(repository, bytes, observe).await?;
                observe(BackupEvent::Estimate { tar_bytes: bytes });
            }
            event => return Ok(event),
        }
    }
}

/// A base backup that was asked for.
pub(super) struct Source<'a> {
    pub(super) repository: &'a Repository,
    pub(super) claim: &'a Claim<'a>,
    pub(super) stream: Box<dyn BaseBackupStream>,
    /// When it was.
    pub(super) asked: Instant,
}

struct Reader<'a> {
    claim: &'a Claim<'a>,
    options: &'a BackupOptions,
    observe: Observe<'a>,
    items: mpsc::Sender<Item>,
    asked: Instant,
    doubts: Vec<String>,
    listened: Instant,
    tar: Option<TarStream>,
    framer: Framer,
    inspector: Inspector,
    label: Option<BackupLabel>,
    clock: Option<ServerClock>,
    start: Option<(Timeline, Lsn)>,
}

impl Reader<'_> {
    async fn take(&mut self, event: BaseBackupEvent) -> Result<()> {
        match event {
            BaseBackupEvent::Started { lsn, timeline } => self.start = Some((timeline, lsn)),
            BaseBackupEvent::Archive { tablespace } => {
                self.end_tar().await?;
                self.tar = Some(TarStream::default());
                self.send(Item::Archive(tablespace)).await?;
            }
            BaseBackupEvent::Data(chunk) => self.data(chunk).await?,
            // Finished ends the loop before it gets here, and new kinds of event come with their handling.
            _ => {}
        }
        Ok(())
    }

    /// Takes more of the tar, frame by frame, so that what is seen in a frame goes with that frame.
    async fn data(&mut self, mut chunk: Bytes) -> Result<()> {
        while !chunk.is_empty() {
            let piece = self.framer.cut(&mut chunk);
            let Some(tar) = &mut self.tar else {
                return Err(Error::damaged("the base backup", "it sent data before naming the file"));
            };
            tar.push(&piece, &mut self.inspector)?;
            if let Some(text) = self.inspector.label.take() {
                self.take_label(&text).await?;
            }
            if let Some(frame) = self.framer.add(piece) {
                self.send_frame(frame).await?;
            }
        }
        Ok(())
    }

    async fn take_label(&mut self, text: &[u8]) -> Result<()> {
        let label = BackupLabel::from_bytes(text).map_err(|error| Error::damaged("backup_label", error))?;
        for doubt in self.doubts.drain(..) {
            (self.observe)(BackupEvent::Warning(&doubt));
        }
        let sighting = Sighting { asked: self.asked, listened: self.listened, seen: Instant::now() };
        let storage = self.claim.storage_now();
        let clock = ServerClock::new(&label, self.inspector.label_modified, storage, sighting);
        if let Some(notice) = clock.difference_from(storage) {
            (self.observe)(BackupEvent::Warning(&format!(
                "{notice}. The times of this backup, and those of recovery targets, are PostgreSQL's"
            )));
        }
        (self.clock, self.label) = (Some(clock), Some(label.clone()));
        self.send(Item::Label(label)).await
    }

    /// Ends the tar that is being read, if one is.
    async fn end_tar(&mut self) -> Result<()> {
        let Some(tar) = self.tar.take() else { return Ok(()) };
        tar.finish()?;
        let rest = self.framer.rest();
        if rest.is_empty() { Ok(()) } else { self.send_frame(rest).await }
    }

    async fn send_frame(&mut self, frame: Bytes) -> Result<()> {
        let codec = self.options.codec;
        let tar_bytes = frame.len() as u64;
        let members = std::mem::take(&mut self.inspector.members);
        let manifest = std::mem::take(&mut self.inspector.manifest);
        let compressed = tokio::task::spawn_blocking(move || compress_frame(codec, &frame));
        self.send(Item::Frame(PendingFrame { compressed, tar_bytes, members, manifest })).await
    }

    async fn send(&mut self, item: Item) -> Result<()> {
        let refused = "the upload failed; its error says why";
        self.items.send(item).await.map_err(|_| Error::damaged("the base backup", refused))
    }

    async fn finish(mut self, stop: (Timeline, Lsn)) -> Result<Received> {
        self.end_tar().await?;
        let lacks = |what| move || Error::damaged("the base backup", format!("it has no {what}"));
        let version = self.inspector.version.take().ok_or_else(lacks("PG_VERSION"))?;
        let clock = self.clock.ok_or_else(lacks("backup_label"))?;
        // The date is a whole second, the rest cut off.
        let last = i64::try_from(self.inspector.last_modified).unwrap_or_default() + 1;
        let last = Timestamp::from_second(last).unwrap_or(Timestamp::UNIX_EPOCH);
        let received = Received {
            version: String::from_utf8_lossy(&version).trim().to_owned(),
            label: self.label.take().ok_or_else(lacks("backup_label"))?,
            control: self.inspector.control.take().ok_or_else(lacks("global/pg_control"))?,
            start: self.start.ok_or_else(lacks("start position"))?,
            stop,
            started: clock.started(),
            finished: clock.latest().max(last),
        };
        self.send(Item::End).await?;
        Ok(received)
    }

    /// How long the server may be silent now.
    fn limit(&self) -> Duration {
        match self.label {
            None => CHECKPOINT_LIMIT,
            Some(_) if self.waits_for_archiver() => self.options.archive_timeout,
            Some(_) => SILENCE_LIMIT,
        }
    }

    /// PostgreSQL sends pg_control when all else was sent, but for the WAL that was asked for, and then waits for its
    /// archiver, for ever if need be.
    fn waits_for_archiver(&self) -> bool {
        self.inspector.control_so_far().is_some() && !self.options.include_wal
    }

    /// Returns when the server has been silent for too long, with what to say.
    async fn fell_silent(&mut self, repository: &Repository) -> Error {
        let limit = self.limit();
        if let (Some(label), Some(control), true) =
            (&self.label, self.inspector.control_so_far(), self.waits_for_archiver())
        {
            return wal_wait::server_waits(repository, label, control, limit, self.observe).await;
        }
        tokio::time::sleep(limit).await;
        let overdue = match (&self.label, self.inspector.control_so_far()) {
            (None, _) => Overdue::Start { limit },
            (Some(_), Some(_)) => Overdue::End { limit },
            (Some(_), None) => Overdue::Middle { limit },
        };
        overdue.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::index::IndexedKind;

    /// Gives what it has, and then says nothing more.
    #[derive(Debug)]
    struct Pieces(std::vec::IntoIter<BaseBackupEvent>);

    #[async_trait::async_trait]
    impl BaseBackupStream for Pieces {
        async fn next(&mut self) -> Result<Option<BaseBackupEvent>, swiftwal_postgres::SourceError> {
            Ok(self.0.next())
        }
    }

    fn tar_of_large_files() -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        let label = "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\n\
                     CHECKPOINT LOCATION: 0/2000060\n";
        let large = vec![7; 3 << 20];
        let contents: [(&str, &[u8]); 6] = [
            ("backup_label", label.as_bytes()),
            ("PG_VERSION", b"15\n"),
            ("base/1", &large),
            ("base/2", &large),
            ("base/3", &large),
            ("global/pg_control", b"control"),
        ];
        for (name, content) in contents {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o600);
            tar.append_data(&mut header, name, content).unwrap();
        }
        // A file that a person left in the data directory, in LATIN1.
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..4].copy_from_slice(b"caf\xe9");
        header.set_size(0);
        header.set_mode(0o600);
        header.set_cksum();
        tar.append(&header, std::io::empty()).unwrap();
        tar.into_inner().unwrap()
    }

    #[tokio::test]
    async fn each_member_is_indexed_in_the_frame_in_which_it_ends_with_its_hash_however_the_tar_was_cut() {
        let tar = Bytes::from(tar_of_large_files());
        let (lsn, timeline) = ("0/2000028".parse().unwrap(), Timeline::FIRST);
        let mut events =
            vec![BaseBackupEvent::Started { lsn, timeline }, BaseBackupEvent::Archive { tablespace: None }];
        // As after a silence: nothing is aligned to frames.
        let cuts = tar.chunks(1_000_003).map(|piece| BaseBackupEvent::Data(tar.slice_ref(piece)));
        events.extend(cuts);
        events.push(BaseBackupEvent::Finished { lsn, timeline });
        let store = std::sync::Arc::new(object_store::memory::InMemory::new());
        let clock = std::sync::Arc::new(crate::local::clock::SystemClock);
        let repository = Repository::new(crate::storage::Storage::new(store), "a test", clock);
        let options = BackupOptions {
            label: String::new(),
            checkpoint: swiftwal_postgres::Checkpoint::Fast,
            include_wal: true,
            codec: swiftwal_compression::Codec::default(),
            archive_timeout: Duration::from_secs(1),
            estimate_size: false,
        };
        let (sender, mut items) = mpsc::channel(100);
        let claim = Claim::take(&repository, Timestamp::UNIX_EPOCH).await.unwrap();
        let stream = Box::new(Pieces(events.into_iter()));
        let source = Source { repository: &repository, claim: &claim, stream, asked: Instant::now() };
        read(source, Vec::new(), &options, &|_| {}, sender).await.unwrap();
        let mut end = 0;
        let mut names = Vec::new();
        while let Some(item) = items.recv().await {
            let Item::Frame(frame) = item else { continue };
            let start = end;
            end += frame.tar_bytes;
            for member in frame.members {
                let name = member.name.0.escape_ascii().to_string();
                let IndexedKind::File { offset, bytes, blake3 } = member.kind else {
                    panic!("{name} isn't a file");
                };
                let (from, to) = (usize::try_from(offset).unwrap(), usize::try_from(offset + bytes).unwrap());
                assert!(
                    start < offset + bytes && offset + bytes <= end,
                    "{name} doesn't end in {start}..{end}"
                );
                assert_eq!(blake3, blake3::hash(&tar[from..to]).to_hex().as_str(), "{name}");
                names.push(name);
            }
        }
        assert_eq!(end, tar.len() as u64);
        let expected =
            ["backup_label", "PG_VERSION", "base/1", "base/2", "base/3", "global/pg_control", r"caf\xe9"];
        assert_eq!(names, expected);
    }
}
