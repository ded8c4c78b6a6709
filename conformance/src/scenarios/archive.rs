//! Scenarios of archive-wal.

use anyhow::Result;
use futures::future::try_join_all;
use swiftwal_core::{ArchiveOptions, Archived, Error, ErrorKind, archive_wal};
use swiftwal_postgres::{SegmentSize, WalName};

use super::site::{Site, refused};
use crate::{
    SyntheticCluster,
    faulty::{Faults, WriteFault},
    subject::Subject,
};

pub(crate) async fn a_segment_is_stored_under_its_name_and_comes_back(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let archived = site.archive_as(site.cluster.wal_name(3), &site.cluster.segment(3)).await?;
    let Archived::Stored { stored_bytes } = archived else { panic!("{archived:?}") };
    let object = "wal_000000010000000000000003.zst";
    assert_eq!(site.subject.get(object).await?.len() as u64, stored_bytes);
    assert_eq!(site.restored_wal(site.cluster.wal_name(3)).await?, site.cluster.segment(3));
    Ok(())
}

pub(crate) async fn a_segment_of_16_mib_comes_back(subject: Subject) -> Result<()> {
    let cluster = SyntheticCluster::new(1).with_segment_size(SegmentSize::default());
    let site = Site::of(subject, cluster)?;
    site.archive(300..=300).await?;
    assert_eq!(site.restored_wal(site.cluster.wal_name(300)).await?, site.cluster.segment(300));
    Ok(())
}

pub(crate) async fn the_identical_file_again_is_fine(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(3..=3).await?;
    let again = site.archive_as(site.cluster.wal_name(3), &site.cluster.segment(3)).await?;
    assert_eq!(again, Archived::AlreadyThere);
    Ok(())
}

pub(crate) async fn identical_content_is_known_under_another_compression(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let (name, bytes) = (site.cluster.wal_name(3), site.cluster.segment(3));
    site.archive_with(name, &bytes, &codec("gzip")?).await?;
    let before = site.subject.objects().await?;
    for other in ["zstd", "lz4", "none", "gzip"] {
        let again = site.archive_with(name, &bytes, &codec(other)?).await?;
        assert_eq!(again, Archived::AlreadyThere, "{other}");
    }
    assert_eq!(site.subject.objects().await?, before);
    Ok(())
}

pub(crate) async fn another_content_is_refused_and_the_stored_one_unchanged(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let name = site.cluster.wal_name(3);
    site.archive(3..=3).await?;
    let mut other = site.cluster.segment(3);
    other[100_000] ^= 1;
    let path = site.wal_file(&name.to_string(), &other)?;
    for text in ["zstd", "gzip"] {
        let error = refused(archive_wal(&site.repository, &path, &codec(text)?).await);
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        assert!(
            error.to_string().contains(&name.to_string()) && super::site::shown(&error).contains("--force"),
            "{error}"
        );
        assert_eq!(site.restored_wal(name).await?, site.cluster.segment(3));
    }
    Ok(())
}

pub(crate) async fn force_replaces_the_content_whatever_its_compression(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let (name, mut other) = (site.cluster.wal_name(3), site.cluster.segment(3));
    site.archive(3..=3).await?;
    for text in ["zstd", "gzip", "none"] {
        other[100_000] ^= 1;
        let options = ArchiveOptions { force: true, ..codec(text)? };
        let archived = site.archive_with(name, &other, &options).await?;
        assert!(matches!(archived, Archived::Stored { .. }), "{archived:?}");
        assert_eq!(site.restored_wal(name).await?, other, "{text}");
    }
    Ok(())
}

