//! The process that fetches ahead needs the documented memory, whatever the size of the segments.

use std::{
    fs::File,
    io::{Read, Write},
};

use swiftwal_compression::{Codec, compress_frame};
use swiftwal_conformance::SyntheticCluster;
use swiftwal_postgres::SegmentSize;
use xtask::peak_memory_kib;

use super::recovery::Recovery;

/// The documented limit: for the process, and for each job, in KiB.
const MOST_KIB: u64 = 40 << 10;
const MOST_KIB_FOR_A_JOB: u64 = 6 << 10;

/// Several times what a job may have.
const SEGMENT_BYTES: u64 = 32 << 20;
const FRAME_BYTES: usize = 4 << 20;
const SEGMENTS: u64 = 12;

/// Stores incompressible segments. Beyond the first frame, which has the header, all of them are the same.
fn store_random_segments(recovery: &Recovery) {
    let mut frame = vec![0; FRAME_BYTES];
    File::open("/dev/urandom").unwrap().read_exact(&mut frame).unwrap();
    let same = compress_frame(Codec::default(), &frame).unwrap();
    for number in 1..=SEGMENTS {
        let header = recovery.cluster.segment_header(number);
        frame[..header.len()].copy_from_slice(&header);
        let name = format!("repository/wal_{}.zst", recovery.name(number));
        let mut object = File::create(recovery.site.write(&name, "")).unwrap();
        object.write_all(&compress_frame(Codec::default(), &frame).unwrap()).unwrap();
        for _ in 1..SEGMENT_BYTES / FRAME_BYTES as u64 {
            object.write_all(&same).unwrap();
        }
    }
}

#[test]
fn fetching_ahead_needs_memory_for_each_job_and_not_for_each_segment() {
    let size = SegmentSize::new(SEGMENT_BYTES).unwrap();
    for jobs in ["1", "4"] {
        let cluster = SyntheticCluster::new(1).with_segment_size(size);
        let mut recovery = Recovery::without_archive(cluster, None);
        recovery.options = vec!["--prefetch", "8", "--jobs", jobs];
        store_random_segments(&recovery);
        // From the third one on, all eight are fetched, as many at a time as there are jobs.
        for number in 1..=4 {
            let ran = recovery.ask(number);
            assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{number}");
            recovery.wait_for(number + 1);
        }
        for number in 6..=SEGMENTS {
            recovery.wait_for(number);
        }
        let pid = recovery.prefetcher().as_raw_nonzero().get();
        let peak = peak_memory_kib(u32::try_from(pid).unwrap()).unwrap();
        let most = MOST_KIB + jobs.parse::<u64>().unwrap() * MOST_KIB_FOR_A_JOB;
        println!("{jobs} jobs: {peak} KiB of {most}");
        assert!(peak <= most, "{jobs} jobs: {peak} KiB of {most}");
    }
}
