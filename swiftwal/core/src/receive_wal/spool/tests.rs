//! Tests of the spool.

use std::os::unix::fs::PermissionsExt;

use bytes::Bytes;
use swiftwal_postgres::{Lsn, Timeline};

use super::*;
use crate::repository::segment_check::synthetic_segment;

const SEGMENT_BYTES: u64 = 1 << 20;

fn size() -> SegmentSize {
    SegmentSize::new(SEGMENT_BYTES).unwrap()
}

fn segment(number: u32) -> SegmentName {
    format!("00000001{:08X}{number:08X}", 0).parse().unwrap()
}

fn spool(directory: &tempfile::TempDir) -> Spool {
    Spool::open(directory.path()).unwrap()
}

async fn begun(spool: &Spool, number: u32, content: &'static str) -> BegunSegment {
    let mut begun = spool.begin(segment(number), size(), None).await.unwrap();
    begun.append(vec![content.into()]).await.unwrap();
    begun
}

#[tokio::test]
async fn a_segment_gets_its_name_when_it_is_complete_and_is_received_again_over_the_same_bytes() {
    let directory = private_directory();
    let spool = Spool::open(&directory.path().join("spool")).unwrap();
    let mut first = spool.begin(segment(5), size(), None).await.unwrap();
    first.append(vec!["abc".into(), "def".into()]).await.unwrap();
    let in_spool = async || (spool.begun().await.unwrap(), spool.complete().await.unwrap());
    assert_eq!(in_spool().await, (vec![segment(5)], vec![]));
    // The next process.
    drop(first);
    let mut begun = begun(&spool, 5, "abc").await;
    let left = fs::read(spool.path_of(WalName::Partial(segment(5)))).unwrap();
    assert_eq!(&left[..7], b"abcdef\0");
    let mut read = [1; 5];
    let content = crate::local::content::Content::Beginning(begun.beginning());
    assert_eq!(content.read_at(&mut read, 0).unwrap(), 3);
    assert_eq!(content.read_at(&mut read[3..], 3).unwrap(), 2);
    assert_eq!(&read, b"abc\0\0");
    let mut rest = b"def".to_vec();
    rest.resize(usize::try_from(begun.missing()).unwrap(), 7);
    begun.append(vec![rest.into()]).await.unwrap();
    assert_eq!(begun.missing(), 0);
    spool.complete_segment(begun).await.unwrap();
    assert_eq!(in_spool().await, (vec![], vec![segment(5)]));
    let complete = WalName::Segment(segment(5));
    assert_eq!(fs::metadata(spool.path_of(complete)).unwrap().len(), SEGMENT_BYTES);
}

#[tokio::test]
async fn what_is_received_again_must_be_the_same_except_what_a_crash_left_out() {
    let directory = private_directory();
    let spool = spool(&directory);
    begun(&spool, 5, "abc\0\0fgh").await;
    let begin = || spool.begin(segment(5), size(), None);
    let mut same = begin().await.unwrap();
    same.append(vec!["abcde".into()]).await.unwrap();
    same.append(vec!["fg".into(), "hij".into()]).await.unwrap();
    for (pieces, at) in [(vec!["abX"], 2), (vec!["ab", "cde", "fghX"], 8), (vec!["abcdefghijk"], 11)] {
        let pieces = pieces.into_iter().map(Bytes::from).collect();
        let appended = begin().await.unwrap().append(pieces).await;
        match appended {
            Err(Error::Refused(Refusal::AnotherWal { at: found, .. })) => {
                assert_eq!(found, Lsn(5 * SEGMENT_BYTES + at));
            }
            other => assert!(other.is_ok() && at == 11, "{other:?}"),
        }
    }
    let left = fs::read(spool.path_of(WalName::Partial(segment(5)))).unwrap();
    assert_eq!(&left[..12], b"abcdefghijk\0");
}

