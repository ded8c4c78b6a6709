//! Compresses a stream into memory.

use std::fmt;
use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::GzEncoder;

use crate::{Codec, Format};

/// The size of a chunk that isn't the caller's.
const CHUNK_BYTES: usize = 256 * 1024;

/// Compresses a stream into memory, as one frame with a checksum.
///
/// It needs little more memory than the compressed bytes, which are kept in chunks that never move: 1 MiB at zstd's
/// level 1. Writes of 64 to 256 KiB are best. It compresses in the caller's thread, so don't call it in one that drives
/// the network.
pub struct Encoder {
    frame: FrameWriter<Chunks>,
    pledged_bytes: Option<u64>,
    written_bytes: u64,
}

impl Encoder {
    /// Begins a frame. If the caller knows the number of bytes, `pledged_bytes` records it in the frame; any other
    /// number of bytes is then an error.
    pub fn new(codec: Codec, pledged_bytes: Option<u64>) -> io::Result<Self> {
        Self::into_reserved(codec, pledged_bytes, Vec::new())
    }

    /// As [`new`](Self::new), into memory that the caller has reserved, as far as that is enough.
    ///
    /// The allocator keeps freed memory for each thread that has allocated some. If several threads compress, let one
    /// thread reserve for all of them.
    pub fn into_reserved(codec: Codec, pledged_bytes: Option<u64>, reserved: Vec<u8>) -> io::Result<Self> {
        let frame = FrameWriter::new(codec, pledged_bytes, Chunks(vec![reserved]))?;
        Ok(Self { frame, pledged_bytes, written_bytes: 0 })
    }

    /// Adds bytes to the frame. After an error the encoder can't be used any more.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written_bytes += bytes.len() as u64;
        if self.pledged_bytes.is_some_and(|pledged| self.written_bytes > pledged) {
            return Err(self.broken_pledge());
        }
        self.frame.write_all(bytes)
    }

    /// Ends the frame and returns the compressed bytes, in non-empty chunks with little spare memory.
    ///
    /// # Errors
    ///
    /// Fewer bytes than pledged.
    pub fn finish(self) -> io::Result<Vec<Bytes>> {
        if self.pledged_bytes.is_some_and(|pledged| self.written_bytes != pledged) {
            return Err(self.broken_pledge());
        }
        Ok(self.frame.finish()?.into_bytes())
    }

    fn broken_pledge(&self) -> io::Error {
        let (pledged, written) = (self.pledged_bytes.unwrap_or_default(), self.written_bytes);
        let message =
            format!("compressing {pledged} bytes, got {written}: the file changed while it was read");
        io::Error::new(io::ErrorKind::InvalidInput, message)
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder")
            .field("pledged_bytes", &self.pledged_bytes)
            .field("written_bytes", &self.written_bytes)
            .finish_non_exhaustive()
    }
}

/// Writes one frame of any format into `W`.
pub(crate) enum FrameWriter<W: Write> {
    Zstd(zstd::Encoder<'static, W>),
    Gzip(GzEncoder<W>),
    Lz4(lz4::Encoder<W>),
    None(W),
}

impl<W: Write> FrameWriter<W> {
    /// Begins a frame of exactly `content_bytes`, if that is known.
    pub(crate) fn new(codec: Codec, content_bytes: Option<u64>, sink: W) -> io::Result<Self> {
        Ok(match codec.format() {
            Format::Zstd => {
                let mut encoder = zstd::Encoder::new(sink, codec.level().into())?;
                encoder.include_checksum(true)?;
                encoder.set_pledged_src_size(content_bytes)?;
                Self::Zstd(encoder)
            }
            Format::Gzip => Self::Gzip(GzEncoder::new(sink, flate2::Compression::new(codec.level().into()))),
            Format::Lz4 => Self::Lz4(
                lz4::EncoderBuilder::new()
                    .block_size(lz4::BlockSize::Max256KB)
                    .block_checksum(lz4::liblz4::BlockChecksum::NoBlockChecksum)
                    .checksum(lz4::ContentChecksum::ChecksumEnabled)
                    .content_size(content_bytes.unwrap_or_default())
                    .build(sink)?,
            ),
            Format::None => Self::None(sink),
        })
    }

    pub(crate) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Zstd(encoder) => encoder.write_all(bytes),
            Self::Gzip(encoder) => encoder.write_all(bytes),
            Self::Lz4(encoder) => encoder.write_all(bytes),
            Self::None(sink) => sink.write_all(bytes),
        }
    }

    /// Ends the frame and returns the sink.
    pub(crate) fn finish(self) -> io::Result<W> {
        match self {
            Self::Zstd(encoder) => encoder.finish(),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Lz4(encoder) => {
                let (sink, result) = encoder.finish();
                result.map(|()| sink)
            }
            Self::None(sink) => Ok(sink),
        }
    }
}

/// A growing sequence of bytes in memory that is never copied: all chunks but the last are full.
struct Chunks(Vec<Vec<u8>>);

impl Chunks {
    fn into_bytes(mut self) -> Vec<Bytes> {
        if let Some(last) = self.0.last_mut() {
            // Little is gained by leaving gaps that are too small for the next chunk.
            let spare = last.capacity() - last.len();
            if spare > last.len() / 16 {
                last.shrink_to_fit();
            }
        }
        self.0.into_iter().filter(|chunk| !chunk.is_empty()).map(Bytes::from).collect()
    }
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        match self.0.last_mut() {
            Some(last) if last.len() < last.capacity() => {
                let taken = bytes.len().min(last.capacity() - last.len());
                last.extend_from_slice(&bytes[..taken]);
                Ok(taken)
            }
            _ => {
                self.0.push(Vec::with_capacity(CHUNK_BYTES));
                self.write(bytes)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
