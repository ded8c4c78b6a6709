//! check, without a server.

use std::{fs, time::SystemTime};

use serde_json::Value;

use crate::site::Site;

/// Returns the state of each check.
fn states(site: &Site, arguments: &[&str]) -> (i32, Vec<(String, String)>) {
    let ran = site.run(&[&["--json", "check", "--no-server"], arguments].concat());
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let checks = document["checks"].as_array().unwrap().iter();
    (ran.code, checks.map(|check| (text(&check["name"]), text(&check["state"]))).collect())
}

fn state<'a>(checks: &'a [(String, String)], name: &str) -> &'a str {
    checks.iter().find(|(of, _)| of == name).map_or("absent", |(_, state)| state)
}

#[test]
fn a_repository_that_works_has_a_line_for_each_check_and_is_left_as_it_was() {
    let site = Site::new();
    site.store_backup();
    let stored = site.stored();
    let text = site.succeed(&["check", "--no-server"]);
    for line in [
        "ok       writing        an object was stored, read, listed and deleted, and wasn't overwritten",
        "ok       clock          this machine's clock agrees with the storage's",
    ] {
        assert!(text.lines().any(|told| told == line), "{text}");
    }
    let (code, checks) = states(&site, &[]);
    assert_eq!((code, state(&checks, "storage")), (0, "ok"), "{checks:?}");
    let (_, checks) = states(&site, &["--no-write"]);
    assert_eq!(state(&checks, "writing"), "skipped", "{checks:?}");
    assert_eq!(site.stored(), stored);
}

#[test]
fn what_does_not_exist_yet_is_a_warning_and_what_is_damaged_a_failure() {
    let site = Site::new();
    let (code, checks) = states(&site, &[]);
    assert_eq!((code, state(&checks, "storage")), (0, "warning"), "{checks:?}");
    assert_eq!(
        (state(&checks, "writing"), state(&checks, "restoring")),
        ("skipped", "skipped"),
        "{checks:?}"
    );
    site.archive([1, 2]);
    fs::write(site.object("cluster.json"), "{").unwrap();
    let (code, checks) = states(&site, &[]);
    assert_eq!((code, state(&checks, "content")), (1, "failed"), "{checks:?}");
}

#[test]
fn a_repository_that_has_vanished_is_a_failure_with_its_way_out() {
    let site = Site::new();
    site.archive([1]);
    site.move_repository_away();
    let ran = site.run(&["check", "--no-server"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stdout.contains("\nfailed   storage ") && ran.stdout.contains(" -> "), "{ran:?}");
}

#[test]
fn canaries_that_a_killed_check_left_are_removed_an_hour_later() {
    let site = Site::new();
    site.archive([1]);
    let (old, young) = (site.object("...check/old"), site.object("...check/young"));
    fs::create_dir_all(old.parent().unwrap()).unwrap();
    for canary in [&old, &young] {
        fs::write(canary, "").unwrap();
    }
    fs::File::options().append(true).open(&old).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    site.succeed(&["check", "--no-server"]);
    assert!(!old.exists() && young.exists());
}
