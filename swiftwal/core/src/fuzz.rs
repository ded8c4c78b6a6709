//! Fuzzing targets: they must not panic, whatever the bytes are, and parsed values must be consistent.

use futures::executor::block_on;
use swiftwal_postgres::tar_stream::{Member, TarError, TarStream, TarVisitor};

use crate::repository::{
    cluster::ClusterInfo,
    index::{self, IndexedTar},
    key::BackupKey,
    layout::ObjectName,
    record::{BackupRecord, RecordedObject},
};

/// Parses the bytes as a tar, in pieces of several sizes.
pub fn tar(bytes: &[u8]) {
    read_tar(bytes);
    read_tar(&with_checksums(bytes));
}

fn read_tar(tar: &[u8]) {
    let read = |piece: usize| {
        let (mut stream, mut seen) = (TarStream::default(), Members::default());
        let pushed = tar.chunks(piece).try_for_each(|piece| stream.push(piece, &mut seen));
        (pushed.and_then(|()| stream.finish()).map_err(|error| error.to_string()), seen)
    };
    let whole = read(tar.len().max(1));
    for piece in [97, 512] {
        assert_eq!(read(piece), whole);
    }
}

/// Corrects the checksums in the headers, so that the other fields are parsed.
fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut tar = bytes.to_vec();
    for block in tar.chunks_exact_mut(512).filter(|block| block[257..262] == *b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    tar
}

/// Counts the members and their content.
#[derive(Debug, Default, PartialEq)]
struct Members {
    seen: Vec<Member>,
    bytes: u64,
    ended: usize,
}

impl TarVisitor for Members {
    type Error = TarError;

    fn member(&mut self, member: Member) -> Result<(), TarError> {
        assert_eq!(self.ended, self.seen.len(), "a member begins before the last one has ended");
        self.seen.push(member);
        self.bytes = 0;
        Ok(())
    }

    fn data(&mut self, data: &[u8]) -> Result<(), TarError> {
        self.bytes += data.len() as u64;
        Ok(())
    }

    fn end(&mut self) -> Result<(), TarError> {
        self.ended += 1;
        assert_eq!(self.seen.last().map(|member| member.bytes), Some(self.bytes));
        Ok(())
    }
}

/// Parses the bytes as the text of a backup index.
pub fn backup_index(bytes: &[u8]) {
    let objects =
        [("a.tar", 3000, 3 << 20), ("b.tar", 10, 2048)].map(|(name, bytes, tar_bytes)| RecordedObject {
            name: name.to_owned(),
            bytes,
            blake3: String::new(),
            tar_bytes: Some(tar_bytes),
            tablespace_location: None,
        });
    let mut text = Vec::new();
    let keep = |line: &[u8]| {
        text.extend_from_slice(line);
        Ok(())
    };
    let Ok(index) = block_on(index::read(bytes, &objects, keep)) else { return };
    assert_eq!(text, bytes);
    for object in objects {
        let Some(IndexedTar { frames, text: lines }) = index.get(&object.name) else { continue };
        let lines = bytes.get(lines.start as usize..lines.end as usize).unwrap_or_default();
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let _ = index::members_of(line);
        }
        let stored: u64 = frames.iter().map(|frame| frame.stored_bytes).sum();
        let tar: u64 = frames.iter().map(|frame| frame.tar_bytes).sum();
        assert_eq!((stored, Some(tar)), (object.bytes, object.tar_bytes));
        assert!(frames.windows(2).all(|pair| pair[0].offset + pair[0].stored_bytes == pair[1].offset));
    }
}

/// Parses the bytes as a commit record: as stored, and as the content of one with the right checksum.
pub fn commit_record(bytes: &[u8]) {
    let Ok(key) = "20261128T2250Z".parse::<BackupKey>() else { return };
    let _ = BackupRecord::from_bytes(key, bytes);
    let Ok(content) = std::str::from_utf8(bytes) else { return };
    let content = content.trim();
    let hash = blake3::hash(content.as_bytes()).to_hex();
    let stored = format!("{{\"format\":1,\"blake3\":\"{hash}\",\"backup\":{content}}}");
    let Ok(record) = BackupRecord::from_bytes(key, stored.as_bytes()) else { return };
    assert_eq!(record.key, key);
    let again = record.to_bytes().ok().and_then(|bytes| BackupRecord::from_bytes(key, &bytes).ok());
    assert_eq!(again, Some(record));
}

/// Parses the bytes as a `cluster.json`.
pub fn cluster(bytes: &[u8]) {
    let name = ObjectName::Cluster;
    let Ok(info) = ClusterInfo::from_bytes(&name, bytes) else { return };
    let again = serde_json::to_vec(&info).ok().and_then(|bytes| ClusterInfo::from_bytes(&name, &bytes).ok());
    assert_eq!(again, Some(info));
}

/// Parses the bytes as the name of an object in a repository.
pub fn object_name(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let name = ObjectName::parse(text);
    assert_eq!(name.to_string(), text);
}

#[cfg(test)]
mod tests {
    use swiftwal_mutation::check;

    #[test]
    fn a_tar_is_read_or_refused() {
        check("tar", super::tar);
    }

    #[test]
    fn a_backup_index_is_read_or_refused() {
        check("backup_index", super::backup_index);
    }

    #[test]
    fn a_commit_record_is_read_or_refused() {
        check("commit_record", super::commit_record);
    }

    #[test]
    fn a_cluster_json_is_read_or_refused() {
        check("cluster", super::cluster);
    }

    #[test]
    fn an_object_name_is_read_as_what_it_is_written_as() {
        check("object_name", super::object_name);
    }
}
