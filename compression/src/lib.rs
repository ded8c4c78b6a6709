//! Compression and decompression of frames and of streams.
//!
//! A stored file is a sequence of *frames* (zstd frames, gzip members, lz4 frames), each of which can be decompressed
//! by itself. Frames may be compressed separately and are concatenated: the standard tools and [`decoder`] read the
//! sequence as one file.
//!
//! - One frame at a time, in memory: [`compress_frame`], [`decompress_frames`].
//! - A file that isn't in memory as a whole: [`decoder`].
//!
//! Truncated or damaged data is an error ([`UnexpectedEof`](std::io::ErrorKind::UnexpectedEof) or
//! [`InvalidData`](std::io::ErrorKind::InvalidData)), never a shorter success. Everything written here contains a
//! checksum, except with [`Format::None`], which adds nothing to the bytes: neither truncation nor damage can be
//! detected then.

mod codec;
mod decoder;
mod format;
mod frames;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod zstd_frame;

pub use codec::{Codec, ParseCodecError};
pub use decoder::decoder;
pub use format::{Format, ParseFormatError};
pub use frames::{
    compress_frame, compress_frame_into, decompress_frames, decompress_frames_into, most_compressed,
};
