//! Fuzzing targets: they must not panic, whatever the bytes are, and must use bounded memory.

use crate::frames::{at_once, read};
use crate::{Codec, Format, compress_frame, decompress_frames};

/// The largest content that is decompressed at once.
const MOST_BYTES: usize = 64 * 1024;

/// Decompresses the bytes as frames of every format.
pub fn frames(bytes: &[u8]) {
    for format in Format::ALL {
        let mut streamed = Vec::new();
        let Ok(()) = at_once(read(format, bytes, MOST_BYTES, &mut streamed)) else { continue };
        assert!(streamed.len() <= MOST_BYTES + 1 || format == Format::None);
        if streamed.len() <= MOST_BYTES {
            assert_eq!(decompress_frames(format, bytes, streamed.len()).ok(), Some(streamed), "{format}");
        }
    }
    for codec in ["zstd", "gzip", "lz4", "none"] {
        let Ok(codec) = codec.parse::<Codec>() else { continue };
        let read_back = compress_frame(codec, bytes)
            .and_then(|frame| decompress_frames(codec.format(), &frame, bytes.len()));
        assert_eq!(read_back.ok().as_deref(), Some(bytes));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn frames_are_read_or_refused() {
        swiftwal_mutation::check("frames", super::frames);
    }
}
