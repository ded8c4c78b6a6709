//! Scenarios of verify: what is damaged is found and named, and nothing else is called damaged.

use std::path::Path;

use anyhow::{Context, Result};
use bytes::Bytes;
use swiftwal_core::{
    BackupChoice, BackupKey, BackupRecord, Error, Repository, Verdict, VerifyChoice, VerifyOptions,
    VerifyReport, verify,
};

use super::{
    chains::Chain,
    damage::OLD_BACKUP,
    site::{Site, request},
};
use crate::{
    SyntheticCluster,
    faulty::{Faults, ReadFault},
    subject::Subject,
};

/// Verifies everything.
async fn verify_all(repository: &Repository, scratch: &Path) -> Result<VerifyReport, Error> {
    let options = VerifyOptions { wal: true, ..choose(VerifyChoice::All, scratch) };
    verify(repository, &options, &|_| {}).await
}

fn choose(choice: VerifyChoice, scratch: &Path) -> VerifyOptions {
    VerifyOptions {
        choice,
        wal: false,
        new_only: false,
        most_bytes_per_second: None,
        jobs: 2,
        scratch: scratch.to_owned(),
    }
}

impl Site {
    async fn verified(&self) -> Result<VerifyReport, Error> {
        verify_all(&self.repository, &self.subject.path("")).await
    }

    /// Takes a backup that needs the segments `start` to `stop`, and archives the segment after them, too.
    async fn back_up_with_pages(&self, start: u64, stop: u64) -> Result<BackupRecord> {
        for number in start..=stop + 1 {
            self.archive_as(self.cluster.wal_name(number), &self.cluster.segment_of_pages(number)).await?;
        }
        let record = self.take(&self.cluster.backup(start, stop)).await?;
        self.wait_hours(1);
        Ok(record)
    }

    async fn is_proven(&self, key: BackupKey) -> Result<bool> {
        Ok(self.repository.proofs(&self.repository.inventory().await?).await?.is_proven(key))
    }
}

/// Returns all that a report says about damage.
fn damage_in(report: &VerifyReport) -> String {
    let of_backups = report.backups.iter().flat_map(|backup| &backup.details.damage);
    let damage = report.damage.iter().chain(of_backups);
    damage.map(|damage| format!("{damage} {:?}\n", damage.backups)).collect()
}

pub(crate) async fn what_is_not_damaged_passes_and_that_is_stored(subject: Subject) -> Result<()> {
    let site = Site::of(subject, SyntheticCluster::new(1).with_tablespace(16400, "/srv/fast"))?;
    let first = site.back_up_with_pages(3, 4).await?;
    let second = site.take_with_wal(&site.cluster.backup(5, 5)).await?;
    site.archive_as(site.cluster.wal_name(6), &site.cluster.segment_of_pages(6)).await?;
    let report = site.verified().await?;
    assert!(!report.is_damaged(), "{}", damage_in(&report));
    assert!(report.notices.is_empty(), "{:?}", report.notices);
    let segments: Vec<_> = report.backups.iter().map(|backup| backup.details.wal_segments).collect();
    assert_eq!(segments, [2, 1]);
    assert_eq!(report.wal.context("no WAL")?.files, 4);
    for (backup, record) in report.backups.iter().zip([&first, &second]) {
        assert_eq!((backup.key, backup.verdict), (record.key, Verdict::Passed), "{backup:?}");
        assert!(backup.details.files > 5 && backup.details.not_checked.is_empty(), "{backup:?}");
        assert!(site.is_proven(record.key).await?);
    }
    let options = VerifyOptions { new_only: true, ..choose(VerifyChoice::All, &site.subject.path("")) };
    let again = verify(&site.repository, &options, &|_| {}).await?;
    assert_eq!((again.backups.len(), again.skipped.len()), (0, 2));
    Ok(())
}

/// The damage to an object.
#[derive(Clone, Copy, Debug)]
enum Damage {
    FlippedBit,
    Cut,
    Gone,
    /// It has the content of the same object of another backup, or of another WAL file.
    Swapped,
}

const DAMAGES: [Damage; 4] = [Damage::FlippedBit, Damage::Cut, Damage::Gone, Damage::Swapped];

