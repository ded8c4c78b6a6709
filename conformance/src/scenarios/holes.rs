//! Scenarios of restore-wal where WAL is missing and later WAL is stored.

use std::{fs, path::Path};

use anyhow::Result;
use jiff::SignedDuration;
use swiftwal_core::{Error, restore_wal};
use swiftwal_postgres::{Lsn, Timeline, WalName};

use super::site::{Site, refused, request};
use crate::{
    Entry, SyntheticCluster,
    faulty::{Faults, LISTING, ReadFault},
    subject::Subject,
};

/// Returns the WAL before and after the hole that a request for `name` finds, as `(before, later)`; none if the file is
/// absent.
async fn hole(site: &Site, name: WalName) -> Option<(Option<String>, String)> {
    hole_at(site, name, &site.subject.path("RECOVERYXLOG")).await
}

/// As [`hole`], for a file that is to be written to `path`.
async fn hole_at(site: &Site, name: WalName, path: &Path) -> Option<(Option<String>, String)> {
    let error = refused(restore_wal(&site.repository, name, path, &|_| {}).await);
    assert!(!path.exists());
    match error {
        Error::WalHole { name: missing, before, later, .. } => {
            assert_eq!(missing, name);
            Some((before.map(|segment| segment.to_string()), later.to_string()))
        }
        Error::WalAbsent { .. } => None,
        error => panic!("{name}: {error}"),
    }
}

/// Returns the content of a file in the data directory of a cluster.
fn file_of(cluster: &SyntheticCluster, name: &str) -> Vec<u8> {
    match cluster.backup(3, 3).data_directory(&request(false)).remove(name) {
        Some(Entry::File { bytes, .. }) => bytes.to_vec(),
        other => panic!("{name}: {other:?}"),
    }
}

/// Returns a cluster that was promoted where its segment 6 begins, and stores its history if wanted.
async fn promoted(site: &Site, with_history: bool) -> Result<SyntheticCluster> {
    let promoted = site.cluster.promoted();
    let (name, text) = promoted.history(&[(Timeline::FIRST, 6)]);
    if with_history {
        site.archive_as(name, text.as_bytes()).await?;
    }
    Ok(promoted)
}

pub(crate) async fn a_missing_segment_with_later_wal_is_a_hole(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(3..=4).await?;
    site.archive(7..=8).await?;
    let name = |number| site.cluster.wal_name(number);
    let (before, later) = (Some(name(4).to_string()), name(7).to_string());
    assert_eq!(hole(&site, name(5)).await, Some((before, later.clone())));
    assert_eq!(hole(&site, name(6)).await.map(|(_, later)| later), Some(later));
    assert_eq!(hole(&site, name(9)).await, None);
    assert_eq!(hole(&site, WalName::Partial(site.cluster.segment_name(5))).await, None);
    Ok(())
}

/// They show that there was such WAL.
pub(crate) async fn small_files_of_later_segments_are_later_wal(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(3..=4).await?;
    let name = |number| site.cluster.wal_name(number);
    let (backup, text) = site.cluster.backup_history(6);
    site.archive_as(backup, text.as_bytes()).await?;
    assert_eq!(hole(&site, name(5)).await, Some((Some(name(4).to_string()), backup.to_string())));
    assert_eq!(hole(&site, name(6)).await, None);
    let partial = WalName::Partial(site.cluster.segment_name(8));
    site.archive_as(partial, &site.cluster.segment(8)).await?;
    assert_eq!(hole(&site, name(7)).await.map(|(_, later)| later), Some(partial.to_string()));
    assert_eq!(hole(&site, name(8)).await, None);
    Ok(())
}

/// A listing may lag behind a deletion.
pub(crate) async fn deleted_wal_that_is_still_listed_makes_no_hole(subject: Subject) -> Result<()> {
    let mut site = Site::new(subject)?;
    site.archive(3..=4).await?;
    site.archive(6..=6).await?;
    let name = |number| SyntheticCluster::new(1).wal_name(number);
    let faults = Faults::vanished(format!("wal_{}.zst", name(6)));
    site.repository = site.subject.repository_with(&faults)?;
    assert_eq!(hole(&site, name(5)).await, None);
    site.archive(8..=8).await?;
    assert_eq!(hole(&site, name(5)).await.map(|(_, later)| later), Some(name(8).to_string()));
    Ok(())
}

