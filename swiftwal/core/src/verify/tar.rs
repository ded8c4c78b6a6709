//! Checks a tar: parses it in one thread, and checks its files in others.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use bytes::Bytes;
use swiftwal_postgres::{
    RelationPages, SegmentName, printable,
    tar_stream::{Member, MemberKind, TarStream, TarVisitor},
};
use tokio::sync::mpsc;

use super::{
    file::{CheckedFile, FileChecker, Findings},
    pace::Pace,
};
use crate::{
    error::{Error, Result},
    repository::{
        fetch::{StoredTar, parse},
        file_names::{CONTROL, CONTROL_BYTES, LABEL, WAL},
        file_threads::{FilePiece, FileThreads},
        indexed_members::ExpectedContents,
        layout::BackupPart,
        manifest::{Algorithm, FileSum, RestoredFiles},
        member_name::stays_inside,
        record::{BackupKind, BackupRecord, RecordedObject},
    },
};

/// The largest label that is read into memory.
const MOST_LABEL_BYTES: u64 = 1 << 20;

/// What a complete tar contains.
#[derive(Debug, Default)]
pub(super) struct TarContent {
    /// The content of `backup_label`.
    pub(super) label: Option<Vec<u8>>,
    /// The content of `global/pg_control`.
    pub(super) control: Option<Vec<u8>>,
    pub(super) files: u64,
    /// The files, to be compared with PostgreSQL's manifest.
    pub(super) sum: FileSum,
    /// Whether the index lists other files.
    pub(super) differs_from_index: bool,
}

impl TarContent {
    /// Adds the content of another tar.
    pub(super) fn add(&mut self, other: Self) {
        self.label = other.label.or(self.label.take());
        self.control = other.control.or(self.control.take());
        self.files += other.files;
        self.sum += other.sum;
        self.differs_from_index |= other.differs_from_index;
    }
}

/// Checks one tar.
#[derive(Debug)]
pub(super) struct TarCheck {
    threads: FileThreads<FileChecker>,
    expected: ExpectedContents,
    /// The name of the tar's first object.
    object: String,
    prefix: Vec<u8>,
    tablespace: Option<u32>,
    /// The commit record; none for a backup of SwiftWAL 0.2.2.
    record: Option<BackupRecord>,
    /// The tablespaces of the backup.
    tablespaces: BTreeSet<u32>,
    /// The piece of the tar that is parsed.
    piece: Bytes,
    current: Current,
    content: TarContent,
    /// How much is stored for each byte of tar, to keep a rate.
    stored_share: f64,
    progress: Arc<AtomicU64>,
    pace: Arc<Pace>,
}

#[derive(Debug, Default)]
struct Current {
    /// The bytes that haven't arrived.
    left: u64,
    begins: Option<CheckedFile>,
    /// A file that is kept in memory as well.
    kept: Option<(Vec<u8>, Vec<u8>)>,
}

impl TarCheck {
    /// Begins with `tar`, of the backup with this `record`. `manifest` is the algorithm of PostgreSQL's manifest. What is
    /// found of the files is added to `findings`.
    pub(super) fn new(
        tar: &mut StoredTar,
        record: Option<&BackupRecord>,
        manifest: Option<Algorithm>,
        findings: &Findings,
        jobs: usize,
        (progress, pace): (Arc<AtomicU64>, Arc<Pace>),
    ) -> Result<Self> {
        let files = RestoredFiles::new(manifest, tar.tablespace);
        let stop = record.map_or(swiftwal_postgres::Lsn(0), |record| record.stop_lsn);
        let threads = FileThreads::start(jobs, || FileChecker::new(files.clone(), findings.clone(), stop));
        let objects = record.map(|record| record.objects.as_slice()).unwrap_or_default();
        let names = tar.objects();
        let stored: u64 = objects
            .iter()
            .filter(|object| names.iter().any(|(name, _)| *name == object.name))
            .map(|o| o.bytes)
            .sum();
        let tar_bytes = tar.tar_bytes().unwrap_or(stored).max(1);
        Ok(Self {
            threads: threads.map_err(Error::local("start a thread to check", tar.name()))?,
            expected: ExpectedContents::new(tar.members.take()),
            object: tar.name(),
            prefix: tar.prefix.clone(),
            tablespace: tar.tablespace,
            tablespaces: objects.iter().filter_map(tablespace_of).collect(),
            record: record.cloned(),
            piece: Bytes::new(),
            current: Current::default(),
            content: TarContent::default(),
            stored_share: stored as f64 / tar_bytes as f64,
            progress,
            pace,
        })
    }

    /// Checks the tar that it receives, until the sender is closed.
    pub(super) fn run(mut self, mut pieces: mpsc::Receiver<Bytes>) -> Result<TarContent> {
        let stream = TarStream::with_prefix(std::mem::take(&mut self.prefix));
        let progress = Arc::clone(&self.progress);
        let parsed = parse(stream, &mut pieces, &progress, &mut self, Self::hold);
        match self.threads.finish() {
            Ok(sum) => self.content.sum = sum,
            Err(never) => match never {},
        }
        parsed?;
        self.content.differs_from_index = self.expected.differ();
        Ok(self.content)
    }

