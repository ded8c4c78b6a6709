//! The index of a backup: where each file lies, as tar members → frames → byte ranges.
//!
//! JSON, a line for each frame, so that it is written and read in bounded memory: in a line of its own before the
//! frames of each tar, `{"object": NAME}`; then `{"frame": [offset, stored bytes, tar bytes], "members": [[name,
//! offset in the tar, bytes], …]}` with the files that begin in that frame.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use swiftwal_compression::Encoder;

use crate::{Error, Result, layout::SIDE_FORMAT};

/// A file in a tar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(String, u64, u64)", into = "(String, u64, u64)")]
pub(crate) struct IndexedMember {
    pub(crate) name: String,
    /// Where its content begins in the tar.
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

/// A frame of a stored tar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, u64, u64)", into = "(u64, u64, u64)")]
pub(crate) struct Frame {
    /// Where it begins in the object.
    pub(crate) offset: u64,
    pub(crate) stored_bytes: u64,
    pub(crate) tar_bytes: u64,
}

/// A line of the index.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Line {
    Object {
        object: String,
    },
    Frame {
        frame: Frame,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        members: Vec<IndexedMember>,
    },
}

/// Writes an index into memory, compressed as it grows.
#[derive(Debug)]
pub(crate) struct IndexWriter(Encoder);

impl IndexWriter {
    pub(crate) fn new() -> Result<Self> {
        Encoder::new(SIDE_FORMAT.into(), None).map(Self).map_err(broken)
    }

    pub(crate) fn write(&mut self, line: &Line) -> Result<()> {
        let mut text = serde_json::to_vec(line).map_err(broken)?;
        text.push(b'\n');
        self.0.write(&text).map_err(broken)
    }

    pub(crate) fn finish(self) -> Result<Vec<Bytes>> {
        self.0.finish().map_err(broken)
    }
}

fn broken(error: impl ToString) -> Error {
    Error::damaged("the backup's index", error)
}

/// The frames of `object`, in order, by an index's text.
pub(crate) fn frames_of(object: &str, index: &str) -> Result<Vec<Frame>, serde_json::Error> {
    let mut frames = Vec::new();
    let mut ours = false;
    for line in index.lines() {
        match serde_json::from_str(line)? {
            Line::Object { object: name } => ours = name == object,
            Line::Frame { frame, .. } if ours => frames.push(frame),
            Line::Frame { .. } => {}
        }
    }
    Ok(frames)
}

impl From<(String, u64, u64)> for IndexedMember {
    fn from((name, offset, bytes): (String, u64, u64)) -> Self {
        Self { name, offset, bytes }
    }
}

impl From<IndexedMember> for (String, u64, u64) {
    fn from(member: IndexedMember) -> Self {
        (member.name, member.offset, member.bytes)
    }
}

impl From<(u64, u64, u64)> for Frame {
    fn from((offset, stored_bytes, tar_bytes): (u64, u64, u64)) -> Self {
        Self { offset, stored_bytes, tar_bytes }
    }
}

impl From<Frame> for (u64, u64, u64) {
    fn from(frame: Frame) -> Self {
        (frame.offset, frame.stored_bytes, frame.tar_bytes)
    }
}
