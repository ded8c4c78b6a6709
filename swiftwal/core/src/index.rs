//! The index of a backup: where each file lies, as tar members → frames → byte ranges.
//!
//! JSON, a line for each frame, so that it is written and read in bounded memory: in a line of its own before the
//! frames of each tar, `{"object": NAME}`; then `{"frame": [offset, stored bytes, tar bytes], "members": [[name,
//! offset in the tar, bytes], …]}` with the files whose header lies in that frame.

use std::{collections::HashMap, io};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use swiftwal_compression::Encoder;
use tokio::io::{AsyncBufRead, AsyncBufReadExt};

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

/// The frames of each tar, in order, by its object's name.
pub(crate) type Index = HashMap<String, Vec<Frame>>;

/// Reads the text of an index, as it comes.
pub(crate) async fn read(text: impl AsyncBufRead + Send + Unpin) -> io::Result<Index> {
    let mut lines = text.lines();
    let mut index = Index::new();
    let mut frames = Vec::new();
    let mut object = None;
    while let Some(line) = lines.next_line().await? {
        match serde_json::from_str(&line)? {
            Line::Frame { frame, .. } => frames.push(frame),
            Line::Object { object: next } => {
                let done = std::mem::take(&mut frames);
                index.extend(object.replace(next).map(|object| (object, done)));
            }
        }
    }
    index.extend(object.map(|object| (object, frames)));
    Ok(index)
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
