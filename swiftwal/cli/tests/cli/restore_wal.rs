//! restore-wal.

use std::fs;

use crate::site::{Ran, Site, run, segment, segment_name};

/// A repository that contains the segment 5.
fn site() -> Site {
    let site = Site::new();
    site.archive([5]);
    site
}

fn restore(site: &Site, name: &str) -> Ran {
    site.run(&["restore-wal", name, "back"])
}

#[test]
fn the_file_comes_back_whole_and_nothing_beside_it() {
    let site = site();
    site.succeed(&["restore-wal", &segment_name(5), "pg_wal/RECOVERYXLOG"]);
    assert_eq!(fs::read(site.path("pg_wal/RECOVERYXLOG")).unwrap(), segment(5, 0));
    fs::create_dir(site.path("directory")).unwrap();
    site.succeed(&["restore-wal", &segment_name(5), "directory"]);
    let names: Vec<_> =
        fs::read_dir(site.path("directory")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, [segment_name(5).as_str()]);
}

#[test]
fn it_ends_with_1_only_if_the_file_is_proven_absent() {
    let site = site();
    let absent = restore(&site, &segment_name(6));
    assert_eq!(absent.code, 1, "{absent:?}");
    assert!(absent.stderr.contains(&segment_name(6)), "{absent:?}");
    assert_eq!(restore(&site, "00000002.history").code, 1);
}

/// A fault, and a run with it.
type Trouble = (&'static str, fn(&Site) -> Ran);

/// All faults that leave it unknown whether the file is there.
fn without_answer() -> Vec<Trouble> {
    vec![
        ("missing arguments", |site| site.run(&["restore-wal"])),
        ("an unknown option before", |site| site.run(&["--bogus", "restore-wal", &segment_name(6), "back"])),
        ("an unknown option after", |site| site.run(&["restore-wal", "--bogus", &segment_name(6), "back"])),
        ("a malformed name", |site| restore(site, "notes.txt")),
        ("no repository named", |site| {
            run(&mut site.bare_command(&["restore-wal", &segment_name(6), "back"]))
        }),
        ("an unknown scheme", |site| {
            site.run(&["--repository", "ftp://x", "restore-wal", &segment_name(6), "back"])
        }),
        ("a missing directory", |site| {
            site.run(&["--repository", "file:///nowhere/at/all", "restore-wal", &segment_name(6), "back"])
        }),
        ("an empty directory", |site| {
            let empty = site.path("empty");
            fs::create_dir_all(&empty).unwrap();
            let url = format!("file://{}", empty.display());
            site.run(&["--repository", &url, "restore-wal", &segment_name(6), "back"])
        }),
        ("a missing configuration file", |site| {
            site.run(&["-c", "absent.toml", "restore-wal", &segment_name(6), "back"])
        }),
        ("a damaged object", |site| {
            let object = site.object(&format!("wal_{}.zst", segment_name(5)));
            let whole = fs::read(&object).unwrap();
            fs::write(object, &whole[..whole.len() / 2]).unwrap();
            restore(site, &segment_name(5))
        }),
        ("no place to write to", |site| site.run(&["restore-wal", &segment_name(5), "absent/back"])),
    ]
}

#[test]
fn without_an_answer_it_stops_recovery_and_leaves_nothing() {
    for (what, fail) in without_answer() {
        let site = site();
        let ran = fail(&site);
        assert_eq!(ran.code, 128, "{what}: {ran:?}");
        assert!(!ran.stderr.is_empty(), "{what}");
        assert!(!site.path("back").exists(), "{what}");
    }
}

#[test]
fn a_standby_is_told_to_ask_again() {
    for (what, fail) in without_answer() {
        for (file, content) in [("standby.signal", ""), ("recovery.conf", "standby_mode = 'on'\n")] {
            let site = site();
            site.write(file, content);
            let ran = fail(&site);
            assert_eq!(ran.code, 1, "{what}, {file}: {ran:?}");
        }
    }
}

#[test]
fn a_recovery_that_is_no_standbys_is_not_told_so() {
    for (file, content) in
        [("recovery.signal", ""), ("recovery.conf", "restore_command = 'x'\n#standby_mode = on\n")]
    {
        let site = site();
        site.write(file, content);
        assert_eq!(restore(&site, "notes.txt").code, 128, "{file}");
    }
}

#[test]
fn asking_for_help_is_no_failure() {
    assert_eq!(site().run(&["help", "restore-wal"]).code, 0);
}
