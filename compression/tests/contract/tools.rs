//! The standard tools read what is written here.

use std::fs;
use std::process::Command;

use crate::files::ROWS;
use swiftwal_compression::{Format, compress_frame};

#[test]
#[ignore = "needs the zstd, gzip and lz4 programs: run by cargo xtask test"]
fn frames_in_a_row_are_read_by_the_standard_tools() {
    for (format, tool) in TOOLS {
        let frames = CONTENTS.map(|content| compress_frame(format.into(), content).unwrap());
        assert_eq!(decompressed_by(tool, &frames.concat()), CONTENTS.concat(), "{tool}");
    }
}

const TOOLS: [(Format, &str); 3] = [(Format::Zstd, "zstd"), (Format::Gzip, "gzip"), (Format::Lz4, "lz4")];

const CONTENTS: [&[u8]; 3] = [ROWS, b"", &[7; 1 << 20]];

fn decompressed_by(tool: &str, stored: &[u8]) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("stored");
    fs::write(&path, stored).unwrap();
    let output = Command::new(tool).arg("-dc").stdin(fs::File::open(&path).unwrap()).output().unwrap();
    assert!(output.status.success(), "{tool}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
