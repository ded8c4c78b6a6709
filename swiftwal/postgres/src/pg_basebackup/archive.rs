//! Reads from the beginning and the end of the data directory's archive where the backup's WAL begins and ends.
//!
//! `pg_basebackup` prints the start and end of the WAL only if it fetches that WAL. The archive always contains them:
//! its first member is the backup label, and its last one, since PostgreSQL 13, is the backup manifest. The last file
//! of the cluster in it is `global/pg_control`; after that, without WAL, the server waits for its archiver.

use bytes::Bytes;
use serde::Deserialize;

use crate::{
    BackupLabel, LabelError, Lsn, Timeline,
    tar_stream::{Member, TarError, TarStream, TarVisitor},
};

const BLOCK_BYTES: usize = 512;

/// Enough for the end of the manifest, from its WAL ranges on: the ranges of more than a hundred timelines.
const TAIL_BYTES: usize = 16 << 10;

/// Parses the backup label from the first bytes of the archive; `None` if more bytes are needed.
pub(super) fn backup_label(start: &[u8]) -> Option<Result<BackupLabel, StartError>> {
    let header = tar::Header::from_byte_slice(start.get(..BLOCK_BYTES)?);
    if *header.path_bytes() != *b"backup_label" {
        let name = String::from_utf8_lossy(&header.path_bytes()).into_owned();
        return Some(Err(StartError::OtherMember { name }));
    }
    let size = match header.entry_size() {
        Ok(size) if size <= LABEL_MAX_BYTES => size as usize,
        _ => return Some(Err(StartError::Size)),
    };
    let label = start.get(BLOCK_BYTES..BLOCK_BYTES + size)?;
    Some(BackupLabel::from_bytes(label).map_err(StartError::Label))
}

/// Far more than a label of 1024 bytes with its other lines.
const LABEL_MAX_BYTES: u64 = 64 << 10;

/// The archive doesn't begin with a backup label.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error("its first member is '{}'", crate::printable(name))]
    OtherMember { name: String },
    #[error("the size of its first member is unreadable or absurd")]
    Size,
    #[error(transparent)]
    Label(LabelError),
}

/// Inspects the archive while it is received.
#[derive(Debug, Default)]
pub(super) struct Archive {
    tar: TarStream,
    members: Members,
}

/// What a piece of the archive contains.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Shown {
    /// The part of the manifest in it.
    pub(super) manifest: Bytes,
    /// Whether `global/pg_control` begins in it.
    pub(super) control_begins: bool,
}

impl Archive {
    /// Inspects the bytes that follow.
    pub(super) fn push(&mut self, data: &[u8]) -> Result<Shown, TarError> {
        self.tar.push(data, &mut self.members)?;
        let manifest = std::mem::take(&mut self.members.manifest);
        self.members.tail.push(&manifest);
        let control_begins = std::mem::take(&mut self.members.control_begins);
        Ok(Shown { manifest: manifest.into(), control_begins })
    }

    /// Returns the end of the WAL that the backup needs, if the manifest is in the archive.
    pub(super) fn backup_end(&self) -> Option<(Lsn, Timeline)> {
        self.members.tail.backup_end()
    }
}

#[derive(Debug, Default)]
struct Members {
    is_manifest: bool,
    manifest: Vec<u8>,
    control_begins: bool,
    tail: Tail,
}

impl TarVisitor for Members {
    type Error = TarError;

    fn member(&mut self, member: Member) -> Result<(), TarError> {
        self.is_manifest = member.name == b"backup_manifest";
        self.control_begins |= member.name == b"global/pg_control";
        Ok(())
    }

    fn data(&mut self, data: &[u8]) -> Result<(), TarError> {
        if self.is_manifest {
            self.manifest.extend_from_slice(data);
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), TarError> {
        Ok(())
    }
}

/// The last bytes of the manifest so far.
#[derive(Debug, Default)]
struct Tail(Vec<u8>);

impl Tail {
    /// Adds the bytes that follow.
    fn push(&mut self, data: &[u8]) {
        let kept_before = self.0.len().min(TAIL_BYTES.saturating_sub(data.len()));
        self.0.drain(..self.0.len() - kept_before);
        self.0.extend_from_slice(&data[data.len().saturating_sub(TAIL_BYTES)..]);
    }

