//! The reading half: PostgreSQL → tar → frames. Every wait has a limit (`silence`).

#[cfg(test)]
mod tests;

use std::pin::pin;

use bytes::Bytes;
use jiff::Timestamp;
use swiftwal_compression::compress_frame;
use swiftwal_postgres::{
    BackupLabel, BackupStart, BaseBackupEvent, BaseBackupStream, Lsn, Tablespace, Timeline,
    tar_stream::TarStream,
};
use tokio::{sync::mpsc, time::Instant};

use super::{
    BackupEvent, BackupOptions, Observe,
    begun::Begun,
    claim::Claim,
    framer::Framer,
    inspect::Inspector,
    item::{Item, PendingFrame},
    room,
    server_clock::{ServerClock, Sighting},
    silence::Phase,
    start::Requested,
    wal_wait,
};
use crate::{
    error::{Error, Result},
    repository::Repository,
};

/// Pages that failed their checksum.
#[derive(Debug)]
pub(super) struct Damage {
    pub(super) pages: u64,
    /// The server's words.
    pub(super) words: String,
}

/// The facts about a complete backup that the server has sent.
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
    /// A time, by the same clock, at which it had certainly ended.
    pub(super) finished: Timestamp,
    pub(super) damage: Option<Damage>,
}

/// Reads the complete backup and sends it on, frame by frame. `warnings` are reported once it has begun.
pub(super) async fn read(
    source: Source<'_>,
    warnings: Vec<String>,
    options: &BackupOptions,
    observe: Observe<'_>,
    items: mpsc::Sender<Item>,
) -> Result<Received> {
    let Source { repository, claim, requested: Requested { mut stream, asked } } = source;
    let mut reader = Reader {
        repository,
        claim,
        options,
        observe,
        items,
        asked,
        warnings,
        listened: Instant::now(),
        tar: None,
        framer: Framer::default(),
        inspector: Inspector::default(),
        label: None,
        clock: None,
        begun: None,
        damage: None,
        phase: Phase::Checkpoint,
    };
    loop {
        let event = next_of_data(&mut *stream, repository, reader.fell_silent(), observe).await?;
        let Some(event) = event else {
            return Err(Error::damaged("the base backup", "it ended without a report that it is complete"));
        };
        if let BaseBackupEvent::Finished { lsn, timeline } = event {
            return reader.finish((timeline, lsn)).await;
        }
        reader.take(event).await?;
    }
}

/// Returns the next event that isn't a mere report. Only an event that advances the backup extends the time limit: a
/// server that waits for its archiver sends warnings from time to time.
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
            Some(BaseBackupEvent::Warning(text)) => observe(BackupEvent::Warning(&text)),
            Some(BaseBackupEvent::ServerWarning(text)) => {
                observe(BackupEvent::Warning(&format!("PostgreSQL says: {text}")));
            }
            Some(BaseBackupEvent::Estimate { bytes }) => {
                room::expect(repository, bytes, observe).await?;
            }
            event => return Ok(event),
        }
    }
}

/// The base backup to read, and what it is read for.
pub(super) struct Source<'a> {
    pub(super) repository: &'a Repository,
    pub(super) claim: &'a Claim<'a>,
    pub(super) requested: Requested,
}

struct Reader<'a> {
    repository: &'a Repository,
    claim: &'a Claim<'a>,
    options: &'a BackupOptions,
    observe: Observe<'a>,
    items: mpsc::Sender<Item>,
    asked: Instant,
    warnings: Vec<String>,
    listened: Instant,
    tar: Option<TarStream>,
    framer: Framer,
    inspector: Inspector,
    label: Option<BackupLabel>,
    clock: Option<ServerClock>,
    begun: Option<Begun>,
    damage: Option<Damage>,
    phase: Phase,
}