    /// Takes the next piece, as soon as the rate allows.
    fn hold(&mut self, piece: Bytes) {
        let stored = (piece.len() as f64 * self.stored_share) as u64;
        let wait = self.pace.add(stored, Instant::now());
        if !wait.is_zero() {
            thread::sleep(wait);
        }
        self.piece = piece;
    }

    fn begin_file(&mut self, member: Member, expected: Option<blake3::Hash>) -> Result<Current> {
        let Member { name, bytes, .. } = member;
        let is_in_data = self.tablespace.is_none();
        let most = match name.as_slice() {
            CONTROL if is_in_data => Some(CONTROL_BYTES),
            LABEL if is_in_data => Some(MOST_LABEL_BYTES),
            _ => None,
        };
        if let Some(most) = most.filter(|most| bytes > *most) {
            let reason = format!("its {} has {bytes} bytes instead of at most {most}", printable(&name));
            return Err(Error::damaged(&self.object, reason));
        }
        let kept = most.map(|_| (name.clone(), Vec::new()));
        let record = self.record.as_ref();
        let pages = record.and_then(|record| {
            let is_incremental = record.kind == BackupKind::Incremental;
            RelationPages::of_file(&name, bytes, !is_in_data, is_incremental, record.start_lsn)
        });
        let segment = record
            .filter(|record| is_in_data && record.includes_wal)
            .and_then(|record| segment_of(&name).filter(|segment| is_needed(record, *segment)));
        self.content.files += 1;
        Ok(Current { left: bytes, begins: Some(CheckedFile { name, expected, pages, segment }), kept })
    }

    fn check_link(&self, name: &[u8]) -> Result<()> {
        let oid = name
            .strip_prefix(b"pg_tblspc/")
            .and_then(|oid| std::str::from_utf8(oid).ok()?.parse::<u32>().ok());
        match oid {
            Some(oid) if self.tablespace.is_none() && self.tablespaces.contains(&oid) => Ok(()),
            _ => {
                let reason =
                    format!("it has the link {}, and the backup has no such tablespace", printable(name));
                Err(Error::damaged(&self.object, reason))
            }
        }
    }

    /// Passes a piece of the current file to its thread.
    fn pass(&mut self, data: Bytes) {
        let Current { left, begins, .. } = &mut self.current;
        let piece = FilePiece { begins: begins.take(), data, is_last: *left == 0 };
        match self.threads.pass(piece) {
            Ok(()) => {}
            Err(never) => match never {},
        }
    }
}

/// Returns the tablespace that an object is the tar of.
fn tablespace_of(object: &RecordedObject) -> Option<u32> {
    match object.part() {
        Some(BackupPart::Tar { tablespace, .. }) => tablespace,
        _ => None,
    }
}

/// Returns the segment that the file `name` of a data directory is.
fn segment_of(name: &[u8]) -> Option<SegmentName> {
    let file = WAL.iter().find_map(|wal| name.strip_prefix(*wal)?.strip_prefix(b"/"))?;
    std::str::from_utf8(file).ok()?.parse().ok()
}

/// Whether the backup needs a segment to become consistent.
fn is_needed(record: &BackupRecord, segment: SegmentName) -> bool {
    let needed = record.first_wal.position()..=record.last_wal.position();
    segment.timeline() == record.timeline && needed.contains(&segment.position())
}

impl TarVisitor for TarCheck {
    type Error = Error;

    fn member(&mut self, member: Member) -> Result<()> {
        let expected = self.expected.of(&member);
        if member.kind == MemberKind::Directory && matches!(member.name.as_slice(), b"" | b".") {
            return Ok(());
        }
        if !stays_inside(&member.name) {
            let reason = format!(
                "it contains '{}', a name that points outside its directory",
                printable(&member.name)
            );
            return Err(Error::damaged(&self.object, reason));
        }
        match &member.kind {
            MemberKind::Directory => {}
            // A backup of SwiftWAL 0.2.2 doesn't name its tablespaces.
            MemberKind::Link { .. } if self.record.is_none() => {}
            MemberKind::Link { .. } => self.check_link(&member.name)?,
            MemberKind::File => self.current = self.begin_file(member, expected)?,
        }
        Ok(())
    }

    fn data(&mut self, data: &[u8]) -> Result<()> {
        self.current.left -= data.len() as u64;
        if let Some((_, content)) = &mut self.current.kept {
            content.extend_from_slice(data);
        }
        let piece = self.piece.slice_ref(data);
        self.pass(piece);
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        if self.current.begins.is_some() {
            // It is empty.
            self.pass(Bytes::new());
        }
        match std::mem::take(&mut self.current).kept {
            Some((name, content)) if name == LABEL => self.content.label = Some(content),
            Some((_, content)) => self.content.control = Some(content),
            None => {}
        }
        Ok(())
    }
}

/// Returns how far the counter has come.
pub(super) fn read(progress: &AtomicU64) -> u64 {
    progress.load(Ordering::Relaxed)
}
