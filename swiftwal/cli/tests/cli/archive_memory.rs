//! A WAL segment of any size is archived in the same amount of memory, since archive_command must leave memory for the
//! database.

use std::{
    fs::{self, File},
    io::{Read, Write, copy},
    process::{Child, Stdio},
};

use xtask::peak_memory_kib;

use crate::site::{Ran, Site, ran, segment_name, segment_of};

/// The documented limit for a command on WAL, in KiB.
const MOST_KIB: u64 = 48 << 10;

const SEGMENT_BYTES: u64 = 64 << 20;
/// The largest segment size that PostgreSQL supports.
const LARGEST_SEGMENT_BYTES: u64 = 1 << 30;

/// The bytes of a segment's header.
const HEADER_BYTES: u64 = 40;

/// Writes an incompressible segment, and returns its path below the scratch directory.
fn write_random_segment(site: &Site, number: u32, bytes: u64) -> String {
    let path = format!("pg_wal/{}", segment_name(number));
    let header = &segment_of(number, 0, bytes as usize)[..HEADER_BYTES as usize];
    let mut file = File::create(site.write(&path, header)).unwrap();
    file.write_all(header).unwrap();
    copy(&mut File::open("/dev/urandom").unwrap().take(bytes - HEADER_BYTES), &mut file).unwrap();
    path
}

/// Waits for its end, and returns the most memory that it has had, in KiB.
fn watched(mut child: Child) -> (Ran, u64) {
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        // None if it has ended and hasn't been waited for yet.
        peak = peak_memory_kib(child.id()).unwrap_or(peak);
    }
    (ran(child.wait_with_output().unwrap()), peak)
}

/// Stores the file, stores it again, and replaces it.
fn archives_in_bounded_memory(bytes: u64, codecs: &[&str]) {
    let site = Site::new();
    let path = write_random_segment(&site, 0, bytes);
    for codec in codecs {
        for command in [&["archive-wal"][..], &["archive-wal"], &["archive-wal", "--force"]] {
            let arguments = [&["--compression", codec][..], command, &[&path]].concat();
            let mut command = site.command(&arguments);
            let (ran, peak) = watched(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
            assert_eq!(ran.code, 0, "{arguments:?}: {ran:?}");
            assert!((1..=MOST_KIB).contains(&peak), "{arguments:?} had {peak} KiB");
        }
        let object =
            site.object(&format!("wal_{}{}", segment_name(0), if *codec == "none" { "" } else { ".zst" }));
        assert!(fs::metadata(&object).unwrap().len() >= bytes);
        fs::remove_file(object).unwrap();
    }
}

#[test]
fn a_segment_larger_than_the_memory_is_archived_whole() {
    archives_in_bounded_memory(SEGMENT_BYTES, &["zstd", "none"]);
}

/// The documented limit for each file that is stored at the same time, in KiB.
const MOST_KIB_FOR_A_JOB: u64 = 17 << 10;

#[test]
fn what_is_archived_ahead_needs_memory_for_each_job() {
    const JOBS: u64 = 3;
    let site = Site::new();
    site.write("postmaster.pid", format!("{}\n", std::process::id()));
    for number in 0..=6 {
        write_random_segment(&site, number, 16 << 20);
        site.write(&format!("pg_wal/archive_status/{}.ready", segment_name(number)), "");
    }
    let path = format!("pg_wal/{}", segment_name(0));
    let mut command = site.command(&["archive-wal", &path, "--jobs", &JOBS.to_string(), "--ahead", "6"]);
    let (ran, peak) = watched(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    assert!(ran.code == 0 && ran.stderr.is_empty(), "{ran:?}");
    assert_eq!(site.succeed(&["list-wal"]).lines().count(), 7);
    let most = MOST_KIB + JOBS * MOST_KIB_FOR_A_JOB;
    assert!((1..=most).contains(&peak), "{peak} KiB of {most}");
    println!("{peak} KiB");
}

mod long {
    #[test]
    #[ignore = "takes minutes: run by cargo xtask test --long"]
    fn the_largest_segment_is_archived_in_the_same_memory() {
        super::archives_in_bounded_memory(super::LARGEST_SEGMENT_BYTES, &["zstd"]);
    }
}
