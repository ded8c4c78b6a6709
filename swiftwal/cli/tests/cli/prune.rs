//! prune and archive-cleanup.

use serde_json::Value;

use crate::site::{Site, segment_name};

/// A repository with four backups, and segments from before the first to after the last.
fn site() -> Site {
    let site = Site::new();
    site.archive(1..=9);
    for (key, segment) in
        [("20130828T1524Z", 3), ("20130828T1528Z", 5), ("20130828T1530Z", 6), ("20130828T1904Z", 8)]
    {
        site.store_legacy_backup(key, segment);
    }
    site
}

const PLAN: &str = "\
Removing 1 backup, 20130828T1524Z
Keeping 3 backups, 20130828T1528Z -> 20130828T1904Z

Removing 4 WAL files, 000000010000000000000001 -> 000000010000000000000004
Keeping 5 WAL files, 000000010000000000000005 -> 000000010000000000000009
";

#[test]
fn prune_prints_the_lines_of_the_original_and_does_what_they_say() {
    let site = site();
    assert_eq!(site.succeed(&["prune", "--keep-backups", "3", "--keep-wal", "0"]), PLAN);
    assert_eq!(site.succeed(&["list-backups"]), "20130828T1528Z\n20130828T1530Z\n20130828T1904Z\n");
    let kept: String = (5..=9).map(|number| segment_name(number) + "\n").collect();
    assert_eq!(site.succeed(&["list-wal"]), kept);
    let again = site.succeed(&["cleanup", "--keep-backups=3"]);
    assert!(again.starts_with("Removing 0 backups\nKeeping 3 backups, "), "{again}");
    assert!(again.contains("\n\nRemoving 0 WAL files\nKeeping 5 WAL files, "), "{again}");
}

#[test]
fn a_dry_run_prints_the_same_and_says_that_it_removes_nothing() {
    let site = site();
    let before = site.stored();
    let ran = site.run(&["prune", "--keep-backups", "3", "-n"]);
    let reasons = "  20130828T1528Z: newest 3\n  20130828T1530Z: newest 3\n  20130828T1904Z: newest 3\n";
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (0, PLAN.replacen("\n\n", &format!("\n{reasons}\n"), 1).as_str())
    );
    assert_eq!(ran.stderr.lines().last(), Some("swiftwal: nothing was removed (-n)"));
    let plan: Value =
        serde_json::from_str(&site.succeed(&["--json", "prune", "--keep-backups", "3", "-n"])).unwrap();
    assert_eq!(plan["dry_run"], true);
    assert_eq!(plan["remove_backups"], serde_json::json!(["20130828T1524Z"]));
    assert_eq!(plan["kept_for"]["20130828T1904Z"], serde_json::json!(["newest 3"]));
    assert_eq!(site.stored(), before);
}

#[test]
fn the_rules_combine_and_a_dry_run_says_what_each_backup_is_kept_for() {
    let site = Site::new();
    site.archive(1..=9);
    for (key, segment) in [
        ("20130630T2330Z", 2),
        ("20130701T2230Z", 3),
        ("20130731T0300Z", 5),
        ("20130731T2330Z", 6),
        ("20130803T0300Z", 8),
    ] {
        site.store_legacy_backup(key, segment);
    }
    let rules =
        ["prune", "-n", "--keep-daily", "2", "--keep-monthly=3", "--keep-within", "3d", "--min-backups", "1"];
    let of_utc = site.succeed(&rules);
    let expected = "\
Removing 2 backups, 20130701T2230Z -> 20130731T0300Z
Keeping 3 backups, 20130630T2330Z -> 20130803T0300Z
  20130630T2330Z: monthly 2013-06
  20130731T2330Z: daily 2013-07-31, monthly 2013-07
  20130803T0300Z: newest before the last 3 days, daily 2013-08-03, monthly 2013-08
";
    assert!(of_utc.starts_with(expected), "{of_utc}");
    let in_zone = site.succeed(&[&rules[..], &["--time-zone", "Europe/Zurich"]].concat());
    assert!(in_zone.contains("20130731T2330Z: daily 2013-08-01\n"), "{in_zone}");
    assert!(in_zone.contains("20130731T0300Z: monthly 2013-07\n"), "{in_zone}");
    assert!(!in_zone.contains("20130630T2330Z:"), "in Zurich it is of July: {in_zone}");
}

