//! Compresses and decompresses frames in memory.

use std::io::{self, Cursor, ErrorKind, Write};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use flate2::write::GzEncoder;
use tokio::io::AsyncReadExt;

use crate::decoder::{broken, decoder};
use crate::{Codec, Format, zstd_frame};

/// Compresses the bytes into one frame that can be decompressed by itself.
///
/// The frame contains the number of bytes (gzip modulo 4 GiB) and their checksum; [`Format::None`] copies. The result
/// reserves no spare memory. At zstd's level 1 it takes 2 to 5 ms per MiB in the caller's thread, so don't call it in
/// one that drives the network. Each thread keeps up to 4 MiB for its next frame.
pub fn compress_frame(codec: Codec, bytes: &[u8]) -> io::Result<Vec<u8>> {
    compress_frame_into(codec, bytes, Vec::new())
}

/// As [`compress_frame`], into memory that the caller has reserved, as far as [`most_compressed`] is enough.
///
/// The allocator keeps freed memory for each thread that has allocated some. If several threads compress, let one
/// thread reserve for all of them.
pub fn compress_frame_into(codec: Codec, bytes: &[u8], mut reserved: Vec<u8>) -> io::Result<Vec<u8>> {
    reserved.clear();
    // Reserved memory that is never touched costs nothing; growing would copy.
    reserved.try_reserve_exact(most_compressed(bytes.len()))?;
    let mut frame = match codec.format() {
        Format::Zstd => {
            zstd_frame::compress(codec.level(), bytes, &mut reserved)?;
            reserved
        }
        Format::Gzip => {
            let level = flate2::Compression::new(codec.level().unsigned_abs().into());
            let mut encoder = GzEncoder::new(reserved, level);
            encoder.write_all(bytes)?;
            encoder.finish()?
        }
        Format::Lz4 => compress_lz4(bytes, reserved)?,
        Format::None => {
            reserved.extend_from_slice(bytes);
            reserved
        }
    };
    frame.shrink_to_fit();
    Ok(frame)
}

fn compress_lz4(bytes: &[u8], reserved: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut encoder = lz4::EncoderBuilder::new()
        .block_size(lz4::BlockSize::Max256KB)
        .block_checksum(lz4::liblz4::BlockChecksum::NoBlockChecksum)
        .checksum(lz4::ContentChecksum::ChecksumEnabled)
        .content_size(bytes.len() as u64)
        .build(reserved)?;
    encoder.write_all(bytes)?;
    let (frame, result) = encoder.finish();
    result.map(|()| frame)
}

/// Returns the size in bytes of the largest frame, in any format, of this many bytes.
#[must_use]
pub const fn most_compressed(bytes: usize) -> usize {
    bytes.saturating_add(bytes / 256).saturating_add(1024)
}

/// Decompresses one or more frames, which must contain exactly `expected_bytes`.
///
/// It accepts what [`decoder`] accepts. Anything else, and any other number of bytes, is
/// [`InvalidData`](ErrorKind::InvalidData) or [`UnexpectedEof`](ErrorKind::UnexpectedEof). Memory is limited by
/// `expected_bytes`, whatever the frames claim. It decompresses in the caller's thread, so don't call it in one that
/// drives the network.
pub fn decompress_frames(format: Format, frames: &[u8], expected_bytes: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    decompress_frames_into(format, frames, expected_bytes, &mut bytes)?;
    Ok(bytes)
}

/// As [`decompress_frames`], and adds the content to `bytes`. A buffer that is used again spares the page faults of new
/// memory.
pub fn decompress_frames_into(
    format: Format,
    frames: &[u8],
    expected_bytes: usize,
    bytes: &mut Vec<u8>,
) -> io::Result<()> {
    let before = bytes.len();
    match format {
        Format::Zstd if !frames.is_empty() => decompress_zstd(frames, expected_bytes, bytes)?,
        _ => at_once(read(format, frames, expected_bytes, bytes))?,
    }
    let found = bytes.len() - before;
    if found != expected_bytes {
        let fewer_or_more = if found < expected_bytes { "fewer" } else { "more" };
        let found = format!("it contains {fewer_or_more} than the expected {expected_bytes} bytes");
        return Err(broken(format, io::Error::new(ErrorKind::InvalidData, found)));
    }
    Ok(())
}

/// In one call, which saves the copy through zstd's window that a stream needs.
fn decompress_zstd(frames: &[u8], expected_bytes: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
    bytes.try_reserve_exact(expected_bytes)?;
    let mut sink = Cursor::new(std::mem::take(bytes));
    sink.set_position(sink.get_ref().len() as u64);
    let decompressed = zstd::bulk::Decompressor::new()?.decompress_to_buffer(frames, &mut sink);
    *bytes = sink.into_inner();
    decompressed.map(drop).map_err(|error| broken(Format::Zstd, error))
}

/// Adds what the decoder returns to `bytes`, to its end or to the first surplus byte.
pub(crate) async fn read(
    format: Format,
    frames: &[u8],
    expected_bytes: usize,
    bytes: &mut Vec<u8>,
) -> io::Result<()> {
    let mut decoder = decoder(format, frames);
    // One more byte than expected, so that what follows, including checksums, is read too.
    bytes.try_reserve_exact(expected_bytes.saturating_add(1))?;
    let enough = bytes.len().saturating_add(expected_bytes);
    while bytes.len() <= enough && decoder.read_buf(bytes).await? > 0 {}
    Ok(())
}

/// Runs a future that never waits, such as one that reads from memory.
pub(crate) fn at_once<T>(future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(ErrorKind::WouldBlock.into()),
    }
}
