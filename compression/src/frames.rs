//! Frames in memory.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, ReadBuf};

use crate::decoder::{broken, decoder};
use crate::encoder::FrameWriter;
use crate::{Codec, Format};

/// Compresses the bytes into one frame that can be read by itself.
///
/// It says how many bytes it holds (gzip modulo 4 GiB) and carries their checksum; [`Format::None`]
/// copies. The result holds no spare memory. This keeps the thread busy, at zstd's level 1 for some
/// 4 ms per MiB: not one for a thread that drives the network.
pub fn compress_frame(codec: Codec, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut frame = match codec.format() {
        Format::Zstd => compress_zstd(codec, bytes)?,
        Format::None => bytes.to_vec(),
        Format::Gzip | Format::Lz4 => {
            // Memory that is reserved and never touched costs nothing; growing would copy.
            let mut writer =
                FrameWriter::new(codec, Some(bytes.len() as u64), Vec::with_capacity(bytes.len()))?;
            writer.write_all(bytes)?;
            writer.finish()?
        }
    };
    frame.shrink_to_fit();
    Ok(frame)
}

/// In one call, which spares the copy through zstd's window that a stream needs.
fn compress_zstd(codec: Codec, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::new(codec.level().into())?;
    compressor.include_checksum(true)?;
    compressor.compress(bytes)
}

/// Decompresses one frame or several in a row, which must hold exactly `expected_bytes`.
///
/// Errors are [`decoder`]'s, and [`InvalidData`](ErrorKind::InvalidData) where the frames hold fewer or
/// more bytes. Memory is bounded by `expected_bytes`, whatever the frames say. This keeps the thread
/// busy: not one for a thread that drives the network.
pub fn decompress_frames(format: Format, frames: &[u8], expected_bytes: usize) -> io::Result<Vec<u8>> {
    match format {
        Format::Zstd if !frames.is_empty() => decompress_zstd(frames, expected_bytes),
        _ => read_exactly(format, frames, expected_bytes),
    }
}

/// In one call, which spares the copy through the window that a stream needs.
fn decompress_zstd(frames: &[u8], expected_bytes: usize) -> io::Result<Vec<u8>> {
    let mut bytes = reserve(expected_bytes)?;
    zstd::bulk::Decompressor::new()?
        .decompress_to_buffer(frames, &mut bytes)
        .map_err(|error| broken(Format::Zstd, error))?;
    if bytes.len() != expected_bytes {
        return Err(wrong_size(Format::Zstd, "fewer", expected_bytes));
    }
    Ok(bytes)
}

/// Reads the decoder to its end, on a slice, which is always ready.
fn read_exactly(format: Format, frames: &[u8], expected_bytes: usize) -> io::Result<Vec<u8>> {
    let mut decoder = decoder(format, frames);
    let mut bytes = reserve(expected_bytes)?;
    bytes.resize(expected_bytes, 0);
    let mut buf = ReadBuf::new(&mut bytes);
    while buf.remaining() > 0 {
        let before = buf.filled().len();
        read(&mut decoder, &mut buf)?;
        if buf.filled().len() == before {
            return Err(wrong_size(format, "fewer", expected_bytes));
        }
    }
    // What follows the last byte, checksums among it, is checked by reading up to the end.
    let mut more = [0];
    let mut more = ReadBuf::new(&mut more);
    read(&mut decoder, &mut more)?;
    if !more.filled().is_empty() {
        return Err(wrong_size(format, "more", expected_bytes));
    }
    Ok(bytes)
}

fn read(decoder: &mut (impl AsyncRead + Unpin), buf: &mut ReadBuf<'_>) -> io::Result<()> {
    match Pin::new(decoder).poll_read(&mut Context::from_waker(Waker::noop()), buf) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(ErrorKind::WouldBlock.into()),
    }
}

fn reserve(bytes: usize) -> io::Result<Vec<u8>> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(bytes)?;
    Ok(buffer)
}

fn wrong_size(format: Format, fewer_or_more: &str, expected_bytes: usize) -> io::Error {
    let found = format!("it holds {fewer_or_more} than the {expected_bytes} bytes it should");
    broken(format, io::Error::new(ErrorKind::InvalidData, found))
}
