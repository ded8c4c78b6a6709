//! A repository that this machine has used and that has vanished: its disk isn't mounted.

use std::{fs, path::Path, process::Command};

use crate::site::{Ran, Site, run, segment_name};

/// The commands that store or delete something.
fn changing(site: &Site) -> Vec<Vec<String>> {
    let segment = site.write_segment(9, 0);
    site.write("pg_wal/00000002.history", "1\t0/3000000\tno recovery target specified\n");
    [
        &["archive-wal", &segment][..],
        &["archive-wal", "--force", &segment],
        &["archive-wal", "pg_wal/00000002.history"],
        &["backup"],
        &["prune", "--keep-backups", "1"],
        &["archive-cleanup", &segment_name(2)],
    ]
    .iter()
    .map(|command| command.iter().map(ToString::to_string).collect())
    .collect()
}

/// Checks that each command asks for the disk and changes nothing.
fn refuses_everything(site: &Site) {
    let before = site.stored();
    let existed = site.path("repository").exists();
    for arguments in changing(site) {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let ran = site.run(&arguments);
        assert_eq!(ran.code, 1, "{arguments:?}: {ran:?}");
        for told in ["is its disk mounted?", "system identifier 7", " UTC"] {
            assert!(ran.stderr.contains(told), "{arguments:?}, {told}: {ran:?}");
        }
        assert_eq!(site.path("repository").exists(), existed, "{arguments:?}");
        assert_eq!(site.stored(), before, "{arguments:?}");
    }
}

#[test]
fn a_directory_that_vanished_is_not_made_anew() {
    let site = Site::new();
    site.archive([1]);
    site.move_repository_away();
    refuses_everything(&site);
    let ran = site.run(&["list-wal"]);
    assert!(ran.code == 1 && ran.stderr.contains("is its disk mounted?"), "{ran:?}");
    site.move_repository_back();
    site.archive([9]);
}

#[test]
fn an_empty_mount_point_in_its_place_is_not_taken_for_a_new_repository() {
    let site = Site::new();
    site.archive([1]);
    site.move_repository_away();
    fs::create_dir(site.path("repository")).unwrap();
    refuses_everything(&site);
    fs::create_dir(site.object("lost+found")).unwrap();
    fs::write(site.object("notes.txt"), "unmounted").unwrap();
    refuses_everything(&site);
}

#[test]
fn a_new_repository_is_started_there_if_that_is_asked_for() {
    let site = Site::new();
    site.archive([1]);
    let (one, two) = (site.write_segment(2, 0), site.write_segment(3, 0));
    site.move_repository_away();
    site.succeed(&["archive-wal", "--create", &one]);
    site.succeed(&["archive-wal", &two]);
    assert_eq!(site.succeed(&["list-wal"]), format!("{}\n{}\n", segment_name(2), segment_name(3)));
}

#[test]
fn to_have_read_from_a_repository_is_enough_to_miss_it() {
    for read in [&["list-wal"][..], &["restore-wal", "000000010000000000000001", "back"]] {
        let site = Site::new();
        site.archive([1]);
        fs::remove_dir_all(site.path("state")).unwrap();
        site.succeed(read);
        site.move_repository_away();
        refuses_everything(&site);
    }
}

#[test]
fn a_place_without_cluster_json_that_was_only_read_may_be_used() {
    let site = Site::new();
    site.store_legacy_backup("20130828T1810Z", 1);
    site.succeed(&["list-backups"]);
    site.archive([1]);
}

#[test]
fn prune_touches_nothing_on_another_clusters_disk() {
    let site = Site::new();
    site.archive([1, 2]);
    let cluster = site.object("cluster.json");
    let other = fs::read_to_string(&cluster).unwrap().replace("\"7\"", "\"8\"");
    fs::write(&cluster, other).unwrap();
    site.store_legacy_backup("20130828T1810Z", 2);
    let before = site.stored();
    let prune = ["prune", "--keep-backups", "1"];
    // Reading it in between must not make it the known one.
    site.succeed(&["list-wal"]);
    let ran = site.run(&prune);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stderr.contains("system identifier 8; is the right disk mounted? If it is, delete "),
        "{ran:?}"
    );
    assert_eq!(site.stored(), before);

    let state = ran.stderr.trim_end().rsplit(' ').next().unwrap();
    fs::remove_file(state).unwrap();
    site.succeed(&prune);
}

fn with_state(site: &Site, state: &Path, arguments: &[&str]) -> Ran {
    let mut command: Command = site.command(arguments);
    run(command.env("XDG_STATE_HOME", state))
}

#[test]
fn where_nothing_can_be_remembered_it_warns_once_and_goes_on() {
    let site = Site::new();
    let segment = site.write_segment(1, 0);
    let file = site.write("file", "");
    let ran = with_state(&site, &file.join("below"), &["archive-wal", &segment]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.stderr.matches("swiftwal: warning: can't").count(), 1, "{ran:?}");
}
