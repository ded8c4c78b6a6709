//! Several timelines in one repository: the messages, and how one is discarded.

use std::fs;

use serde_json::Value;
use swiftwal_conformance::SyntheticCluster;

use crate::site::Site;

/// A backup on timeline 1, and timeline 2 of a copy that branched off before its end and archived one segment.
fn site() -> (Site, String) {
    let site = Site::new();
    let key = site.store_backup();
    let (production, copy) = (SyntheticCluster::new(1), SyntheticCluster::new(1).promoted());
    let (history, text) = copy.history(&[(production.timeline(), 4)]);
    archive(&site, &history.to_string(), text.as_bytes());
    archive(&site, &copy.wal_name(4).to_string(), &copy.segment(4));
    archive(&site, &production.wal_name(5).to_string(), &production.segment(5));
    (site, key)
}

fn archive(site: &Site, name: &str, content: &[u8]) {
    let path = format!("pg_wal/{name}");
    site.write(&path, content);
    site.succeed(&["archive-wal", &path]);
}

#[test]
fn timelines_are_listed_with_what_lies_on_each() {
    let (site, key) = site();
    let listed = site.succeed(&["timeline", "list"]);
    let rows: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[2][..5], ["1", "-", "-", &key, "000000010000000000000005"], "{listed}");
    assert_eq!(rows[3][..5], ["2", "1", "0/400000", "-", "000000020000000000000004"], "{listed}");
    let listed: Value = serde_json::from_str(&site.succeed(&["--json", "timeline", "list"])).unwrap();
    assert_eq!(listed[1]["timeline"], 2);
    assert_eq!(listed[1]["parent"], 1);
    assert_eq!(listed[1]["branched_off_at"], "0/400000");
    assert_eq!(listed[1]["newest_backup"], Value::Null);
    assert_eq!(listed[0]["newest_backup"], key.as_str());
    assert!(listed[0]["last_wal_stored"].is_string(), "{listed}");
}

#[test]
fn a_restore_that_a_person_must_decide_on_shows_the_options_and_writes_nothing() {
    let (site, key) = site();
    let ran = site.run(&["restore", "latest", "data"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
    for told in [
        &key,
        "restore latest --target-timeline 1",
        "timeline 2, branched off timeline 1 at 0/400000",
        "no backup leads there",
        "swiftwal timeline discard",
    ] {
        assert!(ran.stderr.contains(told), "{told} isn't in: {}", ran.stderr);
    }
    assert!(!site.path("data").exists());
    let ran = site.run(&["restore", "latest", "data", "--target-timeline", "1"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let followed = "swiftwal: recovery follows timeline 1: newest backup ";
    assert!(ran.stderr.contains(followed) && ran.stderr.contains("000000010000000000000005"), "{ran:?}");
    assert!(ran.stderr.contains("swiftwal: not followed: timeline 2, branched off timeline 1 at 0/400000"));
    let settings = fs::read_to_string(site.path("data/postgresql.auto.conf")).unwrap();
    assert!(settings.contains("recovery_target_timeline = '1'"), "{settings}");
}

#[test]
fn a_timeline_is_discarded_only_if_that_is_confirmed() {
    let (site, _) = site();
    let before = site.stored();
    let told = "Timeline 2, branched off timeline 1 at 0/400000: no backup, WAL up to 000000020000000000000004, stored ";
    let ran = site.run(&["timeline", "discard", "2"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.starts_with(told), "{ran:?}");
    assert!(
        ran.stdout.ends_with(
            "Removing 1 WAL file, 000000020000000000000004\nRemoving 1 timeline history, 00000002.history\n"
        ),
        "{ran:?}"
    );
    assert_eq!(ran.stderr.lines().last(), Some("swiftwal: nothing was removed; to remove it, add --yes"));
    assert_eq!(site.stored(), before);

    let plan: Value = serde_json::from_str(&site.succeed(&["--json", "timeline", "discard", "2"])).unwrap();
    assert_eq!((&plan["dry_run"], &plan["branch"]["timeline"]), (&true.into(), &2.into()), "{plan}");
    let done = site.run(&["timeline", "discard", "2", "--yes"]);
    assert_eq!((done.code, done.stdout), (0, ran.stdout), "{}", done.stderr);
    assert_eq!(site.succeed(&["list-wal"]), "000000010000000000000005\n");
    site.succeed(&["restore", "latest", "data"]);
}

#[test]
fn a_damaged_history_is_not_reported_as_missing() {
    let (site, _) = site();
    let history = site.object("wal_00000002.history.zst");
    fs::write(&history, "damaged").unwrap();
    let told = site.succeed(&["timeline", "discard", "2"]);
    assert!(told.starts_with("Timeline 2, whose history is damaged: no backup, WAL up to "), "{told}");
    fs::remove_file(history).unwrap();
    let told = site.succeed(&["timeline", "discard", "2"]);
    assert!(told.starts_with("Timeline 2, whose history is missing: no backup, WAL up to "), "{told}");
}

#[test]
fn a_timeline_that_a_backup_needs_is_not_discarded() {
    let (site, key) = site();
    let before = site.stored();
    for (arguments, code, told) in [
        (&["timeline", "discard", "1", "--yes"][..], 1, key.as_str()),
        (&["timeline", "discard", "7", "--yes"], 1, "there are 1, 2"),
        (&["timeline", "discard", "latest"], 2, "latest"),
        (&["timeline", "discard"], 2, "TIMELINE"),
        (&["timeline"], 2, "discard"),
    ] {
        let ran = site.run(arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(told), "{arguments:?}: {ran:?}");
    }
    assert_eq!(site.stored(), before);
}

#[test]
fn what_is_not_permitted_is_not_said_to_be_removed() {
    let (site, _) = site();
    // From now on nothing can be stored under this name, as in a read-only repository.
    fs::create_dir(site.object("...removing")).unwrap();
    for arguments in [
        &["prune", "--keep-backups", "1"][..],
        &["archive-cleanup", "--ignore-backups", "000000010000000000000009"],
        &["timeline", "discard", "2", "--yes"],
    ] {
        let before = site.stored();
        if arguments[0] == "prune" {
            site.write("repository/...deleting/20130828T1810Z", "");
        }
        let ran = site.run(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains("can't remove"), "{arguments:?}: {ran:?}");
        let _ = fs::remove_dir_all(site.object("...deleting"));
        assert_eq!(site.stored(), before);
    }
}
