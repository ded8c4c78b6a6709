//! Files of the standard tools are read, and nothing else is accepted.

use std::io::ErrorKind;
use std::ops::Range;

use crate::files::{COMPRESSED, GOLDEN, Golden, ROWS, decode, golden};
use swiftwal_compression::{Format, decompress_frames};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};

#[tokio::test]
async fn every_file_of_the_standard_tools_is_read() {
    for file in &GOLDEN {
        let content = file.content();
        assert!(decode(file.format, file.bytes).await.unwrap() == content, "{}", file.name);
        assert!(
            decompress_frames(file.format, file.bytes, content.len()).unwrap() == content,
            "{}",
            file.name
        );
    }
}

#[tokio::test]
async fn a_stream_may_arrive_in_pieces_of_any_size() {
    for file in GOLDEN.iter().filter(|file| file.rows <= 2) {
        for piece in 1..=file.bytes.len() {
            let reader = BufReader::with_capacity(piece, file.bytes);
            assert!(decode(file.format, reader).await.unwrap() == file.content(), "{} by {piece}", file.name);
        }
    }
}

#[tokio::test]
async fn a_stream_may_be_read_a_byte_at_a_time_from_a_reader_that_makes_it_wait() {
    for file in GOLDEN.iter().filter(|file| file.rows <= 2) {
        let (mut sender, receiver) = tokio::io::duplex(3);
        let sending = tokio::spawn(async move { sender.write_all(file.bytes).await });
        let mut decoder = swiftwal_compression::decoder(file.format, BufReader::new(receiver));
        let mut content = Vec::new();
        let mut byte = [0];
        while decoder.read(&mut byte).await.unwrap() > 0 {
            content.push(byte[0]);
        }
        assert!(content == file.content(), "{}", file.name);
        sending.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_file_cut_anywhere_is_an_unexpected_end() {
    for file in
        GOLDEN.iter().filter(|file| !["two.zst", "two.gz", "two.lz4", "skippable.zst"].contains(&file.name))
    {
        let step = if file.bytes.len() > 2000 { 97 } else { 1 };
        for length in (0..file.bytes.len()).step_by(step) {
            let cut = &file.bytes[..length];
            let error = decode(file.format, cut).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{} cut at {length}: {error}", file.name);
            assert!(
                decompress_frames(file.format, cut, file.content().len()).is_err(),
                "{} at {length}",
                file.name
            );
        }
    }
}

#[tokio::test]
async fn two_members_cut_anywhere_but_between_them_are_an_unexpected_end() {
    for (two, one) in [("two.zst", "one.zst"), ("two.gz", "one.gz"), ("two.lz4", "one.lz4")] {
        let (two, one) = (golden(two), golden(one));
        for length in 0..two.bytes.len() {
            let cut = &two.bytes[..length];
            let decoded = decode(two.format, cut).await;
            if length == one.bytes.len() {
                assert_eq!(decoded.unwrap(), ROWS);
            } else {
                assert_eq!(decoded.unwrap_err().kind(), ErrorKind::UnexpectedEof, "{} at {length}", two.name);
            }
            assert!(decompress_frames(two.format, cut, 2 * ROWS.len()).is_err(), "{} at {length}", two.name);
        }
    }
}

/// Some bits of a format don't affect the content (a file name, the padding of an entropy table), so damage may go
/// unnoticed. It must not change the content.
#[tokio::test]
async fn damage_to_any_bit_of_a_checksummed_file_never_yields_other_bytes() {
    for name in CHECKSUMMED {
        let file = golden(name);
        let content = file.content();
        for (damaged, what) in damaged(file, 0..file.bytes.len()) {
            let streamed = decode(file.format, damaged.as_slice()).await;
            assert!(streamed.is_err() || streamed.unwrap() == content, "{what}");
            let framed = decompress_frames(file.format, &damaged, content.len());
            assert!(framed.is_err() || framed.unwrap() == content, "{what}");
        }
    }
}

#[tokio::test]
async fn damage_to_any_bit_of_a_checksum_is_an_error() {
    for name in CHECKSUMMED {
        let file = golden(name);
        // gzip ends with the checksum and the size, four bytes each; the others end with the checksum.
        let trailer = if file.format == Format::Gzip { 8 } else { 4 };
        for (damaged, what) in damaged(file, file.bytes.len() - trailer..file.bytes.len()) {
            let error = decode(file.format, damaged.as_slice()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{what}: {error}");
            assert!(decompress_frames(file.format, &damaged, file.content().len()).is_err(), "{what}");
        }
    }
}

const CHECKSUMMED: [&str; 8] =
    ["one.zst", "two.zst", "skippable.zst", "one.gz", "two.gz", "one.lz4", "sized.lz4", "two.lz4"];

/// Returns copies of the file with damaged bytes: for each byte of a range, each of its bits flipped, and then all of
/// them.
fn damaged(file: &Golden, range: Range<usize>) -> impl Iterator<Item = (Vec<u8>, String)> {
    range.flat_map(move |at| {
        [1, 2, 4, 8, 16, 32, 64, 128, 255].map(|mask| {
            let mut bytes = file.bytes.to_vec();
            bytes[at] ^= mask;
            (bytes, format!("{} with {mask:#x} flipped at {at}", file.name))
        })
    })
}

#[tokio::test]
async fn anything_after_the_last_member_is_an_error() {
    for name in ["one.zst", "one.gz", "one.lz4", "empty.zst", "empty.gz", "empty.lz4"] {
        let file = golden(name);
        for tail in
            [&b"\0"[..], &[0; 512], b"x", b"\x1f", b"\x28\xb5", b"\x04\x22\x4d\x18", b"trailing garbage"]
        {
            let bytes = [file.bytes, tail].concat();
            assert!(decode(file.format, bytes.as_slice()).await.is_err(), "{name} and {tail:?}");
            assert!(
                decompress_frames(file.format, &bytes, file.content().len()).is_err(),
                "{name} and {tail:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_file_of_another_format_is_damaged() {
    for file in GOLDEN.iter().filter(|file| file.rows == 1) {
        for format in COMPRESSED.into_iter().filter(|format| *format != file.format) {
            let error = decode(format, file.bytes).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{} as {format}: {error}", file.name);
        }
    }
}
