//! Scenarios of the repository itself: its cluster, and the versions that are understood.

use anyhow::Result;
use jiff::SignedDuration;
use swiftwal_core::{
    ArchiveOptions, BackupOptions, Error, ErrorKind, PrunePolicy, archive_wal, plan_archive_cleanup,
    plan_prune,
};

use super::site::{Site, refused, take};
use crate::{SyntheticCluster, faulty::Faults, subject::Subject};

pub(crate) async fn the_first_archived_segment_says_whose_it_is(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    assert_eq!(site.repository.cluster().await?, None);
    site.archive(3..=3).await?;
    assert_belongs_to_the_cluster(&site).await
}

pub(crate) async fn the_first_backup_says_whose_it_is(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.take_with_wal(&site.cluster.backup(3, 3)).await?;
    assert_belongs_to_the_cluster(&site).await
}

async fn assert_belongs_to_the_cluster(site: &Site) -> Result<()> {
    let Some(info) = site.repository.cluster().await? else { panic!("it is still nobody's") };
    assert_eq!(info.identity.system_identifier, site.cluster.system_identifier());
    assert_eq!(info.identity.wal_segment_bytes, site.cluster.segment_size());
    assert_eq!(info.identity.postgres_version.as_deref(), Some(site.cluster.version().number()));
    Ok(())
}

