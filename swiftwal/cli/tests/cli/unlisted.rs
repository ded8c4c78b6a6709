//! A repository's directory that can't be listed, as with mode 0311: objects can still be opened by name.

use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::Command,
};

use crate::site::{Ran, Site, run, segment, segment_name};

/// The id of a user without privileges and without a name.
const STRANGER: u32 = 54_321;

/// Gives `path` and everything below it to that user, who can't ignore file modes. Only root can do that.
fn give_away(path: &Path) {
    chown(path, Some(STRANGER), None).unwrap();
    for entry in fs::read_dir(path).into_iter().flatten() {
        give_away(&entry.unwrap().path());
    }
}

/// A repository whose objects can only be opened by name. `run_without_rights` runs the program there.
fn unlisted(fill: impl FnOnce(&Site)) -> Site {
    let site = Site::new();
    fill(&site);
    fs::copy(env!("CARGO_BIN_EXE_swiftwal"), site.path("swiftwal")).unwrap();
    if fs::metadata(site.path("")).unwrap().uid() == 0 {
        give_away(&site.path(""));
    }
    fs::set_permissions(site.path("repository"), Permissions::from_mode(0o311)).unwrap();
    site
}

/// Runs the program as a user who can't ignore file modes.
fn run_without_rights(site: &Site, arguments: &[&str]) -> Ran {
    let mut command = Command::new(site.path("swiftwal"));
    command.args(arguments).current_dir(site.path("")).env_clear();
    command.env("SWIFTWAL_REPOSITORY", site.repository_url()).env("XDG_STATE_HOME", site.path("state"));
    if fs::metadata(site.path("")).unwrap().uid() == STRANGER {
        command.uid(STRANGER).gid(STRANGER);
    }
    run(&mut command)
}

#[test]
fn a_wal_file_is_fetched_by_its_name() {
    let site = unlisted(|site| site.archive([5]));
    let ran = run_without_rights(&site, &["restore-wal", &segment_name(5), "back"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(fs::read(site.path("back")).unwrap(), segment(5, 0));
}

#[test]
fn a_backup_is_restored_and_its_label_shown_by_its_key() {
    let mut key = String::new();
    let site = unlisted(|site| key = site.store_backup());
    for arguments in [&["label", &key][..], &["restore", &key, "data"]] {
        let ran = run_without_rights(&site, arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {ran:?}");
    }
    assert!(site.path("data/global/pg_control").exists());
}

#[test]
fn what_needs_a_list_says_what_is_missing_and_changes_nothing() {
    let mut key = String::new();
    let site = unlisted(|site| key = site.store_backup());
    let before = site.stored();
    let absent = segment_name(5);
    for (arguments, code) in [
        (&["list-wal"][..], 1),
        (&["list-backups"], 1),
        (&["label", "latest"], 1),
        (&["label", &key[..6]], 1),
        (&["restore", "latest", "data"], 1),
        (&["prune", "--keep-backups", "1"], 1),
        (&["archive-cleanup", &absent], 1),
        (&["timeline", "list"], 1),
        (&["timeline", "discard", "2"], 1),
        (&["restore-wal", &absent, "back"], 128),
    ] {
        let ran = run_without_rights(&site, arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
        assert!(ran.stderr.to_lowercase().contains("permission"), "{arguments:?}: {ran:?}");
    }
    assert_eq!(site.stored(), before);
    assert!(!site.path("data").exists() && !site.path("back").exists());
    let ran = run_without_rights(&site, &["archive-wal", &site.write_segment(6, 0)]);
    assert!(ran.code == 1 && ran.stderr.contains("can't read and write to the directory"), "{ran:?}");
}
