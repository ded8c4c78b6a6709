//! The index of a backup: the members of its tars and their positions: members → frames → byte ranges.
//!
//! A format of its own, lines of JSON, so that it is written and read in bounded memory. The first line is its version,
//! `{"format": 1}`. Then, in a line of its own before the frames of each tar, `{"object": NAME}`, and a line for each
//! frame: `{"frame": [offset, stored bytes, tar bytes], "members": [MEMBER, …]}` with the members that end in that frame,
//! since only then the hash of their content is known.
//!
//! A restore doesn't need the index, which may be damaged or crafted. So a reader stops at the first impossible number,
//! and never holds more than a frame for each mebibyte of tar.

mod members;

use std::{collections::HashMap, io, ops::Range};

use serde::{Deserialize, Serialize};
use swiftwal_postgres::tar_stream::{Member, MemberKind};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

pub(crate) use self::members::{MemberName, Mode, members_of};
use crate::repository::record::RecordedObject;

/// The version that this program writes, and the highest that it reads.
const FORMAT: u32 = 1;
/// The largest frame that the format allows, in bytes of tar.
const MOST_FRAME_BYTES: u64 = 16 << 20;
/// A tar that was cut into smaller frames than this, on average, is read without its index.
const LEAST_FRAME_BYTES: u64 = 1 << 20;
/// The largest number of frames of a backup: those of 16 TiB, in 96 MiB of memory.
const MOST_FRAMES: u64 = 4 << 20;
/// The longest line: a frame full of the headers of empty files with long names.
const MOST_LINE_BYTES: u64 = 32 << 20;

/// A member of a tar: a file, a directory or a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IndexedMember {
    pub(crate) name: MemberName,
    pub(crate) mode: Mode,
    #[serde(flatten)]
    pub(crate) kind: IndexedKind,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum IndexedKind {
    File {
        /// The offset of its content in the tar.
        offset: u64,
        bytes: u64,
        /// The hash of its content, in lower-case hexadecimal.
        blake3: String,
    },
    Directory,
    Link {
        target: MemberName,
    },
}

impl IndexedMember {
    /// Creates the entry of `member`, whose complete content was hashed.
    pub(crate) fn new(member: Member, content: &blake3::Hasher) -> Self {
        let Member { name, kind, mode, bytes, offset, .. } = member;
        let kind = match kind {
            MemberKind::File => {
                IndexedKind::File { offset, bytes, blake3: content.finalize().to_hex().to_string() }
            }
            MemberKind::Directory => IndexedKind::Directory,
            MemberKind::Link { target } => IndexedKind::Link { target: MemberName(target) },
        };
        Self { name: MemberName(name), mode: Mode(mode), kind }
    }
}

/// A frame of a stored tar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, u64, u64)", into = "(u64, u64, u64)")]
pub(crate) struct Frame {
    /// Its offset in the object.
    pub(crate) offset: u64,
    pub(crate) stored_bytes: u64,
    pub(crate) tar_bytes: u64,
}

/// A line of the index.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Line {
    Format {
        format: u32,
    },
    Object {
        object: String,
    },
    Frame {
        frame: Frame,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        members: Vec<IndexedMember>,
    },
}

impl Line {
    /// The first line of every index.
    pub(crate) const FIRST: Self = Self::Format { format: FORMAT };

    /// Returns the line as it is stored, with its line break.
    pub(crate) fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        let mut text = serde_json::to_vec(self)?;
        text.push(b'\n');
        Ok(text)
    }
}

/// What the index says about each object of a tar, by the object's name.
pub(crate) type Index = HashMap<String, IndexedTar>;

/// What the index says about an object of a tar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IndexedTar {
    /// Its frames, in order.
    pub(crate) frames: Vec<Frame>,
    /// The bytes of the index's text that describe these frames, with their members.
    pub(crate) text: Range<u64>,
}

/// The part of a line that is needed to fetch a tar. The members are skipped, and never in memory.
#[derive(Deserialize)]
struct FrameLine {
    format: Option<u32>,
    object: Option<String>,
    frame: Option<Frame>,
}

