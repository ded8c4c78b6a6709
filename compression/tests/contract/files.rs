//! Shared by the tests: files that the standard tools wrote, and reading a stream to its end.

use std::io;

use swiftwal_compression::{Format, decoder};
use tokio::io::{AsyncBufRead, AsyncReadExt};

pub(crate) const ROWS: &[u8] = include_bytes!("../data/rows.sql");

/// A file that a standard tool wrote; tests/data/README.md says how.
pub(crate) struct Golden {
    pub(crate) name: &'static str,
    pub(crate) format: Format,
    pub(crate) bytes: &'static [u8],
    /// How many times it contains `ROWS`.
    pub(crate) rows: usize,
}

impl Golden {
    pub(crate) fn content(&self) -> Vec<u8> {
        ROWS.repeat(self.rows)
    }
}

macro_rules! golden {
    ($format:ident, $name:literal, $rows:literal) => {
        Golden {
            name: $name,
            format: Format::$format,
            bytes: include_bytes!(concat!("../data/", $name)),
            rows: $rows,
        }
    };
}

pub(crate) const GOLDEN: [Golden; 18] = [
    golden!(Zstd, "one.zst", 1),
    golden!(Zstd, "unchecked.zst", 1),
    golden!(Zstd, "two.zst", 2),
    golden!(Zstd, "long.zst", 1),
    golden!(Zstd, "threads.zst", 1000),
    golden!(Zstd, "skippable.zst", 1),
    golden!(Zstd, "empty.zst", 0),
    golden!(Gzip, "one.gz", 1),
    golden!(Gzip, "nameless.gz", 1),
    golden!(Gzip, "two.gz", 2),
    golden!(Gzip, "pigz.gz", 1000),
    golden!(Gzip, "empty.gz", 0),
    golden!(Lz4, "one.lz4", 1),
    golden!(Lz4, "two.lz4", 2),
    golden!(Lz4, "unchecked.lz4", 1),
    golden!(Lz4, "sized.lz4", 1),
    golden!(Lz4, "linked.lz4", 1000),
    golden!(Lz4, "empty.lz4", 0),
];

pub(crate) const COMPRESSED: [Format; 3] = [Format::Zstd, Format::Gzip, Format::Lz4];

pub(crate) fn golden(name: &str) -> &'static Golden {
    GOLDEN.iter().find(|golden| golden.name == name).unwrap()
}

/// Reads a stream to its end.
pub(crate) async fn decode(format: Format, reader: impl AsyncBufRead + Send + Unpin) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    decoder(format, reader).read_to_end(&mut bytes).await?;
    Ok(bytes)
}
