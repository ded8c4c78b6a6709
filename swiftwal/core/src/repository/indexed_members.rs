//! The members of the index, in step with the tar that is restored.
//!
//! A cluster can have many millions of files, so the index's text isn't in memory. It is in a file without a name in the
//! restored directory; the file ends with the process.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    ops::Range,
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
    vec,
};

use swiftwal_postgres::tar_stream::{Member, MemberKind};

use crate::repository::index::{IndexedKind, IndexedMember, members_of};

/// The text of an index, on disk.
#[derive(Debug)]
pub(crate) struct IndexText {
    file: File,
}

impl IndexText {
    /// Creates an empty text in `directory`.
    pub(crate) fn new(directory: &Path) -> io::Result<Self> {
        Ok(Self { file: tempfile::tempfile_in(directory)? })
    }

    /// Adds a line.
    pub(crate) fn add(&mut self, line: &[u8]) -> io::Result<()> {
        self.file.write_all(line)
    }
}

/// The members of a tar, in the order in which they end in it.
#[derive(Debug)]
pub(crate) struct IndexedMembers {
    text: Arc<IndexText>,
    /// The parts of the text: one for each object of the tar.
    all: Vec<Range<u64>>,
    /// Those that haven't been read.
    parts: vec::IntoIter<Range<u64>>,
    lines: BufReader<Part>,
    members: vec::IntoIter<IndexedMember>,
    /// What their names are prefixed with.
    prefix: Vec<u8>,
}

impl IndexedMembers {
    /// Returns the members in these parts of the text, whose names get the `prefix`.
    pub(crate) fn new(text: Arc<IndexText>, parts: Vec<Range<u64>>, prefix: Vec<u8>) -> Self {
        let lines = BufReader::new(Part { text: Arc::clone(&text), left: 0..0 });
        let members = Vec::new().into_iter();
        Self { text, parts: parts.clone().into_iter(), all: parts, lines, members, prefix }
    }

    /// Returns all the members again.
    pub(crate) fn again(&self) -> Self {
        Self::new(Arc::clone(&self.text), self.all.clone(), self.prefix.clone())
    }

    /// Returns the next member; none at the end.
    ///
    /// # Errors
    ///
    /// [`InvalidData`](io::ErrorKind::InvalidData) if the index has nonsense there; errors of the file system.
    pub(crate) fn next(&mut self) -> io::Result<Option<IndexedMember>> {
        loop {
            if let Some(mut member) = self.members.next() {
                member.name.0.splice(0..0, self.prefix.iter().copied());
                return Ok(Some(member));
            }
            let mut line = Vec::new();
            if self.lines.read_until(b'\n', &mut line)? > 0 {
                self.members = members_of(&line)?.into_iter();
            } else if let Some(left) = self.parts.next() {
                self.lines = BufReader::new(Part { text: Arc::clone(&self.text), left });
            } else {
                return Ok(None);
            }
        }
    }
}

/// The contents that the index promises for the members of a tar.
#[derive(Debug)]
pub(crate) struct ExpectedContents {
    /// The members that follow; none if there is no index that fits.
    members: Option<IndexedMembers>,
    differs: bool,
}

impl ExpectedContents {
    pub(crate) fn new(members: Option<IndexedMembers>) -> Self {
        Self { members, differs: false }
    }

    /// Returns the hash of the content of the next member of the tar; none if it has no content, or the index has other
    /// members from here on.
    pub(crate) fn of(&mut self, member: &Member) -> Option<blake3::Hash> {
        let indexed =
            self.members.as_mut()?.next().ok().flatten().filter(|indexed| indexed.name.0 == member.name);
        let hash = match (indexed.map(|indexed| indexed.kind), &member.kind) {
            (Some(IndexedKind::File { bytes, blake3, .. }), MemberKind::File) if bytes == member.bytes => {
                blake3::Hash::from_hex(blake3).ok().map(Some)
            }
            (Some(IndexedKind::Directory), MemberKind::Directory)
            | (Some(IndexedKind::Link { .. }), MemberKind::Link { .. }) => Some(None),
            _ => None,
        };
        if hash.is_none() {
            self.members = None;
            self.differs = true;
        }
        hash.flatten()
    }

    /// Whether the index has other members than the tar, which has ended.
    pub(crate) fn differ(self) -> bool {
        self.differs || self.members.is_some_and(|mut members| !matches!(members.next(), Ok(None)))
    }
}

/// A part of the text that is read.
#[derive(Debug)]
struct Part {
    text: Arc<IndexText>,
    left: Range<u64>,
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.left.end - self.left.start).unwrap_or(usize::MAX);
        let most = buffer.len().min(left);
        let read = self.text.file.read_at(&mut buffer[..most], self.left.start)?;
        self.left.start += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::index::MemberName;

    #[test]
    fn members_are_those_of_each_part_in_order_and_nonsense_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let mut text = IndexText::new(directory.path()).unwrap();
        let member = |name: &str| format!("{{\"name\":\"{name}\",\"mode\":\"0700\",\"kind\":\"directory\"}}");
        let lines = [
            format!("{{\"members\":[{},{}]}}\n", member("a"), member("b")),
            "{\"frame\":[0,1,2]}\n".to_owned(),
            format!("{{\"members\":[{}]}}\n", member("c")),
            "{\"members\":[7]}\n".to_owned(),
        ];
        let mut ends = vec![0];
        for line in &lines {
            text.add(line.as_bytes()).unwrap();
            ends.push(ends.last().unwrap() + line.len() as u64);
        }
        let parts = vec![ends[2]..ends[3], ends[0]..ends[2], ends[3]..ends[4]];
        let mut members = IndexedMembers::new(Arc::new(text), parts, b"p/".to_vec());
        for name in ["c", "a", "b"] {
            let member = members.next().unwrap().unwrap();
            assert_eq!(member.name, MemberName([b"p/", name.as_bytes()].concat()));
        }
        assert_eq!(members.next().unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(members.next().unwrap().is_none());
        assert_eq!(members.again().next().unwrap().unwrap().name, MemberName(b"p/c".to_vec()));
        assert_eq!(directory.path().read_dir().unwrap().count(), 0, "no name of its own");
    }
}
