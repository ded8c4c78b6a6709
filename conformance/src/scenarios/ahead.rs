//! Scenarios of archive-wal that stores further files in the same call.

use std::{
    fs::{self, File, FileTimes},
    ops::RangeInclusive,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::Result;
use jiff::SignedDuration;
use swiftwal_core::{Ahead, ArchiveOptions, Archived, Error, Repository, archive_ahead, archive_wal};
use swiftwal_postgres::{Timeline, WalName};

use super::site::{Site, refused};
use crate::{
    SyntheticCluster,
    faulty::{Faults, ReadFault, WriteFault},
    subject::Subject,
};

/// Creates a WAL file that waits to be archived, and returns its path.
fn waiting(site: &Site, name: WalName, content: &[u8]) -> Result<PathBuf> {
    let path = site.wal_file(&name.to_string(), content)?;
    let status = site.subject.path("pg_wal/archive_status");
    fs::create_dir_all(&status)?;
    fs::write(status.join(format!("{name}.ready")), "")?;
    Ok(path)
}

/// As [`waiting`], for segments of the cluster.
fn waiting_segments(site: &Site, numbers: RangeInclusive<u64>) -> Result<Vec<PathBuf>> {
    numbers
        .map(|number| waiting(site, site.cluster.wal_name(number), &site.cluster.segment(number)))
        .collect()
}

/// Archives a file as a server's call does: up to `files` further ones afterwards.
async fn archive(repository: &Repository, path: &Path, files: usize) -> Result<Archived, Error> {
    let options = ArchiveOptions::default();
    let archived = archive_wal(repository, path, &options).await?;
    if archived != Archived::Ahead {
        let ahead = Ahead { files, jobs: 2, time: Duration::from_secs(3600), asked: Duration::ZERO };
        archive_ahead(repository, path, options.codec, &ahead).await;
    }
    Ok(archived)
}

fn names(site: &Site, numbers: RangeInclusive<u64>) -> Vec<String> {
    numbers.map(|number| site.cluster.wal_name(number).to_string()).collect()
}

/// Writes at the beginning of a file.
fn overwrite(path: &Path, content: &[u8]) -> Result<File> {
    let file = File::options().write(true).open(path)?;
    file.write_all_at(content, 0)?;
    Ok(file)
}

/// Sets the date of a file to long ago: what is written from now on has a later one.
fn make_old(path: &Path) -> Result<()> {
    let file = File::options().write(true).open(path)?;
    Ok(file.set_times(FileTimes::new().set_modified(SystemTime::UNIX_EPOCH))?)
}

pub(crate) async fn what_is_archived_ahead_is_acknowledged_without_a_request(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let repository = site.subject.caching_repository(&Faults::none())?;
    let paths = waiting_segments(&site, 3..=6)?;
    assert!(matches!(archive(&repository, &paths[0], 2).await?, Archived::Stored { .. }));
    assert_eq!(site.listed_wal().await?, names(&site, 3..=5));
    for path in &paths[1..=2] {
        let faults = Faults::none();
        let repository = site.subject.caching_repository(&faults)?;
        assert_eq!(archive(&repository, path, 2).await?, Archived::Ahead);
        assert!(faults.reads().is_empty() && faults.writes().is_empty(), "{faults:?}");
    }
    assert_eq!(site.listed_wal().await?, names(&site, 3..=5));
    for number in 3..=5 {
        assert_eq!(site.restored_wal(site.cluster.wal_name(number)).await?, site.cluster.segment(number));
    }
    assert!(matches!(archive(&repository, &paths[3], 2).await?, Archived::Stored { .. }));
    Ok(())
}

pub(crate) async fn histories_come_first_and_no_more_than_wanted(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let repository = site.subject.caching_repository(&Faults::none())?;
    let paths = waiting_segments(&site, 3..=6)?;
    let (history, text) = site.cluster.promoted().history(&[(Timeline::FIRST, 6)]);
    waiting(&site, history, text.as_bytes())?;
    for other in ["notes.ready", "000000010000000000000001.done"] {
        fs::write(site.subject.path("pg_wal/archive_status").join(other), "")?;
    }
    archive(&repository, &paths[0], 1).await?;
    assert_eq!(site.listed_wal().await?, [site.cluster.wal_name(3), history].map(|name| name.to_string()));
    archive(&repository, &paths[1], 0).await?;
    assert_eq!(site.listed_wal().await?.len(), 3);
    Ok(())
}

pub(crate) async fn a_mark_is_used_once(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let repository = site.subject.caching_repository(&Faults::none())?;
    let paths = waiting_segments(&site, 3..=4)?;
    archive(&repository, &paths[0], 1).await?;
    assert_eq!(archive(&repository, &paths[1], 0).await?, Archived::Ahead);
    assert_eq!(archive(&repository, &paths[1], 0).await?, Archived::AlreadyThere);
    Ok(())
}

pub(crate) async fn the_asked_file_alone_decides(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let repository = site.subject.caching_repository(&Faults::none())?;
    let asked = waiting_segments(&site, 3..=3)?.remove(0);
    let wrong = waiting(&site, site.cluster.wal_name(4), &site.cluster.segment(9))?;
    waiting_segments(&site, 5..=6)?;
    assert!(matches!(archive(&repository, &asked, 3).await?, Archived::Stored { .. }));
    assert_eq!(site.listed_wal().await?, names(&site, 3..=3));
    refused(archive(&repository, &wrong, 3).await);
    Ok(())
}

pub(crate) async fn nothing_is_stored_behind_a_file_that_is_refused(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let repository = site.subject.caching_repository(&Faults::none())?;
    // An old primary was started again: its segments 3 and 6 are others than those of the new one.
    let mut other = site.cluster.segment(3);
    other[100_000] ^= 1;
    site.archive_as(site.cluster.wal_name(3), &other).await?;
    let mut other = site.cluster.segment(6);
    other[100_000] ^= 1;
    site.archive_as(site.cluster.wal_name(6), &other).await?;
    let before = site.listed_wal().await?;
    let paths = waiting_segments(&site, 3..=8)?;
    refused(archive(&repository, &paths[0], 5).await);
    assert_eq!(site.listed_wal().await?, before);
    // The asked file is new, and one of the next ones is refused.
    assert!(matches!(archive(&repository, &paths[1], 5).await?, Archived::Stored { .. }));
    assert_eq!(site.listed_wal().await?, [&before[..1], &names(&site, 4..=4), &before[1..]].concat());
    Ok(())
}

pub(crate) async fn what_is_stored_already_is_compared_and_marked(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(4..=5).await?;
    let repository = site.subject.caching_repository(&Faults::none())?;
    let paths = waiting_segments(&site, 3..=6)?;
    archive(&repository, &paths[0], 3).await?;
    for path in &paths[1..] {
        assert_eq!(archive(&repository, path, 0).await?, Archived::Ahead);
    }
    Ok(())
}

pub(crate) async fn a_status_file_that_outlived_its_file_is_skipped(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let repository = site.subject.caching_repository(&Faults::none())?;
    let paths = waiting_segments(&site, 3..=5)?;
    fs::remove_file(&paths[1])?;
    archive(&repository, &paths[0], 2).await?;
    assert_eq!(archive(&repository, &paths[2], 2).await?, Archived::Ahead);
    Ok(())
}

pub(crate) async fn a_mark_counts_only_for_the_very_same_file(subject: Subject) -> Result<()> {
    type Change = fn(&SyntheticCluster, &Path) -> Result<()>;
    let changes: [(&str, bool, Change); 6] = [
        ("none", true, |_, _| Ok(())),
        ("none, and it was written a moment before", false, |_, _| Ok(())),
        ("written a moment later, within the same step of the clock", false, |cluster, path| {
            let modified = fs::metadata(path)?.modified()?;
            let mut other = cluster.segment(4);
            other[100_000] ^= 1;
            Ok(overwrite(path, &other)?.set_times(FileTimes::new().set_modified(modified))?)
        }),
        ("recycled, and filled with other content", true, |cluster, path| {
            let mut other = cluster.segment(4);
            other[100_000] ^= 1;
            overwrite(path, &other).map(drop)
        }),
        ("the same content in another file, as in a restored data directory", true, |cluster, path| {
            // The other file exists before the first one goes, so that it gets another inode.
            let copy = path.with_extension("copy");
            fs::write(&copy, cluster.segment(4))?;
            fs::remove_file(path)?;
            fs::hard_link(copy, path)?;
            make_old(path)
        }),
        ("another cluster's first page", true, |_, path| {
            overwrite(path, &SyntheticCluster::new(2).segment(4)[..8192])?;
            make_old(path)
        }),
    ];
    let site = Site::new(subject)?;
    for (what, is_old, change) in changes {
        let repository = site.subject.caching_repository(&Faults::none())?;
        let paths = waiting_segments(&site, 3..=4)?;
        if is_old {
            make_old(&paths[1])?;
        }
        archive(&repository, &paths[0], 1).await?;
        change(&site.cluster, &paths[1])?;
        let outcome = archive(&repository, &paths[1], 1).await;
        assert_eq!(matches!(outcome, Ok(Archived::Ahead)), what.starts_with("none"), "{what}: {outcome:?}");
        for directory in ["state", "pg_wal"] {
            fs::remove_dir_all(site.subject.path(directory))?;
        }
    }
    Ok(())
}

pub(crate) async fn another_cluster_on_this_machine_gets_no_use_of_a_mark(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let repository = site.subject.caching_repository(&Faults::none())?;
    let paths = waiting_segments(&site, 3..=4)?;
    archive(&repository, &paths[0], 1).await?;
    let (name, other) = (site.cluster.wal_name(4).to_string(), SyntheticCluster::new(2));
    let theirs = site.subject.new_path("other");
    fs::create_dir(&theirs)?;
    fs::write(theirs.join(&name), other.segment(4))?;
    refused(archive(&repository, &theirs.join(&name), 1).await);
    assert_eq!(site.restored_wal(site.cluster.wal_name(4)).await?, site.cluster.segment(4));
    Ok(())
}

pub(crate) async fn a_mark_counts_for_its_repository_and_for_ten_minutes(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let repository = site.subject.caching_repository(&Faults::none())?;
    let paths = waiting_segments(&site, 3..=4)?;
    archive(&repository, &paths[0], 1).await?;
    // A repository without this state directory has no marks of this one.
    assert_eq!(archive(&site.repository, &paths[1], 1).await?, Archived::AlreadyThere);
    site.subject.clock().advance(SignedDuration::from_mins(10));
    assert_eq!(archive(&repository, &paths[1], 0).await?, Archived::AlreadyThere);
    archive(&repository, &paths[0], 1).await?;
    // A clock that was set back.
    site.subject.clock().rewind();
    assert_eq!(archive(&repository, &paths[1], 0).await?, Archived::AlreadyThere);
    archive(&repository, &paths[0], 1).await?;
    site.subject.clock().advance(SignedDuration::from_secs(599));
    assert_eq!(archive(&repository, &paths[1], 0).await?, Archived::Ahead);
    Ok(())
}

pub(crate) async fn an_emptied_directory_is_noticed_at_once(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let repository = site.subject.remembering_repository()?;
    let paths = waiting_segments(&site, 3..=5)?;
    archive(&repository, &paths[0], 2).await?;
    assert_eq!(archive(&repository, &paths[1], 1).await?, Archived::Ahead);
    site.subject.delete(&format!("wal_{}.zst", site.cluster.wal_name(5))).await?;
    assert!(matches!(archive(&repository, &paths[2], 1).await?, Archived::Stored { .. }));
    Ok(())
}

pub(crate) async fn a_repository_that_is_started_anew_has_no_marks(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let repository = site.subject.caching_repository(&Faults::none())?;
    let paths = waiting_segments(&site, 3..=6)?;
    archive(&repository, &paths[0], 3).await?;
    let anew = repository.clone().starting_anew(true);
    assert_eq!(archive_wal(&anew, &paths[1], &ArchiveOptions::default()).await?, Archived::AlreadyThere);

    for object in site.subject.objects().await? {
        site.subject.delete(&object).await?;
    }
    // Ten minutes after the repository was seen, the marks are younger than that.
    fs::remove_file(site.subject.path("state/cluster.json"))?;
    let anew = site.subject.caching_repository(&Faults::none())?.starting_anew(true);
    assert!(matches!(archive(&anew, &paths[2], 0).await?, Archived::Stored { .. }));
    let repository = site.subject.caching_repository(&Faults::none())?;
    assert!(matches!(archive(&repository, &paths[3], 0).await?, Archived::Stored { .. }));
    Ok(())
}

pub(crate) async fn force_asks_no_mark_and_removes_it(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let repository = site.subject.caching_repository(&Faults::none())?;
    let paths = waiting_segments(&site, 3..=4)?;
    archive(&repository, &paths[0], 1).await?;
    let force = ArchiveOptions { force: true, ..ArchiveOptions::default() };
    let forced = archive_wal(&repository, &paths[1], &force).await?;
    assert!(matches!(forced, Archived::Stored { .. }));
    assert_eq!(archive(&repository, &paths[1], 0).await?, Archived::AlreadyThere);
    Ok(())
}

/// The asked file is stored, and PostgreSQL waits for the answer.
pub(crate) async fn a_storage_that_hangs_meanwhile_ends_the_work_ahead(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let paths = waiting_segments(&site, 3..=6)?;
    let repository = site.subject.caching_repository(&Faults::none())?;
    archive(&repository, &paths[0], 0).await?;
    let ahead = Ahead { files: 3, jobs: 2, time: Duration::from_millis(50), asked: Duration::ZERO };
    for faults in [
        Faults::at_read(1, ReadFault::Hangs),
        Faults::at_write(1, WriteFault::Hangs),
        Faults::at_write(1, WriteFault::HangsWhenDone),
    ] {
        let hanging = site.subject.caching_repository(&faults)?;
        archive_ahead(&hanging, &paths[0], ArchiveOptions::default().codec, &ahead).await;
    }
    for (path, number) in paths.iter().zip(3..) {
        archive(&repository, path, 0).await?;
        assert_eq!(site.restored_wal(site.cluster.wal_name(number)).await?, site.cluster.segment(number));
    }
    Ok(())
}

/// Whatever fails: a file that is acknowledged is stored, and what failed is stored by the next call.
pub(crate) async fn a_failure_at_any_call_acknowledges_nothing_false(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let mut first = 3;
    for fault in Fault::all() {
        for n in 1.. {
            let numbers = first..=first + 2;
            first += 3;
            let paths = waiting_segments(&site, numbers.clone())?;
            let faults = fault.at(n);
            let _ = archive(&site.subject.caching_repository(&faults)?, &paths[0], 2).await;
            let repository = site.subject.caching_repository(&Faults::none())?;
            for (path, number) in paths.iter().zip(numbers) {
                archive(&repository, path, 0).await?;
                let stored = site.restored_wal(site.cluster.wal_name(number)).await?;
                assert!(stored == site.cluster.segment(number), "{fault:?} at {n}");
            }
            fs::remove_dir_all(site.subject.path("pg_wal"))?;
            if fault.calls(&faults) < n {
                break;
            }
        }
    }
    Ok(())
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Read(ReadFault),
    Write(WriteFault),
}

impl Fault {
    fn all() -> impl Iterator<Item = Self> {
        ReadFault::ALL.into_iter().map(Self::Read).chain(WriteFault::ALL.into_iter().map(Self::Write))
    }

    fn at(self, n: usize) -> Faults {
        match self {
            Self::Read(fault) => Faults::at_read(n, fault),
            Self::Write(fault) => Faults::at_write(n, fault),
        }
    }

    fn calls(self, faults: &Faults) -> usize {
        match self {
            Self::Read(_) => faults.reads().len(),
            Self::Write(_) => faults.writes().len(),
        }
    }
}