pub(crate) async fn force_leaves_no_older_content_in_any_compression(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let (name, mut other) = (site.cluster.wal_name(3), site.cluster.segment(3));
    for text in ["zstd", "gzip", "lz4", "none"] {
        for suffix in [".zst", ".gz"] {
            site.subject.put(&format!("wal_{name}{suffix}"), "what was there before").await?;
        }
        other[100_000] ^= 1;
        site.archive_with(name, &other, &ArchiveOptions { force: true, ..codec(text)? }).await?;
        assert_eq!(site.restored_wal(name).await?, other, "{text}");
        let of_it =
            site.subject.objects().await?.into_iter().filter(|object| object.contains(&name.to_string()));
        assert_eq!(of_it.count(), 1, "{text}");
    }
    Ok(())
}

pub(crate) async fn the_small_files_of_wal_go_through(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let second = site.cluster.promoted();
    let (history, text) = second.history(&[(site.cluster.timeline(), 4)]);
    let (backup, label) = site.cluster.backup_history(3);
    let partial = WalName::Partial(site.cluster.segment_name(4));
    for (name, bytes) in
        [(history, text.into_bytes()), (backup, label.into_bytes()), (partial, site.cluster.segment(4))]
    {
        site.archive_as(name, &bytes).await?;
        assert_eq!(site.restored_wal(name).await?, bytes);
        assert_eq!(site.archive_as(name, &bytes).await?, Archived::AlreadyThere);
    }
    Ok(())
}

/// For example, a second standby is promoted after the first one has taken the timeline.
pub(crate) async fn another_history_of_a_timeline_is_refused_with_the_cause_and_the_way_out(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    let (history, text) = site.cluster.promoted().history(&[(site.cluster.timeline(), 4)]);
    site.archive_as(history, text.as_bytes()).await?;
    let path = site.wal_file(&history.to_string(), b"1\t0/5000000\tanother\n")?;
    let error = refused(archive_wal(&site.repository, &path, &ArchiveOptions::default()).await);
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    for told in ["another server has taken timeline 2", "a repository of its own", "timeline discard 2"] {
        assert!(super::site::shown(&error).contains(told), "{error}");
    }
    assert_eq!(site.restored_wal(history).await?, text.as_bytes());
    Ok(())
}

/// Two standbys are promoted one after the other, or two backups begin at one place: the second server must be able to
/// continue.
pub(crate) async fn another_partial_or_backup_file_is_kept_beside_the_first(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let (backup, label) = site.cluster.backup_history(3);
    let partial = WalName::Partial(site.cluster.segment_name(4));
    let whole = site.cluster.segment(4);
    let mut shorter = whole.clone();
    shorter[500_000..].fill(0);
    for (name, first, second) in
        [(backup, label.into_bytes(), b"another".to_vec()), (partial, shorter, whole)]
    {
        site.archive_as(name, &first).await?;
        let beside = site.archive_as(name, &second).await?;
        assert!(matches!(beside, Archived::Stored { .. }), "{beside:?}");
        let stored = site.subject.objects().await?;
        for text in ["zstd", "gzip"] {
            for bytes in [&first, &second] {
                let again = site.archive_with(name, bytes, &codec(text)?).await?;
                assert_eq!(again, Archived::AlreadyThere, "{name}");
            }
        }
        assert_eq!(site.subject.objects().await?, stored);
        assert_eq!(site.restored_wal(name).await?, first, "{name}");
        let inventory = site.repository.inventory().await?;
        let variants: Vec<_> = inventory.wal.iter().filter(|wal| wal.name == name).collect();
        let variant = variants.iter().find(|wal| wal.variant.is_some()).map(|wal| wal.file_name());
        assert!(variants.len() == 2 && variant.is_some_and(|file| file.starts_with(&format!("{name}."))));
    }
    let stranger = SyntheticCluster::new(2).segment(4);
    let path = site.wal_file(&partial.to_string(), &stranger)?;
    site.archive(1..=1).await?;
    let error = refused(archive_wal(&site.repository, &path, &ArchiveOptions::default()).await);
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    Ok(())
}

