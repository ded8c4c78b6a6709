//! Scenarios of restore-wal.

use std::{
    fs,
    sync::{Mutex, PoisonError},
};

use anyhow::Result;
use jiff::SignedDuration;
use swiftwal_compression::{Format, compress_frame};
use swiftwal_core::{ArchiveOptions, Error, ErrorKind, restore_received_wal, restore_wal};
use swiftwal_postgres::{Timeline, WalName};

use super::site::{Site, file_names, refused};
use crate::{
    faulty::{Faults, LISTING, ReadFault},
    subject::Subject,
};

pub(crate) async fn every_compression_gives_the_bytes_back(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    for (format, number) in Format::ALL.into_iter().zip(3..) {
        let options = ArchiveOptions { codec: format.into(), force: false };
        let (name, bytes) = (site.cluster.wal_name(number), site.cluster.segment(number));
        site.archive_with(name, &bytes, &options).await?;
        assert_eq!(site.restored_wal(name).await?, bytes, "{format}");
    }
    Ok(())
}

pub(crate) async fn nothing_stays_beside_the_file(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(3..=3).await?;
    let directory = site.subject.path("pgdata");
    fs::create_dir(&directory)?;
    let target = directory.join("RECOVERYXLOG");
    for content in [None, Some("what was there before")] {
        content.map(|content| fs::write(&target, content)).transpose()?;
        restore_wal(&site.repository, site.cluster.wal_name(3), &target, &|_| {}).await?;
        assert_eq!(fs::read(&target)?, site.cluster.segment(3));
        assert_eq!(file_names(&directory)?, ["RECOVERYXLOG"]);
    }
    Ok(())
}

pub(crate) async fn the_path_may_be_a_directory(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(3..=3).await?;
    let directory = site.subject.path("pg_wal_to_be");
    fs::create_dir(&directory)?;
    restore_wal(&site.repository, site.cluster.wal_name(3), &directory, &|_| {}).await?;
    assert_eq!(fs::read(directory.join("000000010000000000000003"))?, site.cluster.segment(3));
    assert_eq!(file_names(&directory)?.len(), 1);
    Ok(())
}

/// A program uses the size to extend its deadline.
pub(crate) async fn its_size_is_told_before_the_file_is_read(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(3..=3).await?;
    let name = site.cluster.wal_name(3);
    let bytes = site.subject.get(&format!("wal_{name}.zst")).await?.len() as u64;
    let path = site.subject.path("RECOVERYXLOG");
    // The file is truncated when it is read.
    for faults in [Faults::none(), Faults::at_read(2, ReadFault::Cut)] {
        let told = Mutex::new(Vec::new());
        let observe = |bytes| told.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
        let _ = restore_wal(&site.subject.repository_with(&faults)?, name, &path, &observe).await;
        assert_eq!(told.into_inner().unwrap_or_else(PoisonError::into_inner), [bytes], "{faults:?}");
    }
    Ok(())
}

pub(crate) async fn what_is_not_there_is_absent_and_nothing_is_written(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(3..=3).await?;
    let (history, _) = site.cluster.promoted().history(&[]);
    for name in [site.cluster.wal_name(4), history, WalName::Partial(site.cluster.segment_name(3))] {
        let error = refused(site.restored_wal(name).await);
        assert!(matches!(error, Error::WalAbsent { .. }), "{error}");
        assert!(!site.subject.path("RECOVERYXLOG").exists());
    }
    Ok(())
}

/// A mistyped name must not look like the end of the WAL: PostgreSQL would promote.
pub(crate) async fn where_no_repository_is_nothing_is_proven_absent(subject: Subject) -> Result<()> {
    let name = crate::SyntheticCluster::new(1).wal_name(3);
    let path = subject.path("RECOVERYXLOG");
    if let Ok(repository) = subject.existing_repository() {
        let error = refused(restore_wal(&repository, name, &path, &|_| {}).await);
        assert!(!matches!(error.kind(), ErrorKind::Absent), "{error}");
    }
    let error = refused(restore_wal(&subject.repository()?, name, &path, &|_| {}).await);
    assert!(matches!(error, Error::NoRepository { .. }), "{error}");
    assert!(!path.exists());
    Ok(())
}

