//! keep, unkeep and delete.

use serde_json::{Value, json};
use swiftwal_core::{BackupChoice, BackupMode};

use crate::site::Site;

const OLD: &str = "20130828T1524Z";
const NEW: &str = "20130828T1904Z";

/// A repository with two backups of SwiftWAL 0.2.2.
fn site() -> Site {
    let site = Site::new();
    site.archive(1..=9);
    for (key, segment) in [(OLD, 3), (NEW, 8)] {
        site.store_legacy_backup(key, segment);
    }
    site
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_pinned_backup_stays_and_is_shown_as_such_until_it_is_unpinned() {
    let site = site();
    assert_eq!(
        site.succeed(&["keep", OLD, "--until", "2999-12-31", "--reason", "before the migration"]),
        format!("Keeping backup {OLD} until 2999-12-31T00:00:00Z\n")
    );
    let pinned = "pinned until 2999-12-31T00:00:00Z (before the migration)";
    let listed = site.run(&["-v", "list-backups"]);
    assert!(listed.stderr.contains(&format!("backup {OLD} is {pinned}\n")), "{listed:?}");
    let entry = &json(&site.succeed(&["--json", "list-backups"]))[0]["pin"];
    assert_eq!((&entry["reason"], &entry["expired"]), (&json!("before the migration"), &json!(false)));
    let told = site.succeed(&["-v", "prune", "--keep-backups", "1"]);
    assert!(told.contains(&format!("  {OLD}: {pinned}\n")), "{told}");

    assert_eq!(json(&site.succeed(&["--json", "keep", &OLD[..11]]))["key"], OLD);
    assert_eq!(site.succeed(&["keep", "latest"]), format!("Keeping backup {NEW} until it is unpinned\n"));
    assert_eq!(site.succeed(&["unkeep", OLD]), format!("Backup {OLD} is no longer pinned\n"));
    assert_eq!(site.succeed(&["unkeep", OLD]), format!("Backup {OLD} wasn't pinned\n"));
    assert_eq!(json(&site.succeed(&["--json", "unkeep", NEW])), json!({ "key": NEW, "was_pinned": true }));
    assert!(json(&site.succeed(&["--json", "list-backups"]))[0].get("pin").is_none());
    site.succeed(&["prune", "--keep-backups", "1"]);
    assert_eq!(site.succeed(&["list-backups"]), format!("{NEW}\n"));
}

#[test]
fn an_expired_pin_is_shown_as_such_and_keeps_nothing() {
    let site = site();
    let content =
        format!(r#"{{"key":"{OLD}","since":"2013-08-29T09:12:00Z","until":"2014-01-01T00:00:00Z"}}"#);
    let hash = blake3::hash(content.as_bytes()).to_hex();
    let pin = format!(r#"{{"format":1,"blake3":"{hash}","content":{content}}}"#);
    site.write(&format!("repository/keep_{OLD}.json"), pin);
    let listed = site.run(&["-v", "list-backups"]);
    assert!(
        listed.stderr.contains(&format!("the pin of backup {OLD} expired on 2014-01-01T00:00:00Z")),
        "{listed:?}"
    );
    assert_eq!(json(&site.succeed(&["--json", "list-backups"]))[0]["pin"]["expired"], true);
    let ran = site.run(&["prune", "--keep-backups", "1"]);
    assert!(ran.stderr.contains(&format!("the pin of backup {OLD} has expired on 2014-01-01")), "{ran:?}");
    assert_eq!(site.succeed(&["list-backups"]), format!("{NEW}\n"));
    assert!(!site.object(&format!("keep_{OLD}.json")).exists());
}

#[test]
fn what_can_not_be_pinned_is_refused() {
    let site = site();
    let before = site.stored();
    for (arguments, code, told) in [
        (&["keep", OLD, "--until", "2014-01-01"][..], 2, "by the storage's clock"),
        (&["keep", OLD, "--until", "soon"], 2, "2027-01-31T12:00:00Z"),
        (&["keep", "20130829T1524Z"], 1, "20130829T1524Z"),
        (&["unkeep", "20130829T1524Z"], 1, "20130829T1524Z"),
        (&["keep"], 2, "KEY|latest"),
    ] {
        let ran = site.run(arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(told), "{arguments:?}: {ran:?}");
    }
    assert_eq!(site.stored(), before);
}

#[test]
fn a_backup_is_deleted_only_with_yes_and_only_if_nothing_needs_it() {
    let site = Site::new();
    let full = site.store_backup();
    let child = site.store_backup_as(BackupMode::Incremental(BackupChoice::Latest));
    let before = site.stored();
    let ran = site.run(&["delete", &child]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.starts_with(&format!("Removing 1 backup, {child}, ")), "{ran:?}");
    assert!(ran.stderr.ends_with("swiftwal: nothing was removed; to remove it, add --yes\n"), "{ran:?}");
    let plan = json(&site.succeed(&["--json", "delete", &child]));
    assert_eq!((&plan["dry_run"], &plan["key"]), (&json!(true), &json!(child)));
    for (arguments, code, told) in [
        (&["delete", &full, "--yes"][..], 1, child.as_str()),
        (&["delete", "latest", "--yes"], 2, "give the key"),
        (&["delete", "20130829T1524Z", "--yes"], 1, "20130829T1524Z"),
    ] {
        let ran = site.run(arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(told), "{arguments:?}: {ran:?}");
    }
    assert_eq!(site.stored(), before);
    site.succeed(&["delete", &child, "--yes"]);
    assert_eq!(site.succeed(&["list-backups"]), format!("{full}\n"));
    let ran = site.run(&["delete", &full, "--yes"]);
    assert!(ran.code == 0 && ran.stderr.contains("is the only backup"), "{ran:?}");
    assert_eq!(site.succeed(&["list-backups"]), "");
}