#[tokio::test]
async fn a_branch_begins_with_the_bytes_of_the_older_timeline() {
    let directory = private_directory();
    let spool = spool(&directory);
    begun(&spool, 5, "abcdef").await;
    let branch = segment(5).on_timeline(Timeline::new(2).unwrap());
    let begin = |bytes| spool.begin(branch, size(), Some((segment(5), bytes)));
    begin(3).await.unwrap().append(vec!["abcXYZ".into()]).await.unwrap();
    fs::remove_file(spool.path_of(WalName::Partial(branch))).unwrap();
    let error = begin(4).await.unwrap().append(vec!["abcXYZ".into()]).await.unwrap_err();
    assert!(matches!(error, Error::Refused(Refusal::AnotherWal { segment, .. }) if segment == branch));
}

#[tokio::test]
async fn a_damaged_segment_is_put_aside_and_counts_as_missing() {
    let directory = private_directory();
    let spool = spool(&directory);
    let put = |number: u32, content: &[u8]| {
        fs::write(spool.path_of(WalName::Segment(segment(number))), content).unwrap();
    };
    let whole = valid_segment(5);
    put(5, &whole);
    put(6, &[0; SEGMENT_BYTES as usize]);
    put(7, &valid_segment(7)[..5000]);
    let mut torn = valid_segment(8);
    torn[500_000..510_000].fill(0);
    put(8, &torn);
    // Of what was begun, nothing is on the disk; or the first page is damaged.
    let begun = |number: u32| spool.path_of(WalName::Partial(segment(number)));
    fs::write(begun(9), vec![0; SEGMENT_BYTES as usize]).unwrap();
    let mut beginning = valid_segment(10)[..20_000].to_vec();
    beginning[9] ^= 1;
    beginning.resize(SEGMENT_BYTES as usize, 0);
    fs::write(begun(10), beginning).unwrap();
    let mut damaged: Vec<_> = [6, 7, 8].map(segment).map(WalName::Segment).into();
    damaged.push(WalName::Partial(segment(10)));
    assert_eq!(spool.put_damaged_aside().await.unwrap(), damaged);
    assert_eq!(spool.complete().await.unwrap(), [segment(5)]);
    assert_eq!(spool.begun().await.unwrap(), [segment(9)]);
    for name in damaged {
        assert!(directory.path().join(format!("{name}.damaged")).exists());
    }
    assert_eq!(spool.put_damaged_aside().await.unwrap(), []);
}

/// Returns a segment in which every page has its header.
fn valid_segment(number: u32) -> Vec<u8> {
    let mut segment = synthetic_segment(number, SEGMENT_BYTES as u32);
    for page in (8192..segment.len()).step_by(8192) {
        segment.copy_within(..8, page);
        segment[page + 2] = 0;
        let address = u64::from(number) * SEGMENT_BYTES + page as u64;
        segment[page + 8..page + 16].copy_from_slice(&address.to_ne_bytes());
    }
    segment
}

#[tokio::test]
async fn other_files_are_left_alone() {
    let directory = private_directory();
    let spool = spool(&directory);
    for name in ["000000020000000000000003", "000000010000000000000002", "notes", "x.partial"] {
        fs::write(directory.path().join(name), "").unwrap();
    }
    let names: Vec<_> = spool.complete().await.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["000000010000000000000002", "000000020000000000000003"]);
}

#[test]
fn a_second_process_is_refused() {
    let directory = private_directory();
    let spool = Spool::open(directory.path()).unwrap();
    let error = Spool::open(directory.path()).unwrap_err();
    assert!(error.to_string().contains("another receive-wal uses the spool"), "{error}");
    drop(spool);
    Spool::open(directory.path()).unwrap();
}

/// Whoever may write there could make others' WAL look like the server's.
#[test]
fn a_spool_that_another_user_may_write_to_is_refused() {
    let directory = private_directory();
    for (mode, is_private) in [(0o770, false), (0o702, false), (0o755, true)] {
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(Spool::open(directory.path()).is_ok(), is_private, "{mode:o}");
    }
}
