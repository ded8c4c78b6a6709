//! The events of a source, and the items that the reading half makes of them.

use std::{sync::Arc, time::Duration};

use swiftwal_postgres::{ExpectedArchive, SourceError};

use super::*;
use crate::{
    error::{ErrorKind, Overdue},
    repository::index::IndexedKind,
};

/// A source that sends these events, and then ends or falls silent.
#[derive(Debug)]
struct Pieces {
    events: std::vec::IntoIter<BaseBackupEvent>,
    falls_silent: bool,
}

#[async_trait::async_trait]
impl BaseBackupStream for Pieces {
    async fn next(&mut self) -> Result<Option<BaseBackupEvent>, SourceError> {
        match self.events.next() {
            None if self.falls_silent => std::future::pending().await,
            next => Ok(next),
        }
    }
}

/// Reads these events. Returns the result, and what was sent to the storing half.
async fn read_all(events: Vec<BaseBackupEvent>, falls_silent: bool) -> (Result<Received>, Vec<Item>) {
    let store = Arc::new(object_store::memory::InMemory::new());
    let clock = Arc::new(crate::local::clock::SystemClock);
    let repository = Repository::new(crate::storage::Storage::new(store), "a test", clock);
    let options = BackupOptions {
        label: String::new(),
        mode: crate::BackupMode::Full,
        checkpoint: swiftwal_postgres::Checkpoint::Fast,
        include_wal: true,
        codec: swiftwal_compression::Codec::default(),
        archive_timeout: Duration::from_secs(60),
        copy: swiftwal_postgres::CopyOptions::default(),
        estimate_size: false,
    };
    let (sender, mut receiver) = mpsc::channel(100);
    let claim = Claim::take(&repository, Timestamp::UNIX_EPOCH).await.unwrap();
    let stream = Box::new(Pieces { events: events.into_iter(), falls_silent });
    let requested = Requested { stream, asked: Instant::now() };
    let source = Source { repository: &repository, claim: &claim, requested };
    let received = read(source, Vec::new(), &options, &|_| {}, sender).await;
    let mut items = Vec::new();
    while let Some(item) = receiver.recv().await {
        items.push(item);
    }
    (received, items)
}

fn start() -> BackupStart {
    BackupStart::new("0/2000028".parse().unwrap(), Timeline::FIRST)
}

/// The events of a complete backup that consists of one tar.
fn backup(start: BackupStart, tar: &Bytes) -> Vec<BaseBackupEvent> {
    let (lsn, timeline) = (start.lsn, start.timeline);
    let mut events = vec![BaseBackupEvent::Started(start), BaseBackupEvent::Archive { tablespace: None }];
    // The pieces aren't aligned to frames, as after a silence.
    events.extend(tar.chunks(1_000_003).map(|piece| BaseBackupEvent::Data(tar.slice_ref(piece))));
    events.push(BaseBackupEvent::Finished { lsn, timeline });
    events
}

fn tar_of_large_files() -> Vec<u8> {
    tar_without(&[])
}

