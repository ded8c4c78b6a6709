//! Everything written can be read back, by every function; and the failures around it.

use std::io::{self, Error, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::files::{COMPRESSED, ROWS, decode, golden};
use proptest::collection::vec;
use proptest::prelude::*;
use swiftwal_compression::{
    Codec, Format, compress_frame, compress_frame_into, decoder, decompress_frames, most_compressed,
};
use tokio::io::{AsyncRead, AsyncReadExt, BufReader, ReadBuf};
use tokio::runtime;

fn codecs() -> impl Strategy<Value = Codec> {
    prop::sample::select(vec![
        "zstd:1",
        "zstd:fast",
        "zstd:3",
        "zstd:9",
        "gzip:1",
        "gzip:6",
        "gzip:9",
        "lz4",
        "none",
    ])
    .prop_map(|text| text.parse().unwrap())
}

/// Content to compress: runs of one byte and of noise, sometimes longer than the codecs' windows.
fn contents() -> impl Strategy<Value = Vec<u8>> {
    let noise = vec(any::<u8>(), 0..2000);
    let run = (any::<u8>(), 0..200_000_usize).prop_map(|(byte, length)| vec![byte; length]);
    vec(prop_oneof![noise, run], 0..6).prop_map(|pieces| pieces.concat())
}

fn decode_now(format: Format, bytes: &[u8]) -> io::Result<Vec<u8>> {
    runtime::Builder::new_current_thread().build().unwrap().block_on(decode(format, bytes))
}

/// Bytes that no codec can compress (xorshift).
fn noise(length: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..length.div_ceil(8)).flat_map(|_| next()).take(length).collect()
}

proptest! {
    #[test]
    fn a_frame_is_the_same_in_reserved_memory(codec in codecs(), content in contents(), reserved in 0..300_000_usize) {
        let frame = compress_frame(codec, &content).unwrap();
        let mut memory = vec![7; reserved.min(100)];
        memory.reserve(reserved);
        prop_assert!(compress_frame_into(codec, &content, memory).unwrap() == frame);
        prop_assert!(frame.len() <= most_compressed(content.len()));
    }

    #[test]
    fn frames_in_a_row_read_back_as_one(codec in codecs(), contents in vec(contents(), 1..4)) {
        let frames: Vec<_> = contents.iter().map(|content| compress_frame(codec, content).unwrap()).collect();
        let (content, stored) = (contents.concat(), frames.concat());
        prop_assert!(decode_now(codec.format(), &stored).unwrap() == content);
        prop_assert!(decompress_frames(codec.format(), &stored, content.len()).unwrap() == content);
    }

    #[test]
    fn frames_that_hold_another_number_of_bytes_are_an_error(
        codec in codecs(),
        content in contents(),
        expected_bytes in 0..1_000_000_usize,
    ) {
        prop_assume!(expected_bytes != content.len());
        let frame = compress_frame(codec, &content).unwrap();
        let error = decompress_frames(codec.format(), &frame, expected_bytes).unwrap_err();
        prop_assert_eq!(error.kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn noise_is_no_stream(format in prop::sample::select(COMPRESSED.to_vec()), noise in vec(any::<u8>(), 0..300)) {
        prop_assert!(decode_now(format, &noise).is_err());
        prop_assert!(decompress_frames(format, &noise, noise.len()).is_err());
    }
}

#[test]
fn damage_to_any_byte_written_never_yields_other_bytes() {
    let content = noise(700);
    for format in COMPRESSED {
        let frame = compress_frame(format.into(), &content).unwrap();
        for at in 0..frame.len() {
            let mut stored = frame.clone();
            stored[at] ^= 0xff;
            let decoded = decode_now(format, &stored);
            assert!(decoded.is_err() || decoded.unwrap() == content, "{format} at {at}");
        }
    }
}

#[test]
fn a_zstd_frame_says_how_many_bytes_it_holds() {
    let frame = compress_frame(Codec::default(), ROWS).unwrap();
    assert_eq!(zstd::zstd_safe::get_frame_content_size(&frame).unwrap(), Some(ROWS.len() as u64));
}

#[test]
fn a_frame_holds_no_spare_memory() {
    for format in Format::ALL {
        let frame = compress_frame(format.into(), &ROWS.repeat(500)).unwrap();
        assert_eq!(frame.capacity(), frame.len(), "{format}");
    }
}

#[test]
fn a_thread_that_changes_the_level_compresses_at_the_new_one() {
    let content = ROWS.repeat(50);
    let codecs = ["zstd:fast", "zstd:1", "zstd:9"].map(|codec| codec.parse::<Codec>().unwrap());
    let alone = codecs.map(|codec| {
        let content = content.clone();
        std::thread::spawn(move || compress_frame(codec, &content).unwrap()).join().unwrap()
    });
    for _ in 0..2 {
        assert!(codecs.map(|codec| compress_frame(codec, &content).unwrap()) == alone);
    }
}

#[test]
fn noise_takes_at_most_the_documented_memory() {
    let content = noise(3 << 20);
    for codec in ["zstd:fast", "zstd:1", "zstd:9", "gzip", "lz4", "none"] {
        let frame = compress_frame(codec.parse().unwrap(), &content).unwrap();
        assert!(frame.len() <= most_compressed(content.len()), "{codec}: {}", frame.len());
    }
}

#[test]
fn nothing_at_all_is_an_empty_file_only_without_compression() {
    assert_eq!(decode_now(Format::None, b"").unwrap(), b"");
    for format in COMPRESSED {
        assert_eq!(decode_now(format, b"").unwrap_err().kind(), ErrorKind::UnexpectedEof, "{format}");
        assert!(decompress_frames(format, b"", 0).is_err(), "{format}");
    }
}

#[test]
fn an_expectation_beyond_memory_is_an_error() {
    for format in Format::ALL {
        let frame = compress_frame(format.into(), ROWS).unwrap();
        assert!(decompress_frames(format, &frame, usize::MAX).is_err(), "{format}");
    }
}

#[test]
fn an_error_names_the_format_and_what_is_wrong() {
    let file = golden("one.zst").bytes;
    let cut = decode_now(Format::Zstd, &file[..100]).unwrap_err();
    assert_eq!(cut.to_string(), "decompressing zstd: the data is cut short");
    let damaged = decode_now(Format::Gzip, file).unwrap_err();
    assert_eq!(damaged.to_string(), "decompressing gzip: the data is damaged");
}

/// A connection that breaks, and that would continue if it were read again.
struct Breaking;

impl AsyncRead for Breaking {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(Error::new(ErrorKind::ConnectionReset, "reset by peer")))
    }
}

#[tokio::test]
async fn an_error_of_the_reader_is_passed_on_as_it_is() {
    for name in ["one.zst", "one.gz", "one.lz4"] {
        let file = golden(name);
        for length in [0, 5, 100] {
            let reader = BufReader::new(file.bytes[..length].chain(Breaking));
            let error = decode(file.format, reader).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{name} after {length}");
            assert_eq!(error.to_string(), "reset by peer", "{name} after {length}");
        }
    }
}

#[tokio::test]
async fn no_read_succeeds_after_an_error() {
    for name in ["one.zst", "one.gz", "one.lz4"] {
        let file = golden(name);
        let mut decoder = decoder(file.format, &file.bytes[..100]);
        decoder.read_to_end(&mut Vec::new()).await.unwrap_err();
        decoder.read(&mut [0]).await.unwrap_err();
    }
}