/// Parses the text of an index of the tars in `objects`, as a stream, and passes each of its lines to `keep`.
///
/// # Errors
///
/// [`InvalidData`](io::ErrorKind::InvalidData) if it can't be the index of those tars; the errors of `keep`.
pub(crate) async fn read(
    text: impl AsyncBufRead + Send + Unpin,
    objects: &[RecordedObject],
    mut keep: impl FnMut(&[u8]) -> io::Result<()> + Send,
) -> io::Result<Index> {
    let tars = objects.iter().filter_map(|object| Some((object, object.tar_bytes?)));
    let tars: HashMap<&str, FramesOf> = tars
        .map(|(object, tar_bytes)| (object.name.as_str(), FramesOf::new(object.bytes, tar_bytes)))
        .collect();
    let mut reader = IndexReader { tars, current: None, frames: 0 };
    let (mut lines, mut position) = (BoundedLines::new(text), 0);
    let mut first = None;
    if let Some(line) = lines.next().await? {
        keep(line)?;
        position += line.len() as u64;
        first = Some(serde_json::from_slice::<FrameLine>(line)?);
    }
    match first.and_then(|line| line.format) {
        Some(FORMAT) => {}
        Some(other) => {
            return Err(absurd(&format!("it has format {other}, and this version reads {FORMAT}")));
        }
        None => return Err(absurd("it doesn't begin with its format")),
    }
    while let Some(line) = lines.next().await? {
        keep(line)?;
        let end = position + line.len() as u64;
        reader.take(serde_json::from_slice(line)?, position..end)?;
        position = end;
    }
    let complete =
        reader.tars.into_iter().filter_map(|(name, frames)| Some((name.to_owned(), frames.complete()?)));
    Ok(complete.collect())
}

struct IndexReader<'a> {
    tars: HashMap<&'a str, FramesOf>,
    current: Option<String>,
    frames: u64,
}

impl IndexReader<'_> {
    /// Takes a line, which is at `at` in the text.
    fn take(&mut self, line: FrameLine, at: Range<u64>) -> io::Result<()> {
        if line.object.is_some() {
            self.current = line.object;
        }
        let Some(frame) = line.frame else { return Ok(()) };
        self.frames += 1;
        if self.frames > MOST_FRAMES {
            return Err(absurd("it has too many frames"));
        }
        match self.current.as_deref().and_then(|object| self.tars.get_mut(object)) {
            Some(tar) => tar.add(frame, at),
            None => Err(absurd("it has frames of a tar that isn't in the backup")),
        }
    }
}

/// The frames of a tar so far, which must be consecutive and fit into it.
struct FramesOf {
    bytes: u64,
    tar_bytes: u64,
    frames: Vec<Frame>,
    /// Where these frames are in the text.
    text: Range<u64>,
    /// The offsets of the next frame, in the object and in the tar.
    end: (u64, u64),
}

impl FramesOf {
    fn new(bytes: u64, tar_bytes: u64) -> Self {
        Self { bytes, tar_bytes, frames: Vec::new(), text: 0..0, end: (0, 0) }
    }

    fn add(&mut self, frame: Frame, at: Range<u64>) -> io::Result<()> {
        let stored_end = frame.offset.checked_add(frame.stored_bytes).filter(|end| *end <= self.bytes);
        let tar_end = self.end.1.checked_add(frame.tar_bytes).filter(|end| *end <= self.tar_bytes);
        let is_possible = frame.offset == self.end.0 && (1..=MOST_FRAME_BYTES).contains(&frame.tar_bytes);
        let (Some(stored_end), Some(tar_end), true) = (stored_end, tar_end, is_possible) else {
            let (bytes, tar_bytes) = (self.bytes, self.tar_bytes);
            return Err(absurd(&format!(
                "a frame doesn't fit into {bytes} bytes that contain {tar_bytes} of tar"
            )));
        };
        if self.frames.is_empty() {
            self.text.start = at.start;
        } else if at.start != self.text.end {
            return Err(absurd("the frames of a tar aren't one after the other"));
        }
        self.text.end = at.end;
        self.frames.push(frame);
        self.end = (stored_end, tar_end);
        if self.frames.len() as u64 > self.tar_bytes / LEAST_FRAME_BYTES + 16 {
            return Err(absurd("its frames are too small"));
        }
        Ok(())
    }

    /// Returns the frames, if they cover the whole tar.
    fn complete(self) -> Option<IndexedTar> {
        let is_complete = self.end == (self.bytes, self.tar_bytes);
        is_complete.then_some(IndexedTar { frames: self.frames, text: self.text })
    }
}

/// Reads lines of limited length.
struct BoundedLines<R> {
    text: R,
    line: Vec<u8>,
}

impl<R: AsyncBufRead + Send + Unpin> BoundedLines<R> {
    fn new(text: R) -> Self {
        Self { text, line: Vec::new() }
    }

    async fn next(&mut self) -> io::Result<Option<&[u8]>> {
        self.line.clear();
        let mut limited = (&mut self.text).take(MOST_LINE_BYTES + 1);
        let read = limited.read_until(b'\n', &mut self.line).await?;
        if read as u64 > MOST_LINE_BYTES {
            return Err(absurd("it has a line that is too long"));
        }
        Ok((read > 0).then_some(self.line.as_slice()))
    }
}

