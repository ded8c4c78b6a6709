//! Scenarios of the start of a backup: the facts that the source reports by then are checked and used before anything
//! is stored.

use anyhow::Result;
use swiftwal_compression::{Format, decoder};
use swiftwal_core::{BackupEvent, BackupOptions, ErrorKind};
use swiftwal_postgres::SegmentSize;
use tokio::io::AsyncReadExt;

use super::{
    prune::prune_to,
    site::{Site, options, refused, take},
};
use crate::{SourceFault, SyntheticCluster, SyntheticSource, faulty::Faults, subject::Subject};

/// A cluster whose tablespace is sent before its data directory.
fn cluster() -> SyntheticCluster {
    SyntheticCluster::new(1).with_tablespace(16400, "/srv/fast")
}

/// Whether the event shows that objects of a backup are stored: the marker and the claim are stored before it begins.
fn is_stored(event: &BackupEvent<'_>) -> bool {
    matches!(event, BackupEvent::Progress { .. })
}

pub(crate) async fn another_clusters_backup_is_refused_before_anything_of_it_is_stored(
    subject: Subject,
) -> Result<()> {
    let site = Site::of(subject, cluster())?;
    site.archive(3..=4).await?;
    let before = site.subject.objects().await?;
    let stranger = SyntheticCluster::new(2).with_tablespace(16400, "/srv/fast");
    let rebuilt = cluster().with_segment_size(SegmentSize::default());
    for other in [stranger, rebuilt] {
        let calls = Faults::none();
        let repository = site.subject.repository_with(&calls)?;
        let source = other.with_table_bytes(9 << 20).backup(3, 3).that_tells_at_start();
        let options = BackupOptions { include_wal: true, ..options() };
        let error = refused(take(&repository, &source, &options).await);
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        assert!(error.to_string().contains("belongs to the PostgreSQL cluster with"), "{error}");
        let stored: Vec<_> = calls.writes().into_iter().filter(|call| call.object.contains(".tar")).collect();
        assert!(stored.is_empty(), "{stored:?}");
        assert_eq!(site.subject.objects().await?, before);
    }
    Ok(())
}

pub(crate) async fn a_new_repository_is_claimed_as_soon_as_the_backup_has_begun(
    subject: Subject,
) -> Result<()> {
    let site = Site::of(subject, cluster())?;
    let stalls = site.cluster.backup(3, 3).with_fault(SourceFault::StallsBeforeTheLabel);
    for (source, is_claimed) in [(stalls.clone(), false), (stalls.that_tells_at_start(), true)] {
        let objects = site.during_backup(&source, is_stored, site.subject.objects()).await?;
        assert_eq!(objects.contains("cluster.json"), is_claimed, "{objects:?}");
    }
    Ok(())
}

pub(crate) async fn prune_keeps_only_what_a_backup_needs_that_has_begun_and_not_shown_its_label(
    subject: Subject,
) -> Result<()> {
    let site = Site::of(subject, cluster())?;
    site.back_up(3, 3).await?;
    site.archive(4..=6).await?;
    let kept: Vec<_> = (3..=6).map(|number| site.cluster.wal_name(number).to_string()).collect();
    let stalls = site.cluster.backup(5, 6).with_fault(SourceFault::StallsBeforeTheLabel);
    // If the repository is known, its segment size suffices.
    for source in [stalls.clone(), stalls.that_tells_at_start()] {
        site.archive(1..=2).await?;
        let plan = site.during_backup(&source, is_stored, prune_to(&site, 1, 0)).await?;
        assert!(plan.notices.is_empty(), "{:?}", plan.notices);
        assert_eq!(site.listed_wal().await?, kept);
    }
    Ok(())
}

pub(crate) async fn a_source_that_tells_all_at_the_start_gives_the_same_backup(
    subject: Subject,
) -> Result<()> {
    let site = Site::of(subject, cluster())?;
    site.archive(3..=4).await?;
    let source = site.cluster.backup(3, 4);
    let late = site.take(&source).await?;
    let early = site.take(&source.that_tells_at_start()).await?;
    let of = |record: &swiftwal_core::BackupRecord| {
        let tars = record.objects.iter().filter(|object| object.tar_bytes.is_some());
        let tars: Vec<_> = tars.map(|tar| (tar.blake3.clone(), tar.tablespace_location.clone())).collect();
        (record.system_identifier, record.postgres_version.clone(), record.first_wal, record.last_wal, tars)
    };
    assert_eq!(of(&early), of(&late));
    Ok(())
}

/// As in the replication protocol; `pg_basebackup` puts it into the tar as well.
pub(crate) async fn a_manifest_that_is_not_in_the_tar_is_stored_beside_it(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let manifest = "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n".repeat(1000);
    let source: SyntheticSource = site.cluster.backup(3, 3).with_manifest(manifest.clone());
    let record = site.take_with_wal(&source).await?;
    let object = format!("backup_manifest_{}.zst", record.key);
    assert!(record.objects.iter().any(|recorded| recorded.name == object), "{:?}", record.objects);
    let stored = site.subject.get(&object).await?;
    let mut text = String::new();
    decoder(Format::Zstd, &stored[..]).read_to_string(&mut text).await?;
    assert_eq!(text, manifest);
    site.assert_restorable(&record, &source).await
}