pub(crate) async fn a_reading_command_makes_nothing(subject: Subject) -> Result<()> {
    let mut answers = Vec::new();
    for _ in 0..2 {
        if let Ok(repository) = subject.existing_repository() {
            // An empty storage, or one that is reported as missing: reading doesn't create it.
            answers
                .push((refused(repository.inventory().await).to_string(), repository.cluster().await.ok()));
        }
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert!(answers.iter().all(|(_, cluster)| !matches!(cluster, Some(Some(_)))), "{answers:?}");
    assert!(subject.objects().await?.is_empty());
    Ok(())
}

pub(crate) async fn what_a_newer_version_wrote_is_let_alone(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.back_up(3, 4).await?;
    let newer = String::from_utf8(site.subject.get("cluster.json").await?.to_vec())?;
    let newer = newer.replace("\"format\": 1", "\"format\": 2");
    site.subject.put("cluster.json", newer).await?;
    let before = site.subject.objects().await?;

    let path = site.wal_file(&site.cluster.wal_name(5).to_string(), &site.cluster.segment(5))?;
    assert_newer(refused(archive_wal(&site.repository, &path, &ArchiveOptions::default()).await));
    assert_newer(refused(site.take_with_wal(&site.cluster.backup(5, 5)).await));
    let policy = PrunePolicy::newest(std::num::NonZeroU32::MIN);
    assert_newer(refused(plan_prune(&site.repository, &policy).await));
    assert_newer(refused(plan_archive_cleanup(&site.repository, site.cluster.wal_name(4), true).await));
    assert_eq!(site.subject.objects().await?, before);
    Ok(())
}

fn assert_newer(error: Error) {
    assert!(matches!(error, Error::NewerFormat { found: 2, .. }), "{error}");
}

pub(crate) async fn a_damaged_cluster_json_stops_what_would_write(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(3..=3).await?;
    for damage in ["", "{", "{\"format\": 1}", "<html>503</html>"] {
        site.subject.put("cluster.json", damage).await?;
        let before = site.subject.objects().await?;
        let path = site.wal_file(&site.cluster.wal_name(4).to_string(), &site.cluster.segment(4))?;
        let error = refused(archive_wal(&site.repository, &path, &ArchiveOptions::default()).await);
        assert_eq!(error.kind(), ErrorKind::Damaged, "{damage}: {error}");
        for named in ["cluster.json", site.repository.location(), "delete it"] {
            assert!(error.to_string().contains(named), "{named} isn't named: {error}");
        }
        let error = refused(site.take_with_wal(&site.cluster.backup(3, 3)).await);
        assert_eq!(error.kind(), ErrorKind::Damaged, "{damage}: {error}");
        assert_eq!(site.subject.objects().await?, before);
        assert_eq!(
            site.restored_wal(site.cluster.wal_name(3)).await?,
            site.cluster.segment(3),
            "reading goes on"
        );
    }
    Ok(())
}

pub(crate) async fn keys_are_read_in_lower_case_and_without_the_z(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let record = site.take_with_wal(&site.cluster.backup(3, 3)).await?;
    let text = record.key.to_string();
    for form in
        [text.to_lowercase(), text.trim_end_matches('Z').to_owned(), text.to_lowercase().replace('z', "")]
    {
        assert_eq!(site.repository.record(form.parse()?).await?.key, record.key, "{form}");
    }
    Ok(())
}

pub(crate) async fn whose_it_is_is_remembered_for_ten_minutes(subject: Subject) -> Result<()> {
    let faults = Faults::none();
    let mut site = Site::new(subject)?;
    site.repository = site.subject.caching_repository(&faults)?;
    site.archive(3..=3).await?;

    let (reads, writes) = (faults.reads().len(), faults.writes().len());
    assert!(reads > 0, "it asks once");
    site.archive(4..=4).await?;
    assert_eq!((faults.reads().len(), faults.writes().len()), (reads, writes + 1), "one request is enough");

    site.subject.clock().advance(SignedDuration::from_mins(10));
    site.archive(5..=5).await?;
    assert!(faults.reads().len() > reads, "it asks again");
    Ok(())
}

pub(crate) async fn a_repository_that_has_vanished_is_not_started_anew_unasked(
    subject: Subject,
) -> Result<()> {
    let mut site = Site::new(subject)?;
    site.repository = site.subject.caching_repository(&Faults::none())?;
    site.archive(3..=3).await?;
    let objects = site.subject.objects().await?;
    for object in &objects {
        site.subject.delete(object).await?;
    }
    site.subject.clock().advance(SignedDuration::from_mins(10));

    let history = site.wal_file("00000002.history", b"1\t0/3000000\tno recovery target specified\n")?;
    let segment = site.wal_file(&site.cluster.wal_name(4).to_string(), &site.cluster.segment(4))?;
    for path in [&history, &segment] {
        assert_not_as_seen(archive_wal(&site.repository, path, &ArchiveOptions::default()).await);
    }
    assert_not_as_seen(site.take_with_wal(&site.cluster.backup(5, 5)).await);
    let policy = PrunePolicy::newest(std::num::NonZeroU32::MIN);
    assert_not_as_seen(plan_prune(&site.repository, &policy).await);
    assert_not_as_seen(plan_archive_cleanup(&site.repository, site.cluster.wal_name(4), true).await);
    assert!(site.subject.objects().await?.is_empty());

    let anew = site.repository.clone().starting_anew(true);
    archive_wal(&anew, &segment, &ArchiveOptions::default()).await?;
    site.archive(5..=5).await
}

/// A first backup and archive-wal run at the same time on one machine: each reads `cluster.json` before the other has
/// stored it.
pub(crate) async fn a_repository_that_another_process_begins_meanwhile_has_not_vanished(
    subject: Subject,
) -> Result<()> {
    let mut site = Site::new(subject)?;
    site.repository = site.subject.caching_repository(&Faults::none())?;
    let history = site.wal_file("00000002.history", b"1\t0/3000000\tno recovery target specified\n")?;
    let segment = site.wal_file(&site.cluster.wal_name(4).to_string(), &site.cluster.segment(4))?;
    let (backup, options) = (site.cluster.backup(5, 5), ArchiveOptions::default());
    let with_wal = BackupOptions { include_wal: true, ..super::site::options() };
    for command in 0..3 {
        let faults = Faults::holding("cluster.json");
        let repository = site.subject.caching_repository(&faults)?;
        let held = async {
            match command {
                0 => archive_wal(&repository, &segment, &options).await.map(drop),
                1 => archive_wal(&repository, &history, &options).await.map(drop),
                _ => take(&repository, &backup, &with_wal).await.map(drop),
            }
        };
        let other = async {
            faults.held().await;
            let stored = site.archive(3..=3).await;
            faults.let_go();
            stored
        };
        let (held, other) = tokio::join!(held, other);
        other?;
        held?;
        for object in site.subject.objects().await? {
            site.subject.delete(&object).await?;
        }
        std::fs::remove_dir_all(site.subject.path("state"))?;
    }
    Ok(())
}

pub(crate) async fn what_restore_wal_reads_of_another_repository_is_not_remembered(
    subject: Subject,
) -> Result<()> {
    let mut site = Site::new(subject)?;
    site.repository = site.subject.caching_repository(&Faults::none())?;
    site.archive(3..=3).await?;
    let ours = String::from_utf8(site.subject.get("cluster.json").await?.to_vec())?;
    let (ours_id, other) = (site.cluster.system_identifier(), SyntheticCluster::new(2));
    let others = ours.replace(&ours_id.to_string(), &other.system_identifier().to_string());
    assert_ne!(ours, others);
    site.subject.delete("cluster.json").await?;
    site.subject.put("cluster.json", others).await?;
    site.subject.clock().advance(SignedDuration::from_mins(10));
    site.restored_wal(site.cluster.wal_name(3)).await?;

    // Acts as another process.
    site.repository = site.subject.caching_repository(&Faults::none())?;
    let policy = PrunePolicy::newest(std::num::NonZeroU32::MIN);
    let error = refused(plan_prune(&site.repository, &policy).await);
    assert!(matches!(error, Error::NotAsSeen { found: Some(_), .. }), "{error}");
    Ok(())
}

fn assert_not_as_seen<T: std::fmt::Debug>(outcome: Result<T, Error>) {
    let error = refused(outcome);
    assert!(matches!(error, Error::NotAsSeen { found: None, .. }), "{error}");
}

pub(crate) async fn an_object_that_is_too_large_is_not_read(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let record = site.take_with_wal(&site.cluster.backup(3, 3)).await?;
    let huge = vec![b' '; (16 << 20) + 1];
    for object in ["cluster.json".to_owned(), format!("pg_basebackup_{}.json", record.key)] {
        site.subject.put(&object, huge.clone()).await?;
    }
    for error in [refused(site.repository.cluster().await), refused(site.repository.record(record.key).await)]
    {
        assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
        assert!(error.to_string().contains("16777217 bytes"), "{error}");
    }
    Ok(())
}

pub(crate) async fn another_clusters_segment_is_refused_whatever_is_remembered(
    subject: Subject,
) -> Result<()> {
    let mut site = Site::new(subject)?;
    site.repository = site.subject.caching_repository(&Faults::none())?;
    site.archive(3..=3).await?;
    let other = SyntheticCluster::new(2);
    let path = site.wal_file(&other.wal_name(4).to_string(), &other.segment(4))?;
    let error = refused(archive_wal(&site.repository, &path, &ArchiveOptions::default()).await);
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert_eq!(site.listed_wal().await?, [site.cluster.wal_name(3).to_string()]);
    Ok(())
}
