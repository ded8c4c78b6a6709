//! Decompresses a stream, and refuses a truncated one.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_compression::tokio::bufread::{GzipDecoder, Lz4Decoder, ZstdDecoder};
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

use crate::Format;

/// Decompresses any file that the format's standard tool wrote.
///
/// That is one or more frames, with or without checksums and content sizes, including zstd's skippable frames, and
/// windows up to 128 MiB (`--long=27`). Anything else is an error: a truncated or empty stream
/// ([`UnexpectedEof`](io::ErrorKind::UnexpectedEof)), a damaged one, and bytes after the last frame, even zeros
/// ([`InvalidData`](io::ErrorKind::InvalidData), or `UnexpectedEof` if they could begin a frame). A stream that was
/// truncated between two frames looks complete. [`Format::None`] returns the bytes unchanged.
///
/// Bytes that were read before an error must not be used, and every read after one fails. An error of `reader` itself
/// is returned unchanged.
///
/// Decompression takes place in the thread that polls, at each read: use a buffer of 64 KiB or more, but not megabytes.
pub fn decoder<'a>(
    format: Format,
    reader: impl AsyncBufRead + Send + Unpin + 'a,
) -> Box<dyn AsyncRead + Send + Unpin + 'a> {
    let reader = Marked(reader);
    match format {
        Format::Zstd => {
            let mut frames = ZstdDecoder::new(reader);
            frames.multiple_members(true);
            Box::new(Strict::new(format, frames))
        }
        Format::Gzip => {
            let mut members = GzipDecoder::new(reader);
            members.multiple_members(true);
            Box::new(Strict::new(format, members))
        }
        Format::Lz4 => {
            let mut frames = Lz4Decoder::new(reader);
            frames.multiple_members(true);
            Box::new(Strict::new(format, frames))
        }
        Format::None => Box::new(reader.0),
    }
}

/// What is wrong with compressed data.
#[derive(Debug, thiserror::Error)]
#[error("decompressing {format}: the data is {}", if *cut { "cut short" } else { "damaged" })]
struct Broken {
    format: Format,
    cut: bool,
    source: io::Error,
}

/// Converts any error of a codec to one that names the format and distinguishes truncated from damaged data.
pub(crate) fn broken(format: Format, source: io::Error) -> io::Error {
    let cut = source.kind() == io::ErrorKind::UnexpectedEof;
    let kind = if cut { io::ErrorKind::UnexpectedEof } else { io::ErrorKind::InvalidData };
    io::Error::new(kind, Broken { format, cut, source })
}

/// A decoder that names the format in its errors, and fails at every read after one: the content would have a hole, or
/// end too early.
struct Strict<D> {
    format: Format,
    inner: D,
    failed: bool,
}

impl<D> Strict<D> {
    fn new(format: Format, inner: D) -> Self {
        Self { format, inner, failed: false }
    }
}

impl<D: AsyncRead + Unpin> AsyncRead for Strict<D> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.failed {
            let message = format!("decompressing {}: read on after an error", self.format);
            return Poll::Ready(Err(io::Error::other(message)));
        }
        let filled = buf.filled().len();
        let Err(error) = ready!(Pin::new(&mut self.inner).poll_read(cx, buf)) else {
            return Poll::Ready(Ok(()));
        };
        self.failed = true;
        // The reader may fail after some bytes are in the buffer. A read must not return bytes together with an error:
        // tokio's `read_to_end` panics.
        buf.set_filled(filled);
        Poll::Ready(Err(match error.downcast::<ReaderError>() {
            Ok(ReaderError(error)) => error,
            Err(error) => broken(self.format, error),
        }))
    }
}

/// A reader whose errors can be distinguished from the decoder's.
struct Marked<R>(R);

/// An error of the reader beneath a decoder.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct ReaderError(io::Error);

fn mark(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), ReaderError(error))
}

impl<R: AsyncRead + Unpin> AsyncRead for Marked<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf).map_err(mark)
    }
}

impl<R: AsyncBufRead + Unpin> AsyncBufRead for Marked<R> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        Pin::new(&mut self.get_mut().0).poll_fill_buf(cx).map_err(mark)
    }

    fn consume(mut self: Pin<&mut Self>, amount: usize) {
        Pin::new(&mut self.0).consume(amount);
    }
}