impl Reader<'_> {
    async fn take(&mut self, event: BaseBackupEvent) -> Result<()> {
        match event {
            BaseBackupEvent::Started(start) => self.begin(start).await?,
            BaseBackupEvent::Archive { tablespace } => self.begin_tar(tablespace).await?,
            BaseBackupEvent::Data(chunk) => self.data(chunk).await?,
            BaseBackupEvent::Manifest(text) => self.send(Item::Manifest(text)).await?,
            BaseBackupEvent::WaitingForArchiver => self.phase = Phase::Archiving,
            BaseBackupEvent::DamagedPages { count, words } => {
                self.damage = Some(Damage { pages: count, words })
            }
            // `Finished` ends the loop earlier, and a new kind of event must be handled when it is added.
            _ => {}
        }
        Ok(())
    }

    async fn begin(&mut self, start: BackupStart) -> Result<()> {
        tracing::debug!("the base backup begins: {start:?}");
        for warning in self.warnings.drain(..) {
            (self.observe)(BackupEvent::Warning(&warning));
        }
        self.phase = Phase::Sending;
        self.begun = Some(Begun::new(start.clone(), self.claim.storage_now()));
        if let Some(bytes) = start.expected_bytes() {
            room::expect(self.repository, bytes, self.observe).await?;
        }
        self.send(Item::Started(start)).await
    }

    async fn begin_tar(&mut self, tablespace: Option<Tablespace>) -> Result<()> {
        let Some(begun) = &mut self.begun else {
            return Err(Error::damaged("the base backup", "it sent a file before it began"));
        };
        begun.note_archive(tablespace.as_ref());
        self.end_tar().await?;
        self.tar = Some(TarStream::default());
        self.send(Item::Archive(tablespace)).await
    }

    /// Adds the next bytes of the tar, frame by frame, so that what is found in a frame is sent with it.
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
        let Some(begun) = &self.begun else { return Err(lacks("start position")) };
        begun.check_label(&label)?;
        let (asked, listened, begun, storage) = (self.asked, self.listened, begun.seen, begun.storage);
        let sighting = Sighting { asked, listened, begun, label: Instant::now(), storage };
        let clock = ServerClock::new(&label, self.inspector.label_modified, sighting);
        if let Some(notice) = clock.difference_from(self.claim.storage_now()) {
            (self.observe)(BackupEvent::Warning(&format!(
                "{notice}. The times of this backup, and those of recovery targets, are PostgreSQL's"
            )));
        }
        (self.clock, self.label) = (Some(clock), Some(label.clone()));
        self.send(Item::Label(label)).await
    }

    /// Ends the current tar, if there is one.
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
        let compressed = tokio::task::spawn_blocking(move || compress_frame(codec, &frame));
        self.send(Item::Frame(PendingFrame { compressed, tar_bytes, members })).await
    }

    async fn send(&mut self, item: Item) -> Result<()> {
        let refused = "the upload failed; its error says why";
        self.items.send(item).await.map_err(|_| Error::damaged("the base backup", refused))
    }

    async fn finish(mut self, stop: (Timeline, Lsn)) -> Result<Received> {
        self.end_tar().await?;
        let begun = self.begun.take().ok_or_else(|| lacks("start position"))?;
        begun.check_complete()?;
        let version = self.inspector.version.take().ok_or_else(|| lacks("PG_VERSION"))?;
        let clock = self.clock.ok_or_else(|| lacks("backup_label"))?;
        // The date is a whole second, rounded down.
        let last = i64::try_from(self.inspector.last_modified).unwrap_or_default() + 1;
        let last = Timestamp::from_second(last).unwrap_or(Timestamp::UNIX_EPOCH);
        let received = Received {
            version: String::from_utf8_lossy(&version).trim().to_owned(),
            label: self.label.take().ok_or_else(|| lacks("backup_label"))?,
            control: self.inspector.control.take().ok_or_else(|| lacks("global/pg_control"))?,
            start: (begun.start.timeline, begun.start.lsn),
            stop,
            started: clock.started(),
            finished: clock.latest().max(last),
            damage: self.damage.take(),
        };
        self.send(Item::End).await?;
        Ok(received)
    }

    /// Returns the error when the server has been silent for too long.
    async fn fell_silent(&self) -> Error {
        let limit = self.phase.limit(self.options.archive_timeout);
        let control = self.inspector.control_so_far();
        if let (Phase::Archiving, Some(begun)) = (self.phase, &self.begun) {
            match begun.cluster_and_wal(control) {
                Ok(Some((identity, first))) => {
                    let (repository, observe) = (self.repository, self.observe);
                    return wal_wait::server_waits(repository, &identity, first, limit, observe).await;
                }
                Ok(None) => {}
                Err(error) => return error,
            }
        }
        let since = if self.phase == Phase::Checkpoint { self.asked } else { Instant::now() };
        tokio::time::sleep_until(since + limit).await;
        self.phase.overdue(limit, control.is_some()).into()
    }
}

fn lacks(what: &str) -> Error {
    Error::damaged("the base backup", format!("it has no {what}"))
}