/// The matrix of reading call × fault: the complete file, or an error other than "not found".
pub(crate) async fn a_failing_storage_never_makes_wal_look_absent(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let gzip = ArchiveOptions { codec: Format::Gzip.into(), force: false };
    site.archive(3..=3).await?;
    site.archive_with(site.cluster.wal_name(4), &site.cluster.segment(4), &gzip).await?;
    for number in [3, 4] {
        for fault in ReadFault::ALL {
            for n in 1.. {
                let faults = Faults::at_read(n, fault);
                let repository = site.subject.repository_with(&faults)?;
                let path = site.subject.path("RECOVERYXLOG");
                match restore_wal(&repository, site.cluster.wal_name(number), &path, &|_| {}).await {
                    Ok(()) => {
                        assert_eq!(fs::read(&path)?, site.cluster.segment(number), "{fault:?} at {n}");
                        fs::remove_file(&path)?;
                    }
                    Err(error) => {
                        assert_ne!(error.kind(), ErrorKind::Absent, "{fault:?} at {n}: {error}");
                        assert!(!path.exists(), "{fault:?} at {n}");
                    }
                }
                if faults.reads().len() < n {
                    break;
                }
            }
        }
    }
    Ok(())
}

/// On Swift, a 404 proves something only together with the container, whose servers may be down while objects can be
/// read.
pub(crate) async fn what_is_there_is_given_back_though_no_absence_can_be_proven(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    for (format, number) in Format::ALL.into_iter().zip(3..) {
        let options = ArchiveOptions { codec: format.into(), force: false };
        site.archive_with(site.cluster.wal_name(number), &site.cluster.segment(number), &options).await?;
    }
    let site = Site { repository: site.subject.repository_with(&Faults::at_every_absence())?, ..site };
    for (format, number) in Format::ALL.into_iter().zip(3..) {
        let bytes = site.restored_wal(site.cluster.wal_name(number)).await?;
        assert_eq!(bytes, site.cluster.segment(number), "{format}");
    }
    let error = refused(site.restored_wal(site.cluster.wal_name(1)).await);
    assert_ne!(error.kind(), ErrorKind::Absent, "{error}");
    Ok(())
}

pub(crate) async fn a_file_that_unpacks_to_more_than_it_can_have_is_not_written_to_its_end(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    let (history, _) = site.cluster.promoted().history(&[]);
    let (backup, _) = site.cluster.backup_history(3);
    let partial = WalName::Partial(site.cluster.segment_name(4));
    let segment = site.cluster.wal_name(3);
    site.archive(1..=1).await?;
    let zeros = vec![0; 4 << 20];
    for (name, start) in [
        (segment, site.cluster.segment(3)),
        (partial, site.cluster.segment(4)),
        (history, b"1\t0/5000000\tno\n".to_vec()),
        (backup, Vec::new()),
    ] {
        let frame = compress_frame("zstd:1".parse()?, &[start, zeros.clone()].concat())?;
        site.subject.put(&format!("wal_{name}.zst"), frame).await?;
        let error = refused(site.restored_wal(name).await);
        assert_eq!(error.kind(), ErrorKind::Damaged, "{name}: {error}");
        let most = "it decompresses to more than 1048576 bytes, the most that such a file can have";
        assert!(error.to_string().contains(most), "{name}: {error}");
    }
    Ok(())
}

pub(crate) async fn damaged_wal_is_refused_and_nothing_written(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(3..=4).await?;
    let whole = site.subject.get("wal_000000010000000000000003.zst").await?;
    let other = site.subject.get("wal_000000010000000000000004.zst").await?;
    let mut flipped = whole.to_vec();
    flipped[whole.len() / 2] ^= 1;
    for (damage, bytes) in [
        ("a flipped bit", flipped.into()),
        ("cut in the middle", whole.slice(..whole.len() / 2)),
        ("the last byte missing", whole.slice(..whole.len() - 1)),
        ("empty", whole.slice(..0)),
        ("another segment", other),
        ("no zstd at all", "<html>503</html>".into()),
    ] {
        site.subject.put("wal_000000010000000000000003.zst", bytes).await?;
        let error = refused(site.restored_wal(site.cluster.wal_name(3)).await);
        assert_eq!(error.kind(), ErrorKind::Damaged, "{damage}: {error}");
        assert!(error.to_string().contains("wal_000000010000000000000003"), "{error}");
        assert!(!site.subject.path("RECOVERYXLOG").exists(), "{damage}");
    }
    Ok(())
}

/// Two processes that archive with different compressions for the first time each write their version of
/// `cluster.json`, and one of them may be lost.
pub(crate) async fn a_compression_that_cluster_json_forgot_is_found(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(3..=3).await?;
    let before = site.subject.get("cluster.json").await?;
    let gzip = ArchiveOptions { codec: Format::Gzip.into(), force: false };
    site.archive_with(site.cluster.wal_name(4), &site.cluster.segment(4), &gzip).await?;
    site.subject.put("cluster.json", before).await?;
    assert_eq!(site.restored_wal(site.cluster.wal_name(4)).await?, site.cluster.segment(4));
    Ok(())
}

