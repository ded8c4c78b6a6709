//! Compresses and decompresses frames in memory.

use std::io::{self, ErrorKind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tokio::io::AsyncReadExt;

use crate::decoder::{broken, decoder};
use crate::encoder::FrameWriter;
use crate::{Codec, Format};

/// Compresses the bytes into one frame that can be decompressed by itself.
///
/// The frame contains the number of bytes (gzip modulo 4 GiB) and their checksum; [`Format::None`] copies. The result
/// reserves no spare memory. At zstd's level 1 it takes 2 to 5 ms per MiB in the caller's thread, so don't call it in
/// one that drives the network.
pub fn compress_frame(codec: Codec, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut frame = match codec.format() {
        Format::Zstd => compress_zstd(codec, bytes)?,
        Format::None => bytes.to_vec(),
        Format::Gzip | Format::Lz4 => {
            // Reserved memory that is never touched costs nothing; growing would copy.
            let mut writer =
                FrameWriter::new(codec, Some(bytes.len() as u64), Vec::with_capacity(bytes.len()))?;
            writer.write_all(bytes)?;
            writer.finish()?
        }
    };
    frame.shrink_to_fit();
    Ok(frame)
}

/// In one call, which saves the copy through zstd's window that a stream needs.
fn compress_zstd(codec: Codec, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::new(codec.level().into())?;
    compressor.include_checksum(true)?;
    compressor.compress(bytes)
}

/// Decompresses one or more frames, which must contain exactly `expected_bytes`.
///
/// It accepts what [`decoder`] accepts. Anything else, and any other number of bytes, is
/// [`InvalidData`](ErrorKind::InvalidData) or [`UnexpectedEof`](ErrorKind::UnexpectedEof). Memory is limited by
/// `expected_bytes`, whatever the frames claim. It decompresses in the caller's thread, so don't call it in one that
/// drives the network.
pub fn decompress_frames(format: Format, frames: &[u8], expected_bytes: usize) -> io::Result<Vec<u8>> {
    let bytes = match format {
        Format::Zstd if !frames.is_empty() => decompress_zstd(frames, expected_bytes)?,
        _ => at_once(read(format, frames, expected_bytes))?,
    };
    if bytes.len() != expected_bytes {
        let fewer_or_more = if bytes.len() < expected_bytes { "fewer" } else { "more" };
        let found = format!("it contains {fewer_or_more} than the expected {expected_bytes} bytes");
        return Err(broken(format, io::Error::new(ErrorKind::InvalidData, found)));
    }
    Ok(bytes)
}

/// In one call, which saves the copy through zstd's window that a stream needs.
fn decompress_zstd(frames: &[u8], expected_bytes: usize) -> io::Result<Vec<u8>> {
    let mut bytes = reserve(expected_bytes)?;
    zstd::bulk::Decompressor::new()?
        .decompress_to_buffer(frames, &mut bytes)
        .map_err(|error| broken(Format::Zstd, error))?;
    Ok(bytes)
}

/// Reads the decoder to its end, or to the first surplus byte.
pub(crate) async fn read(format: Format, frames: &[u8], expected_bytes: usize) -> io::Result<Vec<u8>> {
    let mut decoder = decoder(format, frames);
    // One more byte than expected, so that what follows, including checksums, is read too.
    let mut bytes = reserve(expected_bytes.saturating_add(1))?;
    while bytes.len() <= expected_bytes && decoder.read_buf(&mut bytes).await? > 0 {}
    Ok(bytes)
}

/// Runs a future that never waits, such as one that reads from memory.
pub(crate) fn at_once<T>(future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(ErrorKind::WouldBlock.into()),
    }
}

fn reserve(bytes: usize) -> io::Result<Vec<u8>> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(bytes)?;
    Ok(buffer)
}
