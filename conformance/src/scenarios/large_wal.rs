//! Scenarios of archive-wal with files that are too large for one put: they are stored in parts, if the storage
//! supports that.

use std::{
    fs::{File, FileTimes},
    io::{Seek, SeekFrom, Write},
    path::PathBuf,
    sync::Arc,
    time::SystemTime,
};

use anyhow::{Context, Result};
use async_trait::async_trait;
use swiftwal_core::{
    ArchiveOptions, Archived, Error, ErrorKind, Prepare, archive_cleanup, archive_wal, plan_archive_cleanup,
};
use swiftwal_postgres::{SegmentSize, WalName};

use super::site::{Site, refused};
use crate::{
    SyntheticCluster,
    faulty::{Faults, ReadFault, WriteFault},
    subject::Subject,
};

/// A site whose segments are several times as large as one put, compressed or not.
fn site(subject: Subject) -> Result<Site> {
    Site::of(subject, SyntheticCluster::new(1).with_segment_size(SegmentSize::new(4 << 20)?))
}

fn codec(text: &str) -> Result<ArchiveOptions> {
    Ok(ArchiveOptions { codec: text.parse()?, force: false })
}

/// Returns that segment with one byte changed near its end.
fn another(segment: &[u8]) -> Vec<u8> {
    let mut another = segment.to_vec();
    if let Some(byte) = another.last_mut() {
        *byte ^= 1;
    }
    another
}

pub(crate) async fn a_large_segment_is_stored_in_parts_and_comes_back(subject: Subject) -> Result<()> {
    let site = site(subject)?;
    for (number, text) in (1..).zip(["zstd", "gzip", "lz4", "none"]) {
        let (name, bytes) = (site.cluster.wal_name(number), site.cluster.segment(number));
        let calls = Faults::none();
        let path = site.wal_file(&name.to_string(), &bytes)?;
        let archived = archive_wal(&site.subject.repository_with(&calls)?, &path, &codec(text)?).await?;
        let Archived::Stored { stored_bytes } = archived else { panic!("{archived:?}") };
        let made = |action: &str| {
            let of_it = |call: &&crate::faulty::Call| call.object.contains(&name.to_string());
            calls.writes().iter().filter(of_it).filter(|call| call.action == action).count()
        };
        let in_parts = site.repository.storage().create_in_parts().is_some();
        assert_eq!((made("put"), made("complete")), if in_parts { (0, 1) } else { (1, 0) }, "{text}");
        assert!(!in_parts || made("put_part") > 2, "{text}");

        let inventory = site.repository.inventory().await?;
        let listed = inventory.wal.iter().find(|wal| wal.name == name).context("it isn't listed")?;
        assert_eq!(listed.bytes, stored_bytes, "{text}");
        assert_eq!(site.restored_wal(name).await?, bytes, "{text}");
    }
    assert_eq!(site.subject.everything().await?, site.subject.objects().await?);
    Ok(())
}

pub(crate) async fn the_same_large_segment_is_fine_and_another_refused_and_neither_leaves_anything(
    subject: Subject,
) -> Result<()> {
    let site = site(subject)?;
    let (name, bytes) = (site.cluster.wal_name(3), site.cluster.segment(3));
    for (text, suffix) in [("zstd", ".zst"), ("none", "")] {
        site.archive_with(name, &bytes, &codec(text)?).await?;
        let before = site.subject.everything().await?;
        assert_eq!(site.archive_with(name, &bytes, &codec(text)?).await?, Archived::AlreadyThere);
        assert_eq!(site.subject.everything().await?, before);

        let path = site.wal_file(&name.to_string(), &another(&bytes))?;
        let error = refused(archive_wal(&site.repository, &path, &codec(text)?).await);
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        assert_eq!(site.subject.everything().await?, before);
        assert_eq!(site.restored_wal(name).await?, bytes);
        site.subject.delete(&format!("wal_{name}{suffix}")).await?;
    }
    Ok(())
}

pub(crate) async fn force_replaces_a_large_segment_with_all_its_parts(subject: Subject) -> Result<()> {
    let site = site(subject)?;
    let (name, mut bytes) = (site.cluster.wal_name(3), site.cluster.segment(3));
    site.archive(3..=3).await?;
    let before = site.subject.everything().await?;
    for _ in 0..2 {
        bytes = another(&bytes);
        site.archive_with(name, &bytes, &ArchiveOptions { force: true, ..codec("zstd")? }).await?;
        assert_eq!(site.restored_wal(name).await?, bytes);
        assert_eq!(site.subject.everything().await?, before);
    }
    Ok(())
}

