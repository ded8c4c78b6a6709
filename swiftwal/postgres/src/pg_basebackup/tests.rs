//! How a run ends. A stand-in replaces the program for endings that the real one can't be made to show.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use super::*;
use crate::{BackupStart, BaseBackupEvent, CHUNK_BYTES, Checkpoint, Lsn, SourceErrorKind, Timeline};

const LABEL: &[u8] = include_bytes!("../../tests/data/backup_label");
const MANIFEST: &[u8] = b"{ \"Files\": [\n],\n\"WAL-Ranges\": [\n\
    { \"Timeline\": 1, \"Start-LSN\": \"0/2000028\", \"End-LSN\": \"0/2000100\" }\n],\n\
    \"Manifest-Checksum\": \"d98a94db\"}\n";

const STARTED: BaseBackupEvent = BaseBackupEvent::Started(BackupStart::new(Lsn(0x200_0028), Timeline::FIRST));
const FINISHED: BaseBackupEvent =
    BaseBackupEvent::Finished { lsn: Lsn(0x200_0100), timeline: Timeline::FIRST };

/// A tar archive with these members.
fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        archive.append_data(&mut header, name, *content).unwrap();
    }
    archive.into_inner().unwrap()
}

fn complete_archive() -> Vec<u8> {
    let relation: Vec<u8> = (0..9 << 20).map(|n: u32| (n / 3) as u8).collect();
    archive(&[("backup_label", LABEL), ("base/1/1259", &relation), ("backup_manifest", MANIFEST)])
}

/// A run of the stand-in, which executes `commands` in a directory that contains `archive` as the file `a`.
async fn run(dir: &Path, archive: &[u8], commands: &str) -> Box<dyn BaseBackupStream> {
    let request = BaseBackupRequest { checkpoint: Checkpoint::Fast, ..BaseBackupRequest::new("") };
    run_for(request, dir, archive, commands).await
}

/// As [`run`], for any request.
async fn run_for(
    request: BaseBackupRequest,
    dir: &Path,
    archive: &[u8],
    commands: &str,
) -> Box<dyn BaseBackupStream> {
    std::fs::write(dir.join("a"), archive).unwrap();
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stand_in/pg_basebackup");
    let source = PgBasebackup::new(ConnectOptions::default(), Some(program.into()));
    let label = format!("cd '{}'; {commands}", dir.display());
    source.start(&BaseBackupRequest { label, ..request }).await.unwrap()
}

/// Returns the events other than `Data` and `Manifest`, and the data. The manifest must be complete.
async fn drain(stream: &mut dyn BaseBackupStream) -> Result<(Vec<BaseBackupEvent>, Vec<u8>), SourceError> {
    let (mut events, mut data, mut manifest) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(event) = stream.next().await? {
        match event {
            BaseBackupEvent::Data(chunk) => {
                assert!(!chunk.is_empty() && chunk.len() <= CHUNK_BYTES);
                data.extend_from_slice(&chunk);
            }
            BaseBackupEvent::Manifest(text) => manifest.extend_from_slice(&text),
            event => events.push(event),
        }
    }
    assert!(manifest.is_empty() || manifest == MANIFEST);
    Ok((events, data))
}

/// Returns the error of a run that isn't a backup.
async fn failure(archive: &[u8], commands: &str) -> SourceError {
    let dir = tempfile::tempdir().unwrap();
    let mut stream = run(dir.path(), archive, commands).await;
    drain(stream.as_mut()).await.unwrap_err()
}

#[tokio::test]
async fn a_whole_run_gives_every_byte_between_start_and_end() {
    let dir = tempfile::tempdir().unwrap();
    let archive = complete_archive();
    let mut stream = run(dir.path(), &archive, "cat a").await;
    let (events, data) = drain(stream.as_mut()).await.unwrap();
    assert_eq!(events, [STARTED, BaseBackupEvent::Archive { tablespace: None }, FINISHED]);
    assert!(data == archive);
    assert_eq!(stream.next().await.unwrap(), None);
}

#[tokio::test]
async fn without_a_manifest_the_end_point_is_the_one_that_the_program_says() {
    let dir = tempfile::tempdir().unwrap();
    let commands = "cat a; echo 'pg_basebackup: write-ahead log end point: 0/2000100' >&2";
    let mut stream = run(dir.path(), &archive(&[("backup_label", LABEL)]), commands).await;
    let (events, _) = drain(stream.as_mut()).await.unwrap();
    assert_eq!(events.last(), Some(&FINISHED));
}

#[tokio::test]
async fn a_run_that_says_no_end_point_is_no_backup() {
    let error = failure(&archive(&[("backup_label", LABEL)]), "cat a").await;
    assert!(error.to_string().contains("it is unknown where the backup's WAL ends"), "{error}");
}

#[tokio::test]
async fn a_run_that_fails_after_its_last_byte_is_no_backup() {
    let error =
        failure(&complete_archive(), "cat a; exec >&-; echo 'pg_basebackup: error: too late' >&2; exit 3")
            .await;
    assert_eq!(error.kind(), SourceErrorKind::Failed);
    assert!(
        error.to_string().contains("exit status: 3") && error.to_string().contains("too late"),
        "{error}"
    );
}

#[tokio::test]
async fn a_run_that_dies_in_the_middle_is_no_backup() {
    let error = failure(&complete_archive(), "head -c 5000000 a; kill -9 $$").await;
    assert!(error.to_string().contains("SIGKILL"), "{error}");
}