/// archive-wal stores several segments at once, so the missing one may be on its way.
pub(crate) async fn a_hole_is_new_for_a_minute_by_the_storages_clock(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(3..=3).await?;
    site.archive(5..=5).await?;
    site.subject.set_machine_ahead(SignedDuration::from_hours(1));
    for (passed, left) in [(0, 60_u64), (45, 15), (15, 0), (3600, 0)] {
        site.subject.clock().advance(SignedDuration::from_secs(passed));
        match refused(site.restored_wal(site.cluster.wal_name(4)).await) {
            // The storage dates objects to the second.
            Error::WalHole { settles_in, .. } => {
                let seconds = settles_in.as_secs();
                assert!((left.max(1) - 1..=left).contains(&seconds), "{seconds} of {left}");
            }
            error => panic!("{error}"),
        }
    }
    Ok(())
}

/// A missing file is usual at the end of the archive; a hole costs one request more than that.
pub(crate) async fn a_hole_takes_three_requests_and_on_a_later_timeline_that_for_its_history(
    subject: Subject,
) -> Result<()> {
    let faults = Faults::none();
    let mut site = Site::new(subject)?;
    site.repository = site.subject.caching_repository(&faults)?;
    site.archive(3..=4).await?;
    site.archive(6..=6).await?;
    let promoted = promoted(&site, true).await?;
    site.archive_of(&promoted, 7..=7).await?;
    let third = promoted.promoted();
    site.archive_of(&third, 9..=9).await?;
    let requests = async |name: WalName| {
        let before = faults.reads().len();
        assert!(hole(&site, name).await.is_some());
        faults.reads().split_off(before)
    };
    let object = |name: WalName| format!("wal_{name}.zst");
    let (missing, later) = (site.cluster.wal_name(5), site.cluster.wal_name(6));
    assert_eq!(requests(missing).await, [object(missing), LISTING.to_owned(), object(later)]);
    let (missing, later) = (promoted.wal_name(6), promoted.wal_name(7));
    let history = object(WalName::History(promoted.timeline()));
    assert_eq!(requests(missing).await, [object(missing), LISTING.to_owned(), history, object(later)]);
    let (missing, later) = (WalName::History(third.timeline()), third.wal_name(9));
    let expected = [object(missing), LISTING.to_owned(), LISTING.to_owned(), object(later)];
    assert_eq!(requests(missing).await, expected);
    Ok(())
}

/// PostgreSQL asks for the history of the timeline on which it begins, and does without.
pub(crate) async fn a_server_that_begins_on_a_timeline_needs_no_history_of_it(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(3..=5).await?;
    let promoted = promoted(&site, false).await?;
    site.archive_of(&promoted, 6..=7).await?;
    let history = WalName::History(promoted.timeline());
    for (cluster, is_hole) in [(&site.cluster, true), (&promoted, false), (&promoted.promoted(), false)] {
        let data = site.subject.new_path("data");
        let target = data.join("pg_wal/RECOVERYHISTORY");
        fs::create_dir_all(data.join("pg_wal"))?;
        fs::create_dir_all(data.join("global"))?;
        assert!(hole_at(&site, history, &target).await.is_some());
        fs::write(data.join("global/pg_control"), file_of(cluster, "global/pg_control"))?;
        assert_eq!(hole_at(&site, history, &target).await.is_some(), is_hole);
        // A backup that began before the last checkpoint.
        fs::write(data.join("backup_label"), file_of(&site.cluster, "backup_label"))?;
        assert!(hole_at(&site, history, &target).await.is_some());
        fs::remove_file(data.join("global/pg_control"))?;
        fs::write(data.join("backup_label"), file_of(cluster, "backup_label"))?;
        assert_eq!(hole_at(&site, history, &target).await.is_some(), is_hole);
    }
    Ok(())
}