pub(crate) async fn a_damaged_further_partial_file_is_mended_by_archiving_it_again(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    let partial = WalName::Partial(site.cluster.segment_name(4));
    let (first, second) = (vec![0; 1 << 20], site.cluster.segment(4));
    site.archive_as(partial, &first).await?;
    site.archive_as(partial, &second).await?;
    let inventory = site.repository.inventory().await?;
    let variant = inventory.wal.iter().find(|wal| wal.variant.is_some()).map(|wal| wal.object_name());
    let object = variant.map(|name| name.to_string()).unwrap_or_default();
    let whole = site.subject.get(&object).await?;
    site.subject.put(&object, whole.slice(..whole.len() / 2)).await?;
    site.archive_as(partial, &second).await?;
    assert_eq!(site.subject.get(&object).await?, whole);
    Ok(())
}

pub(crate) async fn small_files_that_can_not_be_what_they_are_called_are_refused(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    let endless = [&b"1\t0/500000\tno recovery target specified\n"[..], &[b'\n'; 1 << 20]].concat();
    for (name, bytes) in [
        ("00000002.history", &b""[..]),
        ("00000002.history", b"garbage\n"),
        ("00000002.history", b"# a comment\n"),
        ("00000002.history", &endless),
        ("000000010000000000000004.partial", b"short"),
    ] {
        let path = site.wal_file(name, bytes)?;
        let error = refused(archive_wal(&site.repository, &path, &ArchiveOptions::default()).await);
        assert_eq!(error.kind(), ErrorKind::Damaged, "{name}: {error}");
    }
    assert!(site.subject.objects().await?.is_empty());
    Ok(())
}

pub(crate) async fn the_first_segment_of_a_timeline_may_carry_the_old_one(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let second = site.cluster.promoted();
    let bytes = second.segment_begun_on(site.cluster.timeline(), 4);
    site.archive_as(second.wal_name(4), &bytes).await?;
    assert_eq!(site.restored_wal(second.wal_name(4)).await?, bytes);
    Ok(())
}

pub(crate) async fn what_is_not_the_segment_of_its_name_is_refused(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(1..=1).await?;
    let before = site.subject.objects().await?;
    let (cluster, stranger) = (&site.cluster, SyntheticCluster::new(2));
    let large = cluster.clone().with_segment_size(SegmentSize::default());
    let name = cluster.wal_name(3).to_string();
    let cut = cluster.segment(3).split_off(1);
    for (what, bytes) in [
        ("empty", Vec::new()),
        ("truncated", cluster.segment(3)[..500_000].to_vec()),
        ("longer than a segment", [cluster.segment(3), vec![0]].concat()),
        ("without its first byte", cut),
        ("nothing but zeros", vec![0; cluster.segment(3).len()]),
        ("another segment", cluster.segment(4)),
        ("of a later timeline", cluster.promoted().segment(3)),
        ("of another cluster", stranger.segment(3)),
        ("of another segment size", large.segment(3)),
    ] {
        let path = site.wal_file(&name, &bytes)?;
        let error = refused(archive_wal(&site.repository, &path, &ArchiveOptions::default()).await);
        assert!(matches!(error.kind(), ErrorKind::Refused | ErrorKind::Damaged), "{what}: {error}");
        assert_eq!(site.subject.objects().await?, before, "{what}");
    }
    Ok(())
}

pub(crate) async fn a_name_that_is_no_wal_files_is_refused(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    for name in [
        "notes.txt",
        "00000001000000000000000",
        "00000001000000000000000g",
        "00000001000000000000000a",
        "000000010000000000000003.zst",
        "000000000000000000000003",
        "0000002.history",
        "pg_basebackup_20130828T1810Z.json",
    ] {
        let path = site.wal_file(name, &site.cluster.segment(3))?;
        let error = refused(archive_wal(&site.repository, &path, &ArchiveOptions::default()).await);
        assert_eq!(error.kind(), ErrorKind::Refused, "{name}: {error}");
        assert!(error.to_string().contains(name), "{error}");
    }
    assert!(site.subject.objects().await?.is_empty());
    Ok(())
}

