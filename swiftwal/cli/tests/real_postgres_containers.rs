//! Which containers the program creates in Swift and in Ceph, and where its credentials are visible.

use std::path::Path;

use anyhow::{Context, Result};
use xtask::{Container, Site, output, swift_test_setting};

const PROGRAM: &str = env!("CARGO_BIN_EXE_swiftwal");
/// The recommended credentials for a server: they are for one project, and can be revoked separately.
const APPLICATION_CREDENTIAL: [&str; 3] =
    ["OS_AUTH_URL", "OS_APPLICATION_CREDENTIAL_ID", "OS_APPLICATION_CREDENTIAL_SECRET"];

xtask::on_swift_and_on_ceph!(
    env!("CARGO_BIN_EXE_swiftwal"),
    archive_wal_makes_the_container_a_large_backup_that_of_the_segments_and_reading_neither,
    a_backup_makes_the_container_too_and_a_small_one_no_segments,
);

fn archive_wal_makes_the_container_a_large_backup_that_of_the_segments_and_reading_neither(
    site: &Site,
) -> Result<()> {
    let container = container(site)?;
    for command in [
        &["list-backups"][..],
        &["list-wal"],
        &["label", "latest"],
        &["restore", "latest", "restored"],
        &["restore-wal", "000000010000000000000001", "fetched"],
        &["prune", "--keep-backups", "1"],
        &["archive-cleanup", "000000010000000000000001"],
    ] {
        let output = output(&mut site.command(command))?;
        let complaint = String::from_utf8(output.stderr)?;
        assert!(!output.status.success() && complaint.contains(container.name()), "{command:?}: {complaint}");
    }
    assert_eq!((container.objects()?, container.segments()?), (None, None));

    site.postgres.archive_all()?;
    assert!(container.objects()?.is_some());
    assert_no_segments(container)?;

    // More than one part, whatever the compression.
    site.postgres.sql("create table noise as select gen_random_uuid() from generate_series(1, 1000000)")?;
    site.run(&["backup", "-c", "fast"])?;
    assert!(container.segments()?.context("a container of segments")?.len() > 1);
    Ok(())
}

fn a_backup_makes_the_container_too_and_a_small_one_no_segments(site: &Site) -> Result<()> {
    let container = container(site)?;
    site.postgres.archive_nothing()?;
    site.run(&["backup", "--xlog", "-c", "fast"])?;
    let stored = container.objects()?.context("a container")?;
    assert!(stored.iter().any(|name| name.ends_with(".tar.zst")), "{stored:?}");
    assert_no_segments(container)
}

/// On Ceph, the container of the segments is there all the same: the probe for create-only writes was made in it.
fn assert_no_segments(container: &Container) -> Result<()> {
    assert_eq!(container.segments()?.unwrap_or_default(), [""; 0]);
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL and Swift: run by cargo xtask test"]
fn credentials_in_the_configuration_file_reach_no_setting_and_no_log_of_the_server() -> Result<()> {
    are_hidden(application_credential()?)
}

#[test]
#[ignore = "needs PostgreSQL and Ceph: run by cargo xtask test"]
fn credentials_of_keystone_for_ceph_reach_no_setting_and_no_log_of_the_server() -> Result<()> {
    let url = ("OS_STORAGE_URL", swift_test_setting("CEPH_OS_STORAGE_URL")?);
    are_hidden([application_credential()?, vec![url]].concat())
}

fn application_credential() -> Result<Vec<(&'static str, String)>> {
    APPLICATION_CREDENTIAL.into_iter().map(|name| Ok((name, swift_test_setting(name)?))).collect()
}

fn are_hidden(settings: Vec<(&'static str, String)>) -> Result<()> {
    let site = Site::start_on_swift(Path::new(PROGRAM), settings)?;
    let secret = swift_test_setting("OS_APPLICATION_CREDENTIAL_SECRET")?;
    let said = site.run(&["-v", "backup", "-c", "fast"])?;
    site.postgres.archive_all()?;
    let restored = site.restore("restored", "latest", &[])?;
    restored.start()?;
    restored.wait_for_promotion()?;
    restored.archive_all()?;

    let mut texts = vec![said, site.postgres.log()?, restored.log()?];
    for server in [&site.postgres, &restored] {
        texts.push(server.sql("select string_agg(setting, ' ') from pg_settings")?);
    }
    assert!(texts[2].contains("restored log file"), "{}", texts[2]);
    assert!(texts.iter().all(|text| !text.contains(&secret)));
    Ok(())
}

fn container(site: &Site) -> Result<&Container> {
    site.swiftwal.place().container().context("a site on Swift has a container")
}