/// A standby requests WAL that doesn't exist every few seconds. `cluster.json` is read once in ten minutes.
pub(crate) async fn a_file_that_is_there_takes_one_request_and_one_that_is_not_takes_two(
    subject: Subject,
) -> Result<()> {
    let faults = Faults::none();
    let mut site = Site::new(subject)?;
    site.repository = site.subject.caching_repository(&faults)?;
    site.archive(3..=3).await?;
    let (history, _) = site.cluster.promoted().history(&[]);
    let (there, absent) = (site.cluster.wal_name(3), site.cluster.wal_name(4));
    let requests = async |name: WalName| {
        let before = faults.reads().len();
        let found = site.restored_wal(name).await;
        assert!(matches!(found, Ok(_) | Err(Error::WalAbsent { .. })), "{found:?}");
        faults.reads().split_off(before)
    };
    assert_eq!(requests(there).await, [format!("wal_{there}.zst")]);
    for name in [absent, history] {
        assert_eq!(requests(name).await, [format!("wal_{name}.zst"), LISTING.to_owned()]);
    }
    site.subject.clock().advance(SignedDuration::from_mins(10));
    let expected = ["cluster.json".to_owned(), format!("wal_{absent}.zst"), LISTING.to_owned()];
    assert_eq!(requests(absent).await, expected);

    let gzip = ArchiveOptions { codec: Format::Gzip.into(), force: false };
    site.archive_with(site.cluster.wal_name(2), &site.cluster.segment(2), &gzip).await?;
    let expected = [format!("wal_{absent}.zst"), format!("wal_{absent}.gz"), LISTING.to_owned()];
    assert_eq!(requests(absent).await, expected);
    Ok(())
}

/// `archive-wal --force` replaces the file that is found first, and removes the others afterwards.
pub(crate) async fn of_several_compressions_the_first_one_counts_however_late_it_is(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    for (format, number) in Format::ALL.into_iter().zip(4..) {
        let options = ArchiveOptions { codec: format.into(), force: false };
        site.archive_with(site.cluster.wal_name(number), &site.cluster.segment(number), &options).await?;
    }
    let (name, path) = (site.cluster.wal_name(3), site.subject.path("RECOVERYXLOG"));
    let [preferred, other] = ["gz", "lz4"].map(|suffix| format!("wal_{name}.{suffix}"));
    site.subject.put(&preferred, compress_frame(Format::Gzip.into(), &site.cluster.segment(3))?).await?;
    site.subject.put(&other, "an older content").await?;
    let faults = Faults::holding(&preferred);
    let repository = site.subject.repository_with(&faults)?;
    let release = async {
        faults.held().await;
        faults.let_go();
    };
    let (restored, ()) = tokio::join!(restore_wal(&repository, name, &path, &|_| {}), release);
    restored?;
    assert_eq!(fs::read(&path)?, site.cluster.segment(3));
    Ok(())
}

/// Recovery would end there, although there is newer WAL.
pub(crate) async fn an_incomplete_segment_is_not_the_last_one_if_a_listing_lacks_what_is_newer(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(3..=3).await?;
    let segment = site.cluster.segment_name(4);
    let frame = compress_frame("zstd:1".parse()?, &site.cluster.segment(4))?;
    site.subject.put(&format!("wal_{segment}.partial.received.zst"), frame).await?;
    let path = site.subject.path("RECOVERYXLOG");
    let is_used = async |hidden: WalName| -> Result<bool> {
        let repository = site.subject.repository_with(&Faults::hiding(format!("wal_{hidden}.zst")))?;
        Ok(restore_received_wal(&repository, segment, &path).await?)
    };
    let (history, content) = site.cluster.promoted().history(&[(Timeline::FIRST, 4)]);
    let next = site.cluster.wal_name(5);
    for (newer, content) in [(next, site.cluster.segment(5)), (history, content.into_bytes())] {
        site.archive_as(newer, &content).await?;
        assert!(!is_used(newer).await?, "{newer}");
        assert!(!path.exists());
        site.subject.delete(&format!("wal_{newer}.zst")).await?;
    }
    assert!(is_used(next).await?);
    assert_eq!(fs::read(&path)?, site.cluster.segment(4));
    Ok(())
}