pub(crate) async fn wal_from_before_its_timeline_is_no_hole(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(3..=5).await?;
    let promoted = promoted(&site, true).await?;
    site.archive_of(&promoted, 7..=7).await?;
    // PostgreSQL looks for it on the parent next.
    assert_eq!(hole(&site, promoted.wal_name(5)).await, None);
    assert_eq!(hole(&site, promoted.wal_name(6)).await, Some((None, promoted.wal_name(7).to_string())));
    // Another timeline's WAL is no reason to miss any of this one.
    assert_eq!(hole(&site, site.cluster.wal_name(6)).await, None);
    Ok(())
}

/// As after a failover, if the old primary was lost before it had archived everything.
pub(crate) async fn a_missing_end_of_a_timeline_is_a_hole_on_the_way_to_the_next_one(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(3..=4).await?;
    let promoted = promoted(&site, true).await?;
    let data = site.subject.new_path("data");
    let pg_wal = data.join("pg_wal");
    fs::create_dir_all(&pg_wal)?;
    fs::create_dir_all(data.join("global"))?;
    fs::write(data.join("global/pg_control"), file_of(&site.cluster, "global/pg_control"))?;
    let missing = async |number| {
        let name = site.cluster.wal_name(number);
        hole_at(&site, name, &pg_wal.join("RECOVERYXLOG")).await.map(|(_, later)| later)
    };
    let follow = |from: u64| {
        let (history, text) = promoted.history(&[(Timeline::FIRST, from)]);
        fs::write(pg_wal.join(history.to_string()), text)
    };
    follow(6)?;
    assert_eq!(missing(5).await, None);
    site.archive_of(&promoted, 6..=7).await?;
    assert_eq!(missing(5).await, Some(promoted.wal_name(6).to_string()));
    assert_eq!(missing(6).await, None);
    // The timeline that recovery follows began before the segment.
    follow(5)?;
    assert_eq!(missing(5).await, None);
    // PostgreSQL reads it there.
    follow(6)?;
    let beside = pg_wal.join(site.cluster.wal_name(5).to_string());
    fs::write(&beside, site.cluster.segment_of_pages(5))?;
    assert_eq!(missing(5).await, None);
    fs::remove_file(beside)?;
    for fault in ReadFault::ALL {
        for n in 1.. {
            let faults = Faults::at_read(n, fault);
            let repository = site.subject.repository_with(&faults)?;
            let name = site.cluster.wal_name(5);
            let path = pg_wal.join("RECOVERYXLOG");
            let error = refused(restore_wal(&repository, name, &path, &|_| {}).await);
            assert!(!matches!(error, Error::WalAbsent { .. }), "{fault:?} at {n}: {error}");
            if faults.reads().len() < n {
                break;
            }
        }
    }
    // Recovery stays on the timeline.
    fs::remove_dir_all(&pg_wal)?;
    fs::create_dir(&pg_wal)?;
    assert_eq!(missing(5).await, None);
    Ok(())
}

/// PostgreSQL asks for the older timeline's segment if it doesn't get that of the timeline that it follows.
pub(crate) async fn a_segment_in_which_recovery_leaves_its_timeline_is_refused(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(3..=6).await?;
    let (second, third) = (site.cluster.promoted(), site.cluster.promoted().promoted());
    site.archive_of(&second, 5..=5).await?;
    let data = site.subject.new_path("data");
    let pg_wal = data.join("pg_wal");
    fs::create_dir_all(&pg_wal)?;
    fs::create_dir_all(data.join("global"))?;
    fs::write(data.join("global/pg_control"), file_of(&site.cluster, "global/pg_control"))?;
    let size = site.cluster.segment_size();
    let start = |number| site.cluster.segment_name(number).start(size).unwrap_or(Lsn(0));
    let follow = |cluster: &SyntheticCluster, branch: Lsn| {
        let name = WalName::History(cluster.timeline()).to_string();
        fs::write(pg_wal.join(name), format!("1\t{branch}\tno recovery target specified\n"))
    };
    let refused = async || {
        let mut numbers = Vec::new();
        for number in 3..=6 {
            let path = pg_wal.join("RECOVERYXLOG");
            match restore_wal(&site.repository, site.cluster.wal_name(number), &path, &|_| {}).await {
                Ok(()) => fs::remove_file(path)?,
                Err(Error::WalBehindBranch { at, needed, .. }) => numbers.push((number, at, needed)),
                Err(error) => return Err(error.into()),
            }
        }
        anyhow::Ok(numbers)
    };
    assert_eq!(refused().await?, []);
    let (last, next) = (Lsn(start(6).0 - 1), start(6));
    for (branch, number) in [(start(5), 5), (Lsn(start(5).0 + 40), 5), (last, 5), (next, 6)] {
        follow(&second, branch)?;
        assert_eq!(refused().await?, [(number, branch, second.segment_name(number))]);
    }
    follow(&second, start(5))?;
    // The segment that recovery needs, and one for pg_rewind.
    for (name, file) in [(second.wal_name(5), "RECOVERYXLOG"), (site.cluster.wal_name(5), "other")] {
        restore_wal(&site.repository, name, &pg_wal.join(file), &|_| {}).await?;
    }
    // Of two branches, PostgreSQL follows the later one.
    follow(&third, start(6))?;
    assert_eq!(refused().await?, [(6, start(6), third.segment_name(6))]);
    // It isn't known how large the segments are.
    fs::remove_dir_all(data.join("global"))?;
    assert_eq!(refused().await?, []);
    Ok(())
}