/// The file in other compressions is removed before the new content is published: otherwise it could outlive it.
pub(crate) async fn where_force_can_not_remove_the_other_compressions_nothing_is_replaced_or_left(
    subject: Subject,
) -> Result<()> {
    let site = site(subject)?;
    let (name, bytes) = (site.cluster.wal_name(3), site.cluster.segment(3));
    let force = ArchiveOptions { force: true, ..codec("zstd")? };
    let calls = Faults::none();
    let path = site.wal_file(&name.to_string(), &bytes)?;
    archive_wal(&site.subject.repository_with(&calls)?, &path, &force).await?;
    let path = site.wal_file(&name.to_string(), &another(&bytes))?;
    let calls = Faults::none();
    archive_wal(&site.subject.repository_with(&calls)?, &path, &force).await?;
    let removal = calls.writes().iter().position(|call| call.action == "delete").context("none")? + 1;

    let before = site.subject.everything().await?;
    let path = site.wal_file(&name.to_string(), &bytes)?;
    let faults = Faults::at_write(removal, WriteFault::FailsOnce);
    let error = refused(archive_wal(&site.subject.repository_with(&faults)?, &path, &force).await);
    assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
    assert_eq!(site.subject.everything().await?, before);
    assert_eq!(site.restored_wal(name).await?, another(&bytes));
    Ok(())
}

pub(crate) async fn a_second_large_partial_file_is_kept_beside_the_first(subject: Subject) -> Result<()> {
    let site = site(subject)?;
    let (partial, first) = (WalName::Partial(site.cluster.segment_name(4)), site.cluster.segment(4));
    let second = another(&first);
    site.archive_as(partial, &first).await?;
    for outcome in ["stored", "there"] {
        let archived = site.archive_as(partial, &second).await?;
        assert_eq!(archived == Archived::AlreadyThere, outcome == "there", "{archived:?}");
    }
    assert_eq!(site.restored_wal(partial).await?, first);
    assert_eq!(site.repository.inventory().await?.wal.len(), 2);
    assert_eq!(site.subject.everything().await?, site.subject.objects().await?);
    Ok(())
}

pub(crate) async fn large_segments_are_removed_with_all_their_parts(subject: Subject) -> Result<()> {
    let site = site(subject)?;
    site.archive(1..=5).await?;
    let plan = plan_archive_cleanup(&site.repository, site.cluster.wal_name(5), false).await?;
    archive_cleanup(&site.repository, &plan).await?;
    assert_eq!(site.listed_wal().await?, [site.cluster.wal_name(5).to_string()]);
    assert_eq!(site.subject.everything().await?, site.subject.objects().await?);
    assert_eq!(site.restored_wal(site.cluster.wal_name(5)).await?, site.cluster.segment(5));
    Ok(())
}

/// The matrix of writing call × fault. A process that crashes leaves nothing under the name, unless the very last call
/// was made; its leftovers are removed after a day.
pub(crate) async fn a_failure_at_any_call_for_a_large_segment_is_mended_by_trying_again(
    subject: Subject,
) -> Result<()> {
    let site = site(subject)?;
    let options = ArchiveOptions::default();
    site.archive(1..=1).await?;
    let mut number = 1;
    for fault in WriteFault::ALL {
        for n in 1.. {
            number += 1;
            let (name, bytes) = (site.cluster.wal_name(number), site.cluster.segment(number));
            let path = site.wal_file(&name.to_string(), &bytes)?;
            let faults = Faults::at_write(n, fault);
            let before = site.subject.objects().await?;
            let outcome = archive_wal(&site.subject.repository_with(&faults)?, &path, &options).await;
            let never_struck = faults.writes().len() < n;
            assert_eq!(outcome.is_ok(), never_struck, "{fault:?} at {n}: {outcome:?}");
            if !never_struck && fault != WriteFault::LosesReply {
                assert_eq!(site.subject.objects().await?, before, "{fault:?} at {n}");
            }
            archive_wal(&site.repository, &path, &options).await?;
            assert_eq!(site.restored_wal(name).await?, bytes, "{fault:?} at {n}");
            site.subject.delete(&format!("wal_{name}.zst")).await?;
            if never_struck {
                break;
            }
        }
    }
    if let Some(sweeper) = site.repository.storage().sweeper() {
        let left = sweeper.leftovers(jiff::Timestamp::MAX, Vec::new()).await?;
        let in_parts = site.repository.storage().create_in_parts().is_some();
        assert!(!in_parts || !left.is_empty(), "what died has left nothing");
        sweeper.remove(&left).await?;
    }
    assert_eq!(site.subject.everything().await?, site.subject.objects().await?);
    assert_eq!(site.restored_wal(site.cluster.wal_name(1)).await?, site.cluster.segment(1));
    Ok(())
}