#[test]
fn a_pinned_backup_and_the_only_proven_one_stay() {
    let site = site();
    let store = |name: &str, content: &str| {
        let hash = blake3::hash(content.as_bytes()).to_hex();
        let object = format!("{{\"format\":1,\"blake3\":\"{hash}\",\"content\":{content}}}");
        site.write(&format!("repository/{name}"), object);
    };
    store(
        "keep_20130828T1524Z.json",
        r#"{"key":"20130828T1524Z","since":"2013-08-29T09:12:00Z","reason":"before the migration"}"#,
    );
    store(
        "verify_20130828T1528Z.json",
        r#"{"key":"20130828T1528Z","kind":"verify","at":"2013-08-29T09:12:00Z","verdict":"passed","seconds":1.5}"#,
    );
    let told = site.succeed(&["-v", "prune", "--keep-backups", "1"]);
    for line in [
        "\n  20130828T1524Z: pinned (before the migration)\n",
        "\n  20130828T1528Z: the only proven backup\n",
        "\n  20130828T1904Z: newest 1\n",
    ] {
        assert!(told.contains(line), "{told}");
    }
    assert_eq!(site.succeed(&["list-backups"]), "20130828T1524Z\n20130828T1528Z\n20130828T1904Z\n");
}

#[test]
fn the_newest_segments_stay_if_that_is_asked_for() {
    let told = site().succeed(&["prune", "--keep-backups=1", "--keep-wals=7"]);
    assert!(
        told.contains("Removing 2 WAL files, 000000010000000000000001 -> 000000010000000000000002\n"),
        "{told}"
    );
}

#[test]
fn to_keep_no_backup_is_refused_and_nothing_is_removed() {
    let site = site();
    let before = site.stored();
    for (arguments, hint) in [
        (&["prune", "--keep-backups", "0"][..], "would remove every backup"),
        (&["prune"], "--keep-backups"),
        (&["prune", "--keep-wals", "3"], "--keep-within"),
        (&["prune", "--min-backups", "3"], "--keep-daily"),
        (&["prune", "--keep-within", "a month"], "90s, 5min, 2h or 1d"),
        (&["prune", "--keep-weekly", "0"], "it must be at least 1"),
        (&["prune", "--keep-daily", "7", "--time-zone", "Mars/Olympus"], "Europe/Zurich"),
        (&["prune", "--keep-backups", "-1"], "-1"),
    ] {
        let ran = site.run(arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(hint), "{arguments:?}: {ran:?}");
    }
    assert_eq!(site.stored(), before);
}

#[test]
fn without_any_backup_wal_is_not_pruned_but_leftovers_are_swept() {
    let site = Site::new();
    site.archive([1]);
    site.write("repository/...deleting/20130828T1810Z", "");
    for (arguments, leftover) in
        [(&["prune", "--keep-backups", "1", "-n"][..], true), (&["prune", "--keep-backups", "1"], false)]
    {
        let ran = site.run(arguments);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.stderr.contains("there is no backup"), "{ran:?}");
        assert!(ran.stdout.contains("Removing 1 leftover of interrupted commands"), "{ran:?}");
        assert_eq!(site.object("...deleting/20130828T1810Z").exists(), leftover);
    }
    assert_eq!(site.succeed(&["list-wal"]), segment_name(1) + "\n");
}

#[test]
fn archive_cleanup_keeps_what_backups_need_unless_told_otherwise() {
    let site = site();
    let oldest = segment_name(7);
    let before = site.stored();
    let ran = site.run(&["archive-cleanup", "-n", &oldest]);
    let names: String = (1..=2).map(|number| segment_name(number) + "\n").collect();
    assert_eq!((ran.code, ran.stdout.as_str()), (0, names.as_str()));
    assert_eq!(
        ran.stderr,
        "swiftwal: Removing 2 WAL files, 000000010000000000000001 -> 000000010000000000000002\n\
         swiftwal: Keeping 4 WAL files that backups need\n\
         swiftwal: nothing was removed (-n)\n"
    );
    assert_eq!(site.stored(), before);
    let ran = site.run(&["-v", "archive-cleanup", &oldest]);
    assert!(ran.code == 0 && ran.stdout == names && !ran.stderr.contains("nothing was removed"), "{ran:?}");
    assert!(site.succeed(&["list-wal"]).starts_with(&segment_name(3)));
    let partial = format!("{oldest}.partial");
    assert_eq!(
        site.succeed(&["archive-cleanup", "--ignore-backups", &partial]),
        "Removing 4 WAL files, 000000010000000000000003 -> 000000010000000000000006\n\
         Keeping 0 WAL files that backups need\n"
    );
    assert!(site.succeed(&["list-wal"]).starts_with(&oldest));
}