/// The matrix of object × damage.
pub(crate) async fn damage_of_each_kind_of_object_is_found_and_named(subject: Subject) -> Result<()> {
    let site = Site::of(subject, SyntheticCluster::new(1).with_tablespace(16400, "/srv/fast"))?;
    let record = site.back_up_with_pages(3, 4).await?;
    let other = site.back_up_with_pages(6, 6).await?;
    let objects = record.objects.iter().map(|object| object.name.clone());
    let of_record = format!("pg_basebackup_{}.json", record.key);
    let wal = [3, 4, 5].map(|number| format!("wal_{}.zst", site.cluster.wal_name(number)));
    for object in objects.chain([of_record]).chain(wal) {
        let whole = site.subject.get(&object).await?;
        for damage in site.subject.harness().cases(DAMAGES) {
            let twin = object.replace(&record.key.to_string(), &other.key.to_string());
            let twin =
                twin.replace(&site.cluster.wal_name(4).to_string(), &site.cluster.wal_name(7).to_string());
            let twin =
                twin.replace(&site.cluster.wal_name(3).to_string(), &site.cluster.wal_name(6).to_string());
            let twin =
                twin.replace(&site.cluster.wal_name(5).to_string(), &site.cluster.wal_name(7).to_string());
            strike(&site, damage, &object, &whole, &twin).await?;
            let report = site.verified().await?;
            let found = damage_in(&report);
            // Of missing WAL, only the name is known.
            let name = object.trim_start_matches("wal_").trim_end_matches(".zst");
            assert!(report.is_damaged() && found.contains(name), "{object}, {damage:?}: {found}");
            assert!(found.contains(&record.key.to_string()), "{object}, {damage:?}: {found}");
            let is_of_other = report
                .backups
                .iter()
                .any(|backup| backup.key == other.key && backup.verdict != Verdict::Passed);
            assert!(!is_of_other, "{object}, {damage:?}: {found}");
            site.subject.put(&object, whole.clone()).await?;
        }
    }
    let report = site.verified().await?;
    assert!(!report.is_damaged(), "{}", damage_in(&report));
    assert!(site.is_proven(record.key).await?);
    Ok(())
}

async fn strike(site: &Site, damage: Damage, object: &str, whole: &Bytes, twin: &str) -> Result<()> {
    let mut bytes = whole.to_vec();
    match damage {
        Damage::FlippedBit => bytes[whole.len() / 2] ^= 1,
        Damage::Cut => bytes.truncate(whole.len() / 2),
        Damage::Gone => return site.subject.delete(object).await,
        Damage::Swapped => bytes = site.subject.get(twin).await?.to_vec(),
    }
    site.subject.put(object, bytes).await
}

pub(crate) async fn a_damaged_cluster_json_is_found(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.back_up_with_pages(3, 3).await?;
    let whole = site.subject.get("cluster.json").await?;
    for damage in [Damage::FlippedBit, Damage::Cut, Damage::Gone] {
        let mut bytes = whole.to_vec();
        match damage {
            // Its bits aren't all equally important.
            Damage::FlippedBit => bytes[0] ^= 1,
            Damage::Cut => bytes.truncate(whole.len() / 2),
            _ => {}
        }
        match damage {
            Damage::Gone => site.subject.delete("cluster.json").await?,
            _ => site.subject.put("cluster.json", bytes).await?,
        }
        let report = site.verified().await?;
        assert!(report.is_damaged() && damage_in(&report).contains("cluster.json"), "{damage:?}");
    }
    Ok(())
}

pub(crate) async fn what_damaged_wal_makes_impossible_is_said(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let first = site.back_up_with_pages(3, 3).await?;
    for number in 4..=7 {
        site.archive_as(site.cluster.wal_name(number), &site.cluster.segment_of_pages(number)).await?;
    }
    let second = site.back_up_with_pages(8, 8).await?;
    let missing = format!("wal_{}.zst", site.cluster.wal_name(6));
    let whole = site.subject.get(&missing).await?;
    site.subject.delete(&missing).await?;
    let report = site.verified().await?;
    let found = damage_in(&report);
    assert!(found.contains(&site.cluster.wal_name(6).to_string()), "{found}");
    let expected = format!(
        "from backup {}, recovery reaches {} on timeline 1 at most",
        first.key,
        site.cluster.lsn(6, 0)
    );
    assert!(found.contains(&expected), "{found}");
    assert!(found.contains(&format!("until backup {} had ended", second.key)), "{found}");
    // The backup itself is complete.
    assert!(report.backups.iter().all(|backup| backup.verdict == Verdict::Passed), "{found}");

    // WAL of another cluster has the right name and place.
    let foreign = SyntheticCluster::new(2).segment_of_pages(6);
    site.subject.put(&missing.replace(".zst", ""), foreign).await?;
    let found = damage_in(&site.verified().await?);
    assert!(found.contains("belongs to the cluster with system identifier"), "{found}");
    site.subject.delete(&missing.replace(".zst", "")).await?;
    site.subject.put(&missing, whole).await?;
    // The segment that only the first backup needs.
    let needed = format!("wal_{}.zst", site.cluster.wal_name(3));
    site.subject.delete(&needed).await?;
    let found = damage_in(&site.verified().await?);
    assert!(found.contains(&format!("without it, backup {} can't be restored", first.key)), "{found}");
    Ok(())
}

