//! Scenarios of restore from a backup that an attacker with write access to the repository has crafted.

use std::fs;

use anyhow::Result;
use swiftwal_compression::{Format, compress_frame};
use swiftwal_core::{BackupChoice, ErrorKind, RestoreOptions};
use tar::EntryType;

use super::{
    crafted::{END_BYTES, member, put_again},
    site::{Site, refused, request, restore_options},
};
use crate::{SyntheticCluster, subject::Subject};

/// CVE-2026-6475: a tool that unpacks a base backup must not follow names and links of the backup to files outside the
/// directories that it was given. Here the record, the checksums and the tars agree with each other.
pub(crate) async fn cve_2026_6475_names_and_links_of_an_attacker_lead_nowhere(
    subject: Subject,
) -> Result<()> {
    let outside = subject.path("outside");
    fs::create_dir(&outside)?;
    let target = outside.display().to_string();
    let site = Site::of(subject, SyntheticCluster::new(1).with_tablespace(16400, "/srv/fast"))?;
    let source = site.cluster.backup(3, 3);
    let record = site.take_with_wal(&source).await?;
    let options = RestoreOptions {
        tablespace_mapping: vec![("/srv/fast".into(), site.subject.path("fast"))],
        wal_directory: Some(site.subject.path("wal")),
        ..restore_options()
    };
    let file = |name: &str| member(name.as_bytes(), EntryType::Regular, "", 0);
    let directory = |name: &str| member(name.as_bytes(), EntryType::Directory, "", 0);
    let link = |name: &str| member(name.as_bytes(), EntryType::Symlink, &target, 0);
    let crafted = [
        vec![file("../outside/x")?],
        vec![file("base/../../outside/x")?],
        vec![file(&format!("{target}/x"))?],
        vec![file("pg_wal/../../outside/x")?],
        vec![file("pg_tblspc/16400/../../../outside/x")?],
        vec![directory("../outside/x")?],
        vec![directory("pg_wal/../../outside/x")?],
        vec![link("../outside/x")?],
        vec![link("base/link")?, file("base/link/x")?],
        vec![link("pg_wal/link")?, file("pg_wal/link/x")?],
        vec![link("pg_tblspc/link")?, file("pg_tblspc/link/x")?],
        vec![link("pg_tblspc/16401")?, file("pg_tblspc/16401/x")?],
        vec![link("pg_tblspc/16400/PG_15_202209061")?, file("pg_tblspc/16400/PG_15_202209061/x")?],
        vec![file("pg_tblspc/16400/x")?],
        vec![link("base/1")?, file("base/1/x")?],
    ];
    let tar = source.tar(&request(true))?;
    let object = format!("pg_basebackup_{}.tar.zst", record.key);
    for members in crafted {
        let tar = [&tar[..tar.len() - END_BYTES], &members.concat(), &[0; END_BYTES]].concat();
        put_again(&site, &record, &object, compress_frame(Format::Zstd.into(), &tar)?, tar.len()).await?;
        let pgdata = site.subject.new_path("pgdata");
        let error = refused(site.restore_into(BackupChoice::Key(record.key), &pgdata, &options).await);
        assert!(matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Failed), "{error}");
        assert_eq!(fs::read_dir(&outside)?.count(), 0, "{error}");
        let left = [pgdata, site.subject.path("fast"), site.subject.path("wal")];
        assert!(left.iter().all(|directory| !directory.exists()), "{error}");
    }
    Ok(())
}