fn absurd(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
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

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn tar(bytes: u64, tar_bytes: u64) -> RecordedObject {
        let (name, blake3) = ("a.tar".to_owned(), String::new());
        RecordedObject { name, bytes, blake3, tar_bytes: Some(tar_bytes), tablespace_location: None }
    }

    async fn read_of(lines: &str, tar: RecordedObject) -> io::Result<Index> {
        let text = [Line::FIRST.to_bytes().unwrap().as_slice(), lines.as_bytes()].concat();
        read(text.as_slice(), &[tar], |_| Ok(())).await
    }

    #[tokio::test]
    async fn names_are_written_as_text_or_as_postgresqls_encoded_path_and_skipped_when_read() {
        let member = |name: &[u8], kind| {
            let (name, mode, modified, bytes, offset) = (name.to_owned(), 0o100_600, 0, 3, 512);
            let member = Member { name, kind, mode, modified, bytes, offset };
            IndexedMember::new(member, blake3::Hasher::new().update(b"abc"))
        };
        let frame = Frame { offset: 0, stored_bytes: 10, tar_bytes: 2048 };
        let members = vec![
            member("Übernahme".as_bytes(), MemberKind::File),
            member(b"caf\xe9\n", MemberKind::Directory),
            member(b"pg_tblspc/1", MemberKind::Link { target: b"/\xff".to_vec() }),
        ];
        let line = String::from_utf8(Line::Frame { frame, members }.to_bytes().unwrap()).unwrap();
        let expected = concat!(
            r#"{"frame":[0,10,2048],"members":["#,
            r#"{"name":"Übernahme","mode":"0600","kind":"file","offset":512,"bytes":3,"#,
            r#""blake3":"6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"},"#,
            r#"{"name":{"Encoded-Path":"636166e90a"},"mode":"0600","kind":"directory"},"#,
            r#"{"name":"pg_tblspc/1","mode":"0600","kind":"link","target":{"Encoded-Path":"2fff"}}]}"#,
            "\n"
        );
        assert_eq!(line, expected);
        let text = format!("{{\"object\":\"a.tar\"}}\n{line}");
        assert_eq!(read_of(&text, tar(10, 2048)).await.unwrap()["a.tar"].frames, [frame]);
    }

    #[tokio::test]
    async fn numbers_that_cannot_be_are_refused() {
        let object = "{\"object\":\"a.tar\"}\n";
        let most = u64::MAX;
        for frames in [
            format!("{{\"frame\":[0,{most},10]}}"),
            format!("{{\"frame\":[0,10,{most}]}}"),
            format!("{{\"frame\":[{most},10,10]}}"),
            format!("{{\"frame\":[0,10,{}]}}", 17 * MIB),
            "{\"frame\":[0,10,0]}".to_owned(),
            "{\"frame\":[0,5,1048576]}\n{\"frame\":[6,4,1048576]}".to_owned(),
            "{\"object\":\"b.tar\"}\n{\"frame\":[0,10,10]}".to_owned(),
            "{\"frame\":[0,-1,10]}".to_owned(),
        ] {
            assert!(read_of(&format!("{object}{frames}\n"), tar(10, 20 * MIB)).await.is_err(), "{frames}");
        }
        // A part of the tar isn't the complete tar.
        let part = format!("{object}{{\"frame\":[0,10,10]}}\n");
        assert!(read_of(&part, tar(10, 20 * MIB)).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn an_endless_line_and_endless_frames_end_early() {
        let line = tokio::io::BufReader::new(tokio::io::repeat(b' ').take(10 << 30));
        let text = std::io::Cursor::new(b"{\"format\":1}\n").chain(line);
        assert!(read(text, &[tar(10, 10)], |_| Ok(())).await.is_err());
        let mut text = "{\"object\":\"a.tar\"}\n".to_owned();
        for offset in 0..100 {
            text.push_str(&format!("{{\"frame\":[{offset},1,1]}}\n"));
        }
        assert!(read_of(&text, tar(100, 100)).await.is_err());
    }

    #[tokio::test]
    async fn an_index_without_a_format_or_of_a_newer_one_is_refused() {
        let lines = "{\"object\":\"a.tar\"}\n{\"frame\":[0,10,10]}\n";
        for first in ["", "\n", "{}\n", "{\"format\":2}\n"] {
            let text = format!("{first}{lines}");
            assert!(read(text.as_bytes(), &[tar(10, 10)], |_| Ok(())).await.is_err(), "{first}");
        }
        assert!(read(&b""[..], &[tar(10, 10)], |_| Ok(())).await.is_err());
    }

    #[test]
    fn more_frames_than_an_index_may_have_are_refused() {
        let objects = HashMap::from([("a.tar", FramesOf::new(u64::MAX, u64::MAX))]);
        let mut reader = IndexReader { tars: objects, current: None, frames: MOST_FRAMES - 1 };
        let line = |text: &str| serde_json::from_str::<FrameLine>(text).unwrap();
        reader.take(line(r#"{"object":"a.tar"}"#), 0..1).unwrap();
        reader.take(line(r#"{"frame":[0,1,1048576]}"#), 1..2).unwrap();
        let error = reader.take(line(r#"{"frame":[1,1,1048576]}"#), 2..3).unwrap_err().to_string();
        assert!(error.contains("too many frames"), "{error}");
    }
}
