//! list-backups, list-wal and label.

use std::fs;

use serde_json::{Value, json};
use swiftwal_core::{BackupChoice, BackupMode};

use crate::site::{Site, legacy_label, segment_name};

#[test]
fn wal_is_listed_one_name_a_line() {
    let site = Site::new();
    site.archive([2, 1]);
    site.write("pg_wal/00000002.history", "1\t0/3000000\tno recovery target specified\n");
    site.succeed(&["--compression", "none", "archive-wal", "pg_wal/00000002.history"]);
    let expected = format!("{}\n{}\n00000002.history\n", segment_name(1), segment_name(2));
    assert_eq!(site.succeed(&["list-wal"]), expected);
}

#[test]
fn with_vv_each_file_operation_of_a_directory_is_shown_with_its_bytes_and_time() {
    let site = Site::new();
    site.write("pg_wal/00000002.history", "1\t0/3000000\tno recovery target specified\n");
    let archive = |verbosity| {
        site.run(&[verbosity, "--compression", "none", "archive-wal", "pg_wal/00000002.history"]).stderr
    };
    assert!(!archive("-v").contains("WRITE "));
    let told = archive("-vv") + &site.run(&["-vv", "list-wal"]).stderr;
    for (begins, with) in [
        ("swiftwal: WRITE wal_00000002.history: exists, ", ""),
        ("swiftwal: READ wal_00000002.history: ", "bytes"),
        ("swiftwal: LIST ", "files"),
    ] {
        let is_told = |line: &str| line.starts_with(begins) && line.contains(with) && line.ends_with(" ms");
        assert!(told.lines().any(is_told), "{begins}: {told}");
    }
}

#[test]
fn verbosely_wal_is_a_table_with_sizes_and_their_total() {
    let site = Site::new();
    let history = format!("1\t0/3000000\t{:x>587}\n", "");
    assert_eq!(history.len(), 600);
    site.write("pg_wal/00000002.history", &history);
    site.write("pg_wal/00000003.history", &history);
    site.succeed(&["--compression", "none", "archive-wal", "pg_wal/00000002.history"]);
    site.succeed(&["--compression", "none", "archive-wal", "pg_wal/00000003.history"]);
    assert_eq!(
        site.succeed(&["list-wal", "-v"]),
        "Size       Object Name\n\
         ========== ====================\n\
         600 bytes  wal_00000002.history\n\
         600 bytes  wal_00000003.history\n\
         \n\
         Total Size: 1.17 KiB\n"
    );
    let mut listed: Value = serde_json::from_str(&site.succeed(&["list-wal", "--json"])).unwrap();
    for wal in listed.as_array_mut().unwrap() {
        let stored = wal.as_object_mut().unwrap().remove("stored").unwrap();
        stored.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    }
    assert_eq!(
        listed,
        json!([
            { "name": "00000002.history", "format": "none", "bytes": 600 },
            { "name": "00000003.history", "format": "none", "bytes": 600 },
        ])
    );
}

#[test]
fn backups_are_listed_oldest_first() {
    let site = Site::new();
    site.store_legacy_backup("20130828T1904Z", 3);
    site.store_legacy_backup("20130828T1810Z", 1);
    assert_eq!(site.succeed(&["list-backups"]), "20130828T1810Z\n20130828T1904Z\n");
}

#[test]
fn incremental_backups_are_listed_below_their_parents_and_a_missing_one_is_named() {
    let site = Site::new();
    let incremental = BackupMode::Incremental(BackupChoice::Latest);
    let full = site.store_backup();
    let [second, third] = [site.store_backup_as(incremental), site.store_backup_as(incremental)];
    let listed = site.succeed(&["list-backups", "-v"]);
    for row in [format!(" {full} "), format!("   {second} "), format!("     {third} ")] {
        assert!(listed.contains(&row), "{row}: {listed}");
    }
    assert_eq!(site.succeed(&["list-backups"]), format!("{full}\n{second}\n{third}\n"));
    let json = || serde_json::from_str::<Value>(&site.succeed(&["list-backups", "--json"])).unwrap();
    assert_eq!(json()[2]["chain"], json!([full, second, third]));
    assert_eq!(json()[2]["missing"], Value::Null);

    fs::remove_file(site.path(&format!("repository/pg_basebackup_{full}.json"))).unwrap();
    let said = site.run(&["list-backups"]).stderr;
    for key in [&second, &third] {
        let notice = format!("backup {key} can't be restored: backup {full}, on which it builds, is missing");
        assert!(said.contains(&notice), "{said}");
    }
    assert_eq!(json()[1]["missing"], json!(full));
}

#[test]
fn verbosely_backups_are_the_table_that_the_original_printed() {
    let site = Site::new();
    site.store_legacy_backup("20130828T1810Z", 1);
    let tgz = fs::File::options().write(true).open(site.object("pg_basebackup_20130828T1810Z.tgz")).unwrap();
    let label_bytes = fs::metadata(site.object("backup_label_20130828T1810Z.txt")).unwrap().len();
    tgz.set_len((3 << 20) - label_bytes).unwrap();
    assert_eq!(
        site.succeed(&["--verbose", "list-backups"]),
        "Size      Timestamp       Object Name\n\
         ========= =============== ================================\n\
         3.00 MiB  20130828T1810Z  pg_basebackup_20130828T1810Z.tgz\n\
         \n\
         Total Size: 3.00 MiB\n"
    );
}

