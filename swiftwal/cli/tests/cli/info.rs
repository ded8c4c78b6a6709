//! info.

use std::fs;

use serde_json::{Value, json};
use swiftwal_conformance::SyntheticCluster;
use swiftwal_core::{BackupChoice, BackupMode};

use crate::site::{Site, run, segment_name};

#[test]
fn a_chain_and_a_hole_are_shown_and_both_names_of_the_command_work() {
    let site = Site::new();
    let full = site.store_backup();
    let incremental = site.store_backup_as(BackupMode::Incremental(BackupChoice::Latest));
    let cluster = SyntheticCluster::new(1);
    for number in [4, 5, 8] {
        let path = format!("pg_wal/{}", segment_name(number));
        site.write(&path, cluster.segment(number.into()));
        site.succeed(&["archive-wal", &path]);
    }
    let told = site.succeed(&["info"]);
    for line in [
        format!("  {full}  full, "),
        format!("    {incremental}  incremental on {full}, "),
        format!("  WAL {} to {}", segment_name(4), segment_name(8)),
        format!("  MISSING {} to {}", segment_name(6), segment_name(7)),
        "    label: made up".to_owned(),
        "    never verified or drilled".to_owned(),
    ] {
        assert!(told.lines().any(|told| told.starts_with(&line)), "{line}: {told}");
    }
    assert!(told.lines().all(|line| line.chars().count() <= 80), "{told}");
    assert_eq!(site.succeed(&["status"]).lines().count(), told.lines().count());
    let report: Value = serde_json::from_str(&site.succeed(&["info", "--json"])).unwrap();
    assert_eq!(report["backups"][1]["chain"], json!([full, incremental]));
    assert_eq!(report["timelines"][0]["holes"][0]["segments"], 2);
    assert_eq!(report["ready"], Value::Null);
}

#[test]
fn what_waits_in_the_data_directory_is_counted() {
    let site = Site::new();
    site.archive([1]);
    let ran = site.run(&["info", "--pgdata", "data"]);
    assert_eq!((ran.code, &ran.stdout[..]), (1, ""), "{ran:?}");
    assert!(ran.stderr.contains("can't read data/pg_wal/archive_status"), "{ran:?}");
    for name in ["a.ready", "b.ready", "c.done"] {
        site.write(&format!("data/pg_wal/archive_status/{name}"), "");
    }
    let told = site.succeed(&["info", "-D", "data"]);
    assert!(told.contains("\nWaiting     2 WAL files to be archived, the oldest for "), "{told}");
    let from_environment = run(site.command(&["info", "--json"]).env("PGDATA", "data"));
    let report: Value = serde_json::from_str(&from_environment.stdout).unwrap();
    assert_eq!((&report["ready"]["files"], &report["ready"]["data_directory"]), (&json!(2), &json!("data")));
}

#[test]
fn a_repository_without_a_backup_is_reported_and_a_place_without_a_repository_is_refused() {
    let site = Site::new();
    site.archive([1]);
    let told = site.succeed(&["info"]);
    assert!(told.contains("not possible: there is no backup") && told.ends_with("\nNo backup\n"), "{told}");
    site.move_repository_away();
    fs::create_dir(site.path("repository")).unwrap();
    let ran = site.run(&["info"]);
    assert_eq!((ran.code, &ran.stdout[..]), (1, ""), "{ran:?}");
    assert!(ran.stderr.contains("contains no repository"), "{ran:?}");
}

#[test]
fn damage_is_named_beside_the_report_and_is_the_exit_code() {
    let site = Site::new();
    let keys = [site.store_backup(), site.store_backup()];
    site.write(&format!("repository/pg_basebackup_{}.json", keys[0]), "{");
    let ran = site.run(&["info", "--json"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stderr.contains(&format!("pg_basebackup_{}.json is damaged", keys[0])), "{ran:?}");
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["backups"][1]["problem"], Value::Null);
    let text = site.run(&["info"]);
    assert!(text.code == 3 && text.stdout.contains("CAN'T BE RESTORED: pg_basebackup_"), "{text:?}");
}