    /// Returns the end of the WAL that the backup needs, if this is the end of a manifest.
    fn backup_end(&self) -> Option<(Lsn, Timeline)> {
        let text = String::from_utf8_lossy(&self.0);
        let (_, from_ranges) = text.rsplit_once("\"WAL-Ranges\":")?;
        let (ranges, _) = from_ranges.rsplit_once(",\n\"Manifest-Checksum\":")?;
        let ranges: Vec<WalRange> = serde_json::from_str(ranges).ok()?;
        let last = ranges.iter().max_by_key(|range| range.timeline)?;
        Some((last.end, last.timeline))
    }
}

/// The WAL of one timeline that a backup needs.
///
/// Source: `AddWALInfoToBackupManifest` in PostgreSQL's `src/backend/backup/backup_manifest.c`.
#[derive(Deserialize)]
struct WalRange {
    #[serde(rename = "Timeline")]
    timeline: Timeline,
    #[serde(rename = "End-LSN")]
    end: Lsn,
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABEL: &[u8] = include_bytes!("../../tests/data/backup_label");
    const MANIFEST: &str = "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [\n],\n\"WAL-Ranges\": [\n\
        { \"Timeline\": 2, \"Start-LSN\": \"0/5000000\", \"End-LSN\": \"0/5000100\" },\n\
        { \"Timeline\": 1, \"Start-LSN\": \"0/2000028\", \"End-LSN\": \"0/5000000\" }\n],\n\
        \"Manifest-Checksum\": \"d98a94db397135f0\"}\n";

    fn member(name: &str, content: &[u8]) -> Vec<u8> {
        members(&[(name, content)])
    }

    fn members(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, content) in members {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o600);
            archive.append_data(&mut header, name, *content).unwrap();
        }
        archive.into_inner().unwrap()
    }

    /// Returns what the pieces of the archive contain, and the end of the WAL according to it.
    fn shown(archive: &[u8], piece_bytes: usize) -> (Vec<Shown>, Option<(Lsn, Timeline)>) {
        let mut reader = Archive::default();
        let shown = archive.chunks(piece_bytes).map(|piece| reader.push(piece).unwrap()).collect();
        (shown, reader.backup_end())
    }

    #[test]
    fn the_label_is_the_first_member() {
        let archive = member("backup_label", LABEL);
        let label = backup_label(&archive).unwrap().unwrap();
        assert_eq!(label.as_str().as_bytes(), LABEL);
    }

    #[test]
    fn more_bytes_are_asked_for_until_the_label_is_whole() {
        let archive = member("backup_label", LABEL);
        for length in [0, 1, 511, 512, 513, 512 + LABEL.len() - 1] {
            assert!(backup_label(&archive[..length]).is_none(), "{length}");
        }
        assert!(backup_label(&archive[..512 + LABEL.len()]).is_some());
    }

    #[test]
    fn an_archive_that_begins_otherwise_is_refused() {
        let refusal = |archive: &[u8]| backup_label(archive).unwrap().unwrap_err().to_string();
        assert!(refusal(&member("PG_VERSION", b"15\n")).contains("PG_VERSION"));
        assert!(refusal(&member("backup_label", b"")).contains("START WAL LOCATION"));
        assert!(refusal(&member("backup_label", &vec![b'x'; 70_000])).contains("size"));
        assert!(refusal(&[0; 512]).contains("first member is ''"));
    }

    #[test]
    fn the_manifest_and_the_end_in_it_are_read_however_the_archive_is_cut() {
        let end = Some((Lsn(0x500_0100), Timeline::new(2).unwrap()));
        let manifest = ["{ \"Files\": ".repeat(2000), MANIFEST.to_owned()].concat();
        let relation = vec![b'x'; 40_000];
        let archive = members(&[("base/1", &relation), ("backup_manifest", manifest.as_bytes())]);
        for piece_bytes in [1, 700, TAIL_BYTES - 1, TAIL_BYTES, TAIL_BYTES + 1, 1 << 20] {
            let (shown, found) = shown(&archive, piece_bytes);
            assert_eq!(found, end, "{piece_bytes}");
            let read: Vec<_> = shown.iter().flat_map(|shown| shown.manifest.iter().copied()).collect();
            assert!(read == manifest.as_bytes(), "{piece_bytes}");
        }
    }

    #[test]
    fn it_shows_once_that_pg_control_begins() {
        let archive = members(&[("base/1", &[7; 5000]), ("global/pg_control", &[7; 8192])]);
        for piece_bytes in [512, 4096, 1 << 20] {
            let began = shown(&archive, piece_bytes).0.iter().filter(|shown| shown.control_begins).count();
            assert_eq!(began, 1, "{piece_bytes}");
        }
        let before = &archive[..archive.len() - 1024 - 8192 - 1];
        assert!(!shown(before, 512).0.iter().any(|shown| shown.control_begins));
    }

    #[test]
    fn an_archive_without_a_whole_manifest_at_its_end_tells_no_end() {
        let (cut, _) = MANIFEST.split_at(MANIFEST.find("Manifest-Checksum").unwrap());
        for archive in [
            Vec::new(),
            vec![0; 1024],
            member("global/pg_control", &[7; 8192]),
            member("backup_manifest", cut.as_bytes()),
            member("backup_manifest", MANIFEST.replace("0/5000100", "5000100").as_bytes()),
        ] {
            assert_eq!(shown(&archive, 4096).1, None);
        }
    }

    #[test]
    fn the_tail_stays_small() {
        let mut tail = Tail::default();
        for length in [10, TAIL_BYTES, 3, 5 * TAIL_BYTES, TAIL_BYTES - 1] {
            tail.push(&vec![1; length]);
            assert!(tail.0.len() <= TAIL_BYTES);
        }
    }
}