#[test]
fn a_backup_whose_data_is_gone_is_listed_with_a_warning_that_names_it() {
    let site = Site::new();
    let key = site.store_backup();
    let whole = site.run(&["list-backups", "-v"]);
    assert_eq!((whole.code, whole.stderr.as_str()), (0, ""), "{whole:?}");
    fs::remove_file(site.object(&format!("pg_basebackup_{key}.tar.zst"))).unwrap();
    for arguments in [&["list-backups"][..], &["list-backups", "-v"]] {
        let ran = site.run(arguments);
        assert!(ran.stdout.contains(&key), "{ran:?}");
        assert!(ran.stderr.contains(&format!("pg_basebackup_{key}.tar")), "{ran:?}");
    }
}

#[test]
fn as_json_a_backup_comes_with_its_commit_record() {
    let site = Site::new();
    let key = site.store_backup();
    let backups: Value = serde_json::from_str(&site.succeed(&["--json", "list-backups"])).unwrap();
    assert_eq!(backups[0]["record"]["key"], key.as_str());
    assert_eq!(backups[0]["record"]["includes_wal"], true);
    let stored: u64 = site
        .stored()
        .iter()
        .filter(|(path, _)| !path.ends_with("cluster.json"))
        .map(|(_, content)| content.len() as u64)
        .sum();
    assert_eq!(backups[0]["bytes"], stored);
}

#[test]
fn a_damaged_record_is_reported_with_the_rest_and_the_exit_code_for_damage() {
    let site = Site::new();
    site.store_legacy_backup("20130828T1810Z", 1);
    let legacy: Value = serde_json::from_str(&site.succeed(&["--json", "list-backups"])).unwrap();
    assert_eq!(legacy[0]["key"], "20130828T1810Z");
    assert_eq!(legacy[0]["legacy"], true);
    let tgz = json!({ "name": "pg_basebackup_20130828T1810Z.tgz", "bytes": 2000 });
    assert!(legacy[0]["objects"].as_array().unwrap().contains(&tgz), "{legacy}");
    site.write("repository/pg_basebackup_20130828T1904Z.json", "{\"format\":1}");
    let ran = site.run(&["--json", "list-backups"]);
    let both: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, &both[0]), (3, &legacy[0]));
    assert!(
        both[1]["error"].as_str().unwrap().contains("pg_basebackup_20130828T1904Z.json is damaged"),
        "{both}"
    );
    let ran = site.run(&["list-backups"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (3, "20130828T1810Z\n20130828T1904Z\n"));
    assert!(ran.stderr.contains("pg_basebackup_20130828T1904Z.json is damaged"), "{ran:?}");
}

#[test]
fn with_a_damaged_cluster_json_the_list_is_complete_and_ends_with_the_code_for_damage() {
    let site = Site::new();
    let keys = [site.store_backup(), site.store_backup()];
    site.write("repository/cluster.json", "{");
    let ran = site.run(&["list-backups"]);
    assert_eq!((ran.code, ran.stdout), (3, format!("{}\n{}\n", keys[0], keys[1])));
    // The record is read once, and named once.
    assert_eq!(ran.stderr.matches(" is damaged").count(), 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("cluster.json in file://"), "{}", ran.stderr);
    let ran = site.run(&["-vv", "--json", "list-backups"]);
    assert_eq!(ran.stderr.matches("READ cluster.json").count(), 1, "{}", ran.stderr);
    let backups: Value = serde_json::from_str(&ran.stdout).unwrap();
    for (backup, key) in backups.as_array().unwrap().iter().zip(&keys) {
        assert_eq!(backup["record"]["key"], key.as_str());
    }
}

#[test]
fn a_label_in_another_encoding_is_printed_as_it_was_stored() {
    let site = Site::new();
    site.store_legacy_backup("20130828T1810Z", 1);
    let label = [legacy_label(1).trim_end().as_bytes(), b" caf\xe9\n"].concat();
    fs::write(site.object("backup_label_20130828T1810Z.txt"), &label).unwrap();
    assert_eq!(site.command(&["label", "latest"]).output().unwrap().stdout, label);
}

#[test]
fn the_unique_beginning_of_a_key_is_enough_and_another_is_told_with_what_it_may_mean() {
    let site = Site::new();
    site.store_legacy_backup("20130828T1810Z", 1);
    site.store_legacy_backup("20130829T1125Z", 2);
    site.store_legacy_backup("20130829T112542Z", 3);
    for (beginning, number) in
        [("20130828", 1), ("20130828t18", 1), ("20130829T1125", 2), ("20130829T11254", 3)]
    {
        assert_eq!(site.succeed(&["label", beginning]), legacy_label(number), "{beginning}");
    }
    let told = |beginning: &str| {
        let ran = site.run(&["label", beginning]);
        assert_eq!(ran.code, 1, "{ran:?}");
        ran.stderr
    };
    let several = told("20130829");
    assert!(several.contains("the keys of 2 backups in file://"), "{several}");
    assert!(
        several.ends_with(
            "begin with 20130829: 20130829T1125Z, 20130829T112542Z; give a longer prefix of the key\n"
        ),
        "{several}"
    );
    let none = told("2014");
    assert!(none.contains("there is no backup 2014 in "), "{none}");
    let ran = site.run(&["restore", "2014", "data"]);
    assert!(ran.code == 1 && ran.stderr.contains("there is no backup 2014 in "), "{ran:?}");
}