#[tokio::test]
async fn an_archive_that_is_cut_short_is_no_backup_even_if_the_program_is_content() {
    for bytes in [0, 511, 600, 5_000_000] {
        let error = failure(&complete_archive(), &format!("head -c {bytes} a")).await;
        assert!(error.to_string().starts_with("pg_basebackup ended without an error, but"), "{error}");
    }
}

#[tokio::test]
async fn an_archive_without_a_label_is_no_backup() {
    let error = failure(&archive(&[("PG_VERSION", b"15\n"), ("backup_manifest", MANIFEST)]), "cat a").await;
    assert!(error.to_string().contains("doesn't begin with a backup label"), "{error}");
}

#[tokio::test]
async fn what_the_server_warns_of_comes_before_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let commands = "echo 'WARNING:  one' >&2; echo '  0/9 kB (0%), 0/1 tablespace' >&2; cat a; exec >&-; echo 'WARNING:  two' >&2";
    let mut stream =
        run(dir.path(), &archive(&[("backup_label", LABEL), ("backup_manifest", MANIFEST)]), commands).await;
    let (events, _) = drain(stream.as_mut()).await.unwrap();
    let events = events.iter().filter(|event| !matches!(event, BaseBackupEvent::Archive { .. }));
    let warning = |text: &str| BaseBackupEvent::ServerWarning(text.to_owned());
    let estimate = BaseBackupEvent::Estimate { bytes: 9 << 10 };
    let mut events: Vec<_> = events.collect();
    events.sort_by_key(|event| **event == STARTED);
    assert_eq!(events, [&warning("one"), &estimate, &warning("two"), &FINISHED, &STARTED]);
}

#[tokio::test]
async fn messages_without_end_do_not_block_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let commands = "head -c 3000000 /dev/zero >&2; cat a; head -c 3000000 /dev/zero >&2";
    let mut stream = run(dir.path(), &complete_archive(), commands).await;
    let (events, _) = drain(stream.as_mut()).await.unwrap();
    assert_eq!(events.last(), Some(&FINISHED));
}

#[tokio::test]
async fn the_program_speaks_english_whatever_the_locale() {
    let error = failure(&[], "echo \"LC_ALL is $LC_ALL\" >&2; exit 1").await;
    assert!(error.to_string().ends_with("LC_ALL is C"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_was_written_is_handed_out_although_the_program_falls_silent() {
    let dir = tempfile::tempdir().unwrap();
    let archive = archive(&[("backup_label", LABEL)]);
    Command::new("mkfifo").arg(dir.path().join("fifo")).status().unwrap();
    // Nothing ever writes to the fifo.
    let mut stream = run(dir.path(), &archive, "cat a; exec cat fifo").await;
    let mut data = Vec::new();
    while data.len() < archive.len() {
        if let Some(BaseBackupEvent::Data(chunk)) = stream.next().await.unwrap() {
            data.extend_from_slice(&chunk);
        }
    }
    assert!(data == archive);
}

/// The program holds the end of `global/pg_control` back while the server waits.
#[tokio::test]
async fn a_server_that_has_begun_to_send_pg_control_waits_for_its_archiver() {
    let dir = tempfile::tempdir().unwrap();
    let archive = archive(&[("backup_label", LABEL), ("global/pg_control", &[7; 8192])]);
    let (last, so_far) = (archive.len() - 1024 - 512, archive.len() - 1024 - 8192 - 512);
    for (bytes, waits) in [(so_far, false), (last, true)] {
        let mut stream = run(dir.path(), &archive, &format!("head -c {bytes} a")).await;
        let mut events = Vec::new();
        while let Ok(Some(event)) = stream.next().await {
            events.push(event);
        }
        assert_eq!(events.contains(&BaseBackupEvent::WaitingForArchiver), waits, "{bytes}");
    }
}

#[tokio::test]
async fn a_server_that_sends_the_wal_does_not_wait_for_its_archiver() {
    let dir = tempfile::tempdir().unwrap();
    let request = BaseBackupRequest { include_wal: true, ..BaseBackupRequest::new("") };
    let archive = archive(&[
        ("backup_label", LABEL),
        ("global/pg_control", &[7; 8192]),
        ("pg_wal/000000010000000000000002", b"wal"),
        ("backup_manifest", MANIFEST),
    ]);
    let mut stream = run_for(request, dir.path(), &archive, "cat a").await;
    let (events, _) = drain(stream.as_mut()).await.unwrap();
    assert_eq!(events, [STARTED, BaseBackupEvent::Archive { tablespace: None }, FINISHED]);
}

#[tokio::test]
async fn an_archive_with_a_damaged_header_is_no_backup() {
    let mut archive = complete_archive();
    let second = 512 + LABEL.len().next_multiple_of(512);
    archive[second] ^= 1;
    let error = failure(&archive, "cat a").await;
    assert!(error.to_string().contains("is damaged"), "{error}");
}

#[tokio::test]
async fn dropping_the_stream_ends_the_program() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    Command::new("mkfifo").arg(&fifo).status().unwrap();
    // The program holds one end of the fifo open for its lifetime, and reads nothing.
    let stream = run(dir.path(), &[], "exec 3>fifo; echo here >&3; exec tail -f /dev/null").await;
    let mut other_end = File::open(&fifo).unwrap();
    let mut line = [0; 5];
    other_end.read_exact(&mut line).unwrap();
    drop(stream);
    assert_eq!(other_end.read(&mut line).unwrap(), 0);
}