pub(crate) async fn a_large_segment_is_not_taken_for_the_same_where_reading_it_goes_wrong(
    subject: Subject,
) -> Result<()> {
    let site = site(subject)?;
    let (name, bytes) = (site.cluster.wal_name(3), site.cluster.segment(3));
    let path = site.wal_file(&name.to_string(), &bytes)?;
    for (text, suffix) in [("zstd", ".zst"), ("none", "")] {
        archive_wal(&site.repository, &path, &codec(text)?).await?;
        let calls = Faults::none();
        archive_wal(&site.subject.repository_with(&calls)?, &path, &codec(text)?).await?;
        // Exactly the content that is read last is stored.
        let last = calls.reads().len();
        for fault in ReadFault::ALL {
            let repository = site.subject.repository_with(&Faults::at_read(last, fault))?;
            let error = refused(archive_wal(&repository, &path, &codec(text)?).await);
            if fault == ReadFault::Fails {
                assert!(matches!(error, Error::Storage { .. }), "{text}: {error}");
            } else {
                let is_damage = matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Refused);
                assert!(is_damage, "{text}, {fault:?}: {error}");
            }
        }
        site.subject.delete(&format!("wal_{name}{suffix}")).await?;
    }
    Ok(())
}

/// Of two uploads that began while the name was free, the later one to complete is refused, and leaves nothing.
pub(crate) async fn of_two_uploads_that_create_one_name_the_second_is_refused(
    subject: Subject,
) -> Result<()> {
    let storage = subject.storage()?;
    let Some(create) = storage.create_in_parts() else { return Ok(()) };
    let name = "wal_000000010000000000000003.zst";
    let part = vec![7; storage.limits().part_bytes];
    let mut uploads = Vec::new();
    for end in ["first", "second"] {
        let mut upload = create.create(&name.into()).await?;
        upload.put_part(part.clone().into()).await?;
        upload.put_part(end.into()).await?;
        uploads.push(upload);
    }
    assert!(subject.objects().await?.is_empty(), "nothing has the name before an upload is complete");
    uploads[0].complete().await?;
    let late = uploads[1].complete().await;
    assert!(matches!(late, Err(object_store::Error::AlreadyExists { .. })), "{late:?}");
    uploads[1].abort().await?;
    drop(uploads);
    assert_eq!(subject.get(name).await?, [&part[..], b"first"].concat());
    assert_eq!(subject.everything().await?, [name.to_owned()].into());
    create.make_durable(&name.into()).await?;
    Ok(())
}

/// Changes a file while it is read. It is called when a storage is prepared.
#[derive(Debug)]
struct Meddler {
    path: PathBuf,
    meddle: fn(&PathBuf) -> std::io::Result<()>,
}

#[async_trait]
impl Prepare for Meddler {
    async fn prepare(&self) -> object_store::Result<()> {
        (self.meddle)(&self.path)
            .map_err(|source| object_store::Error::Generic { store: "meddler", source: Box::new(source) })
    }
}

/// For example, PostgreSQL recycles a segment, or an administrator replaces the file.
pub(crate) async fn a_file_that_changes_while_it_is_read_is_not_archived(subject: Subject) -> Result<()> {
    let site = site(subject)?;
    site.archive(1..=1).await?;
    let before = site.subject.everything().await?;
    let overwrite: fn(&PathBuf) -> std::io::Result<()> = |path| {
        let mut file = File::options().write(true).open(path)?;
        file.seek(SeekFrom::End(-1))?;
        file.write_all(&[0])
    };
    let replace: fn(&PathBuf) -> std::io::Result<()> = |path| {
        std::fs::copy(path, path.with_extension("copy"))?;
        std::fs::remove_file(path)?;
        std::fs::copy(path.with_extension("copy"), path).map(drop)
    };
    for (size, meddle) in [(4 << 20, overwrite), (4 << 20, replace), (1 << 20, overwrite)] {
        let cluster = SyntheticCluster::new(1).with_segment_size(SegmentSize::new(size)?);
        let partial = WalName::Partial(cluster.segment_name(2));
        let path = site.wal_file(&partial.to_string(), &vec![0x5A; cluster.segment(2).len()])?;
        // Long ago, whatever the resolution of the file system's dates.
        let dated = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH);
        File::options().write(true).open(&path)?.set_times(dated)?;
        let meddler = Meddler { path: path.clone(), meddle };
        let repository = site.subject.repository_prepared_by(Arc::new(meddler))?;
        for force in [false, true] {
            let options = ArchiveOptions { force, ..codec("none")? };
            let error = refused(archive_wal(&repository, &path, &options).await);
            assert!(error.to_string().contains("can't archive"), "{error}");
            assert_eq!(site.subject.everything().await?, before);
            File::options().write(true).open(&path)?.set_times(dated)?;
        }
    }
    Ok(())
}