fn tar_without(missing: &[&str]) -> Vec<u8> {
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
    for (name, content) in contents.into_iter().filter(|(name, _)| !missing.contains(name)) {
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
    let (received, items) = read_all(backup(start(), &tar), false).await;
    received.unwrap();
    let mut end = 0;
    let mut names = Vec::new();
    for item in items {
        let Item::Frame(frame) = item else { continue };
        let start = end;
        end += frame.tar_bytes;
        for member in frame.members {
            let name = member.name.0.escape_ascii().to_string();
            let IndexedKind::File { offset, bytes, blake3 } = member.kind else {
                panic!("{name} isn't a file");
            };
            let (from, to) = (usize::try_from(offset).unwrap(), usize::try_from(offset + bytes).unwrap());
            assert!(start < offset + bytes && offset + bytes <= end, "{name} doesn't end in {start}..{end}");
            assert_eq!(blake3, blake3::hash(&tar[from..to]).to_hex().as_str(), "{name}");
            names.push(name);
        }
    }
    assert_eq!(end, tar.len() as u64);
    let expected =
        ["backup_label", "PG_VERSION", "base/1", "base/2", "base/3", "global/pg_control", r"caf\xe9"];
    assert_eq!(names, expected);
}

#[tokio::test(start_paused = true)]
async fn once_it_has_begun_a_server_may_be_silent_for_minutes_and_not_for_hours() {
    let started = BaseBackupEvent::Started(start());
    let tablespace = BaseBackupEvent::Archive {
        tablespace: Some(Tablespace { oid: 16400, location: "/srv/fast".to_owned() }),
    };
    let hours = Duration::from_secs(4 * 3600);
    let (minutes, timeout) = (Duration::from_secs(600), Duration::from_secs(60));
    for (events, expected) in [
        (vec![], Overdue::Start { limit: hours }),
        (vec![started.clone()], Overdue::Middle { limit: minutes }),
        (vec![started.clone(), tablespace], Overdue::Middle { limit: minutes }),
        (vec![started, BaseBackupEvent::WaitingForArchiver], Overdue::End { limit: timeout }),
    ] {
        let began = Instant::now();
        match read_all(events, true).await.0 {
            Err(Error::TimedOut(overdue)) => assert_eq!(overdue, expected),
            other => panic!("{expected:?}: {other:?}"),
        }
        assert!(began.elapsed() < hours + timeout);
    }
}

#[tokio::test]
async fn an_archive_that_was_announced_and_never_came_is_missed() {
    let tar = Bytes::from(tar_of_large_files());
    let of = |tablespace| ExpectedArchive { tablespace, bytes: None };
    let tablespace = Tablespace { oid: 16400, location: "/srv/fast".to_owned() };
    let mut start = start();
    start.archives = Some(vec![of(Some(tablespace)), of(None)]);
    let error = read_all(backup(start.clone(), &tar), false).await.0.unwrap_err();
    assert!(error.to_string().contains("it lacks the tablespace 16400, /srv/fast"), "{error}");
    start.archives = Some(vec![of(None)]);
    read_all(backup(start, &tar), false).await.0.unwrap();
}

#[tokio::test]
async fn the_label_of_another_backup_is_damage() {
    let tar = Bytes::from(tar_of_large_files());
    let start = BackupStart::new("0/3000028".parse().unwrap(), Timeline::FIRST);
    let error = read_all(backup(start, &tar), false).await.0.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.to_string().contains("starts at 0/2000028"), "{error}");
}

#[tokio::test]
async fn no_file_is_taken_before_the_backup_has_begun() {
    let mut events = backup(start(), &Bytes::from(tar_of_large_files()));
    events.remove(0);
    let error = read_all(events, false).await.0.unwrap_err();
    assert!(error.to_string().contains("before it began"), "{error}");
}

#[tokio::test]
async fn data_before_the_first_file_is_damage() {
    let mut events = backup(start(), &Bytes::from(tar_of_large_files()));
    events.remove(1);
    let error = read_all(events, false).await.0.unwrap_err();
    assert!(error.to_string().contains("it sent data before naming the file"), "{error}");
}

#[tokio::test]
async fn a_backup_that_lacks_a_file_without_which_nothing_can_be_restored_is_damage() {
    for (missing, expected) in [
        ("backup_label", "it has no backup_label"),
        ("PG_VERSION", "it has no PG_VERSION"),
        ("global/pg_control", "it has no global/pg_control"),
    ] {
        let tar = Bytes::from(tar_without(&[missing]));
        let error = read_all(backup(start(), &tar), false).await.0.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged);
        assert!(error.to_string().contains(expected), "{error}");
    }
    let finished = BaseBackupEvent::Finished { lsn: start().lsn, timeline: Timeline::FIRST };
    let error = read_all(vec![finished], false).await.0.unwrap_err();
    assert!(error.to_string().contains("it has no start position"), "{error}");
}