pub(crate) async fn damage_of_a_parent_concerns_what_builds_on_it(subject: Subject) -> Result<()> {
    let chain = Chain::take(subject).await?;
    let report = chain.site.verified().await?;
    assert!(!report.is_damaged(), "{}", damage_in(&report));
    let [full, middle, newest] = [0, 1, 2].map(|number| chain.records[number].key);
    let object = format!("pg_basebackup_{full}.tar.zst");
    let mut content = chain.site.subject.get(&object).await?.to_vec();
    let middle_bit = content.len() / 2;
    content[middle_bit] ^= 1;
    chain.site.subject.put(&object, content).await?;
    let choice = VerifyChoice::One(BackupChoice::Key(newest));
    let options = choose(choice, &chain.site.subject.path(""));
    let report = verify(&chain.site.repository, &options, &|_| {}).await?;
    let verdicts: Vec<_> = report.backups.iter().map(|backup| (backup.key, backup.verdict)).collect();
    assert_eq!(verdicts, [full, middle, newest].map(|key| (key, Verdict::Failed)));
    let found = damage_in(&report);
    assert!(found.contains(&format!("nor can backups {middle} and {newest}, which build on it")), "{found}");
    assert!(found.contains("base/"), "no file is named: {found}");
    Ok(())
}

/// The objects are what was stored, and yet the manifest isn't that of the files.
pub(crate) async fn a_manifest_of_other_files_is_found(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let text = "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [\n{ \"Path\": \"PG_VERSION\", \"Size\": 3 }\n],\n";
    let record = site.take_with_wal(&site.cluster.backup(3, 3).with_manifest(text.to_owned())).await?;
    let object = format!("backup_manifest_{}.zst", record.key);
    let report = site.verified().await?;
    let found = damage_in(&report);
    assert!(found.contains(&object) && found.contains("the manifest lists 1 files"), "{found}");
    assert!(!site.is_proven(record.key).await?);
    Ok(())
}

pub(crate) async fn a_backup_of_swiftwal_0_2_2_is_read_and_never_proven(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let tar = site.cluster.backup(3, 3).tar(&request(false))?;
    let whole = swiftwal_compression::compress_frame(swiftwal_compression::Format::Gzip.into(), &tar)?;
    site.subject.put(OLD_BACKUP, whole.clone()).await?;
    let report = site.verified().await?;
    assert!(!report.is_damaged(), "{}", damage_in(&report));
    assert_eq!(report.backups[0].verdict, Verdict::NotProven);
    site.subject.put(OLD_BACKUP, whole[..whole.len() / 2].to_vec()).await?;
    let report = site.verified().await?;
    assert!(report.is_damaged() && damage_in(&report).contains(OLD_BACKUP));
    Ok(())
}

/// The matrix of reading call × fault: a failure is an error, and never a verdict. A reading that went wrong without an
/// error isn't damage, since the next one is right.
pub(crate) async fn a_failing_storage_is_never_damage_nor_a_proof(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let record = site.back_up_with_pages(3, 3).await?;
    let scratch = site.subject.path("");
    let backups = choose(VerifyChoice::All, &scratch);
    let wal = VerifyOptions { wal: true, ..choose(VerifyChoice::None, &scratch) };
    let proof = format!("verify_{}.json", record.key);
    let mut table = Vec::new();
    for options in [&backups, &wal] {
        let faults = Faults::none();
        verify(&site.subject.repository_with(&faults)?, options, &|_| {}).await?;
        let calls = 1..=faults.reads().len() + 1;
        table.extend(calls.flat_map(|n| ReadFault::ALL.map(|fault| (options, fault, n))));
        drop(site.subject.delete(&proof).await);
    }
    for (options, fault, n) in site.subject.harness().cases(table) {
        let repository = site.subject.repository_with(&Faults::at_read(n, fault))?;
        match verify(&repository, options, &|_| {}).await {
            Ok(report) => assert!(!report.is_damaged(), "{fault:?} at {n}: {}", damage_in(&report)),
            Err(error) => {
                assert!(!site.subject.objects().await?.contains(&proof), "{fault:?} at {n}: {error}");
            }
        }
        drop(site.subject.delete(&proof).await);
    }
    Ok(())
}