pub(crate) async fn a_missing_file_stores_nothing(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let path = site.subject.path("000000010000000000000003");
    let error = refused(archive_wal(&site.repository, &path, &ArchiveOptions::default()).await);
    assert!(matches!(error, Error::Local { .. }), "{error}");
    assert!(site.subject.objects().await?.is_empty());
    Ok(())
}

pub(crate) async fn no_listing_is_needed_to_archive_and_restore(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(3..=3).await?;
    let unlisted = Site { repository: site.subject.repository_with(&Faults::at_every_listing())?, ..site };
    unlisted.archive(3..=4).await?;
    assert_eq!(unlisted.restored_wal(unlisted.cluster.wal_name(4)).await?, unlisted.cluster.segment(4));
    // Only a listing can confirm that a file is missing rather than lost.
    let error = refused(unlisted.restored_wal(unlisted.cluster.wal_name(5)).await);
    assert_ne!(error.kind(), ErrorKind::Absent, "{error}");
    Ok(())
}

pub(crate) async fn what_is_stored_damaged_is_not_taken_for_the_same_and_force_replaces_it(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    let (name, bytes) = (site.cluster.wal_name(3), site.cluster.segment(3));
    site.archive(3..=3).await?;
    let object = format!("wal_{name}.zst");
    let whole = site.subject.get(&object).await?;
    for damaged in [whole.slice(..whole.len() / 2), whole.slice(..0), "<html>503</html>".into()] {
        site.subject.put(&object, damaged).await?;
        let path = site.wal_file(&name.to_string(), &bytes)?;
        let error = refused(archive_wal(&site.repository, &path, &ArchiveOptions::default()).await);
        assert!(matches!(error.kind(), ErrorKind::Refused | ErrorKind::Damaged), "{error}");
        assert!(
            error.to_string().contains(&object) && super::site::shown(&error).contains("--force"),
            "{error}"
        );
        let force = ArchiveOptions { force: true, ..ArchiveOptions::default() };
        archive_wal(&site.repository, &path, &force).await?;
        assert_eq!(site.restored_wal(name).await?, bytes);
    }
    Ok(())
}

/// For example, two servers archive at the same time, or one archives again after a timeout.
pub(crate) async fn the_same_segment_from_many_at_once_is_fine(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let (name, bytes) = (site.cluster.wal_name(3), site.cluster.segment(3));
    let path = site.wal_file(&name.to_string(), &bytes)?;
    let options = ArchiveOptions::default();
    try_join_all((0..8).map(|_| archive_wal(&site.repository, &path, &options))).await?;
    assert_eq!(site.restored_wal(name).await?, bytes);
    Ok(())
}

/// The matrix of writing call × fault: every acknowledged file is stored, and a retry always succeeds.
pub(crate) async fn a_failure_at_any_call_is_mended_by_trying_again(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let options = ArchiveOptions::default();
    let mut number = 0;
    for fault in WriteFault::ALL {
        for n in 1.. {
            number += 1;
            let (name, bytes) = (site.cluster.wal_name(number), site.cluster.segment(number));
            let path = site.wal_file(&name.to_string(), &bytes)?;
            let faults = Faults::at_write(n, fault);
            let outcome = archive_wal(&site.subject.repository_with(&faults)?, &path, &options).await;
            let never_struck = faults.writes().len() < n;
            assert_eq!(outcome.is_ok(), never_struck, "{fault:?} at {n}: {outcome:?}");
            archive_wal(&site.repository, &path, &options).await?;
            assert_eq!(site.restored_wal(name).await?, bytes, "{fault:?} at {n}");
            if never_struck {
                break;
            }
            site.subject.delete("cluster.json").await?;
        }
    }
    Ok(())
}

fn codec(text: &str) -> Result<ArchiveOptions> {
    Ok(ArchiveOptions { codec: text.parse()?, force: false })
}
