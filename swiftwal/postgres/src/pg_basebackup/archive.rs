//! What the data directory's archive says about the backup, at its two ends.
//!
//! `pg_basebackup` names start and end of the WAL only where it fetches that WAL. The archive always does: its first
//! member is the backup label, and its last one, since PostgreSQL 13, the backup manifest.

use serde::Deserialize;

use crate::{BackupLabel, LabelError, Lsn, Timeline};

const BLOCK_BYTES: usize = 512;

/// Room for the end of the manifest, from its WAL ranges on, and for the padding behind it: ranges of over a hundred
/// timelines.
const TAIL_BYTES: usize = 16 << 10;

/// Reads the backup label from the first bytes of the archive; `None`: more bytes are needed to tell.
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

/// A label of 1024 bytes and the other lines come nowhere near.
const LABEL_MAX_BYTES: u64 = 64 << 10;

/// The archive doesn't begin with a backup label.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error("its first member is {name:?}")]
    OtherMember { name: String },
    #[error("the size of its first member is unreadable or absurd")]
    Size,
    #[error(transparent)]
    Label(LabelError),
}

/// The last bytes of the archive so far.
#[derive(Default)]
pub(super) struct Tail(Vec<u8>);

impl Tail {
    /// Takes note of the bytes that follow.
    pub(super) fn push(&mut self, data: &[u8]) {
        let kept_before = self.0.len().min(TAIL_BYTES.saturating_sub(data.len()));
        self.0.drain(..self.0.len() - kept_before);
        self.0.extend_from_slice(&data[data.len().saturating_sub(TAIL_BYTES)..]);
    }

    /// Where the WAL ends that the backup needs, if the archive ends with a manifest.
    pub(super) fn backup_end(&self) -> Option<(Lsn, Timeline)> {
        let end = self.0.iter().rposition(|&byte| byte != 0)?;
        let text = String::from_utf8_lossy(&self.0[..=end]);
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
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, content).unwrap();
        archive.into_inner().unwrap()
    }

    fn end_of(archive: &[u8], chunk_bytes: usize) -> Option<(Lsn, Timeline)> {
        let mut tail = Tail::default();
        archive.chunks(chunk_bytes).for_each(|chunk| tail.push(chunk));
        tail.backup_end()
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
        assert!(refusal(&[0; 512]).contains("first member is \"\""));
    }

    #[test]
    fn the_end_is_read_from_the_manifest_however_the_archive_is_cut() {
        let end = Some((Lsn(0x500_0100), Timeline::new(2).unwrap()));
        let archive = [vec![b'x'; 40_000], member("backup_manifest", MANIFEST.as_bytes())].concat();
        for chunk_bytes in [1, 700, TAIL_BYTES - 1, TAIL_BYTES, TAIL_BYTES + 1, 1 << 20] {
            assert_eq!(end_of(&archive, chunk_bytes), end, "{chunk_bytes}");
        }
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
            assert_eq!(end_of(&archive, 4096), None);
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