#[test]
fn the_unique_beginning_of_a_key_restores_that_backup() {
    let site = Site::new();
    let key = site.store_backup();
    let told = site.succeed(&["restore", &key[..6], "data"]);
    assert!(told.starts_with(&format!("Restored {key} into data")), "{told}");
}

#[test]
fn a_label_is_printed_as_it_was_stored_under_its_key_in_any_spelling() {
    let site = Site::new();
    site.store_legacy_backup("20130828T1810Z", 1);
    for key in ["20130828T1810Z", "20130828t1810", "latest"] {
        assert_eq!(site.succeed(&["label", key]), legacy_label(1), "{key}");
    }
    let ran = site.run(&["label", "20130828T1811Z"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.contains("20130828T1811Z") && ran.stderr.contains("there is 20130828T1810Z"),
        "{ran:?}"
    );
}

/// A valid commit record with this key and this cluster.
fn record(key: &str, system_identifier: &str, kind: &str) -> String {
    let backup = json!({
        "key": key, "kind": kind, "label": "nightly", "started": "2013-08-28T18:10:42Z",
        "finished": "2013-08-28T18:12:00Z", "system_identifier": system_identifier, "postgres_version": "15",
        "wal_segment_bytes": 16_777_216, "timeline": 1, "start_lsn": "0/3000028", "stop_lsn": "0/3000100",
        "first_wal": "000000010000000000000003", "last_wal": "000000010000000000000003", "includes_wal": true,
        "objects": [], "written_by": "a test",
    });
    let blake3 = blake3::hash(backup.to_string().as_bytes()).to_hex();
    format!("{{\"format\":1,\"blake3\":\"{blake3}\",\"backup\":{backup}}}")
}

#[test]
fn a_record_that_is_not_of_this_repository_is_named_and_not_listed() {
    let site = Site::new();
    site.archive([1]);
    let cluster: Value = serde_json::from_slice(&fs::read(site.object("cluster.json")).unwrap()).unwrap();
    let ours = cluster["system_identifier"].as_str().unwrap();
    for (name, content) in [
        ("20130828T1810Z", record("20130828T1810Z", ours, "full")),
        ("20130829T1810Z", record("20130828T1810Z", ours, "full")),
        ("20130830T1810Z", record("20130830T1810Z", "42", "full")),
        ("20130831T1810Z", record("20130831T1810Z", ours, "differential")),
    ] {
        fs::write(site.object(&format!("pg_basebackup_{name}.json")), content).unwrap();
    }
    let ran = site.run(&["list-backups"]);
    assert_eq!((ran.code, &ran.stdout[..]), (4, "20130828T1810Z\n20130831T1810Z\n"), "{ran:?}");
    for named in ["20130829T1810Z", "20130830T1810Z", "42", "differential"] {
        assert!(ran.stderr.contains(named), "{named}: {ran:?}");
    }
}

#[test]
fn a_backup_whose_later_wal_is_missing_is_shown_as_only_itself() {
    let site = Site::new();
    site.archive([1]);
    let cluster: Value = serde_json::from_slice(&fs::read(site.object("cluster.json")).unwrap()).unwrap();
    let ours = cluster["system_identifier"].as_str().unwrap();
    let key = "20130828T1810Z";
    fs::write(site.object(&format!("pg_basebackup_{key}.json")), record(key, ours, "full")).unwrap();
    for (segment, is_alone) in [(3, false), (5, true), (6, true), (4, false)] {
        fs::write(site.object(&format!("wal_{}", segment_name(segment))), "x").unwrap();
        let listed: Value = serde_json::from_str(&site.succeed(&["--json", "list-backups"])).unwrap();
        assert_eq!(listed[0]["only_itself"], is_alone, "{segment}");
        let ran = site.run(&["-v", "list-backups"]);
        assert_eq!(ran.stderr.contains("only to its own end"), is_alone, "{ran:?}");
    }
}

#[test]
fn what_a_newer_version_requires_stops_a_list() {
    let site = Site::new();
    site.archive([1]);
    let cluster = fs::read_to_string(site.object("cluster.json")).unwrap();
    let newer = cluster.replacen('{', "{\"requires\": [\"encryption\"],", 1);
    fs::write(site.object("cluster.json"), newer).unwrap();
    for command in ["list-backups", "list-wal"] {
        let ran = site.run(&[command]);
        assert!(ran.code != 0 && ran.stdout.is_empty(), "{ran:?}");
        assert!(ran.stderr.contains("cluster.json") && ran.stderr.contains("encryption"), "{ran:?}");
    }
}