pub(crate) async fn a_missing_history_of_a_timeline_with_wal_is_a_hole(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(3..=5).await?;
    let promoted = promoted(&site, false).await?;
    let history = |cluster: &SyntheticCluster| WalName::History(cluster.timeline());
    assert_eq!(hole(&site, history(&promoted)).await, None);
    site.archive_of(&promoted, 6..=7).await?;
    assert_eq!(hole(&site, history(&promoted)).await, Some((None, promoted.wal_name(6).to_string())));
    assert_eq!(hole(&site, history(&site.cluster)).await, None);
    assert_eq!(hole(&site, history(&promoted.promoted())).await, None);
    Ok(())
}

pub(crate) async fn an_archive_may_begin_on_any_timeline(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let promoted = promoted(&site, false).await?;
    site.archive_of(&promoted, 6..=7).await?;
    let history = WalName::History(promoted.timeline());
    assert_eq!(hole(&site, history).await, None);
    // A backup of the parent is older, even if it has its WAL inside and the archive has none.
    site.take_with_wal(&site.cluster.backup(3, 3)).await?;
    assert_eq!(hole(&site, history).await, Some((None, promoted.wal_name(6).to_string())));
    Ok(())
}

/// Such as the WAL that is included in a backup: PostgreSQL reads it after the archive has answered.
pub(crate) async fn a_segment_that_is_in_pg_wal_is_no_hole(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(4..=4).await?;
    site.archive(6..=6).await?;
    let name = site.cluster.wal_name(5);
    let beside = site.subject.path(&name.to_string());
    let complete = site.cluster.segment_of_pages(5);
    let mut torn = complete.clone();
    // The file of an older segment was reused.
    let (from, size) = (torn.len() / 2, torn.len());
    torn[from..].copy_from_slice(&site.cluster.segment_of_pages(2)[from..size]);
    // A recycled segment has the name of one that is to come.
    for (content, is_hole) in [(complete, false), (site.cluster.segment_of_pages(2), true), (torn, true)] {
        fs::write(&beside, content)?;
        assert_eq!(hole(&site, name).await.is_some(), is_hole);
    }
    Ok(())
}

pub(crate) async fn a_failing_storage_never_hides_a_hole(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(3..=4).await?;
    site.archive(6..=6).await?;
    let promoted = promoted(&site, false).await?;
    site.archive_of(&promoted, 6..=6).await?;
    let path = site.subject.path("RECOVERYXLOG");
    for name in [site.cluster.wal_name(5), WalName::History(promoted.timeline())] {
        for fault in ReadFault::ALL {
            for n in 1.. {
                let faults = Faults::at_read(n, fault);
                let repository = site.subject.repository_with(&faults)?;
                let error = refused(restore_wal(&repository, name, &path, &|_| {}).await);
                assert!(!matches!(error, Error::WalAbsent { .. }), "{name}, {fault:?} at {n}: {error}");
                if faults.reads().len() < n {
                    break;
                }
            }
        }
    }
    Ok(())
}
