//! A WAL segment of any size is fetched in the same amount of memory.

use std::{fs::File, io::Write, process::Command};

use swiftwal_compression::{Codec, Format, compress_frame};

use crate::site::{Site, run, segment_name, segment_of};

/// The documented memory limit of a command on WAL, including its stacks.
const MOST_KIB: u32 = 48 << 10;

/// More than that.
const SEGMENT_BYTES: usize = 64 << 20;
/// The largest segment size that PostgreSQL supports.
const LARGEST_SEGMENT_BYTES: usize = 1 << 30;

const PIECE_BYTES: usize = 4 << 20;

/// Stores an incompressible segment, and returns the hash of its content.
fn store_random_segment(site: &Site, format: Format, bytes: usize) -> blake3::Hash {
    let object = site.write(&format!("repository/wal_{}{}", segment_name(5), format.suffix()), "");
    let mut object = File::create(object).unwrap();
    let mut random = blake3::Hasher::new().finalize_xof();
    let (mut piece, mut hasher) = (vec![0; PIECE_BYTES], blake3::Hasher::new());
    for number in 0..bytes / PIECE_BYTES {
        random.fill(&mut piece);
        if number == 0 {
            let header = &segment_of(5, 0, bytes)[..40];
            piece[..header.len()].copy_from_slice(header);
        }
        hasher.update(&piece);
        object.write_all(&compress_frame(Codec::from(format), &piece).unwrap()).unwrap();
    }
    hasher.finalize()
}

fn restores_in_bounded_memory(bytes: usize) {
    for format in Format::ALL {
        let site = Site::new();
        let hash = store_random_segment(&site, format, bytes);
        let mut command = Command::new("/bin/sh");
        let program = env!("CARGO_BIN_EXE_swiftwal");
        let name = segment_name(5);
        let script = format!("ulimit -d {MOST_KIB}; exec '{program}' --json restore-wal {name} back");
        command.args(["-c", &script]).current_dir(site.path("")).env_clear();
        command.env("XDG_STATE_HOME", site.path("state")).env("SWIFTWAL_REPOSITORY", site.repository_url());
        let ran = run(&mut command);
        assert_eq!(ran.code, 0, "{format}: {ran:?}");
        assert!(ran.stdout.contains(&format!("\"blake3\":\"{hash}\"")), "{format}: {ran:?}");
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(File::open(site.path("back")).unwrap()).unwrap();
        assert_eq!(hasher.finalize(), hash, "{format}");
    }
}

#[test]
fn a_segment_larger_than_the_memory_is_fetched_whole() {
    restores_in_bounded_memory(SEGMENT_BYTES);
}

mod long {
    #[test]
    #[ignore = "takes minutes: run by cargo xtask test --long"]
    fn the_largest_segment_is_fetched_whole_in_the_same_memory() {
        super::restores_in_bounded_memory(super::LARGEST_SEGMENT_BYTES);
    }
}
