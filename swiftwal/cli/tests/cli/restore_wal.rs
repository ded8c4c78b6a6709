//! restore-wal.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::Stdio,
    time::{Duration, Instant},
};

use crate::site::{Ran, Site, run, segment, segment_name};

/// A repository that contains the segment 5.
fn site() -> Site {
    let site = Site::new();
    site.archive([5]);
    site
}

/// Stores a segment of timeline 2, an hour ago, without the history.
fn store_second_timeline(site: &Site) {
    site.write("repository/wal_000000020000000000000006", segment(6, 0));
    site.age_repository();
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
        ("later WAL, so that the missing segment is a hole", |site| {
            site.archive([7]);
            site.age_repository();
            restore(site, &segment_name(6))
        }),
        ("WAL of a timeline whose history is missing", |site| {
            store_second_timeline(site);
            restore(site, "00000002.history")
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
fn a_hole_is_described_with_the_ways_out() {
    let site = site();
    site.archive([7]);
    site.age_repository();
    let (missing, before, later) = (segment_name(6), segment_name(5), segment_name(7));
    let url = site.repository_url();
    let message = format!(
        "WAL segment {missing} is missing in {url}: the last one before it is {before}, the next one stored is {later}"
    );
    let ran = restore(&site, &missing);
    assert_eq!(ran.code, 128, "{ran:?}");
    assert!(ran.stderr.contains(&message) && ran.stderr.contains("restore --end-at-hole"), "{ran:?}");
}

#[test]
fn recovery_ends_at_a_hole_only_if_that_is_wanted() {
    let site = site();
    site.archive([7]);
    store_second_timeline(&site);
    let ran = site.run(&["restore-wal", "--end-at-hole", &segment_name(6), "back"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stderr.contains(&segment_name(7)) && ran.stderr.contains("because of --end-at-hole"),
        "{ran:?}"
    );
    // A server that took the timeline's number couldn't archive.
    assert_eq!(site.run(&["restore-wal", "--end-at-hole", "00000002.history", "back"]).code, 128);
}

#[test]
fn a_standby_is_told_that_a_timeline_without_history_is_in_use() {
    let site = site();
    store_second_timeline(&site);
    let ran = restore(&site, "00000002.history");
    assert!(ran.stderr.contains("00000002.history is missing in "), "{ran:?}");
    assert!(ran.stderr.contains("timeline 2 is in use") && !ran.stderr.contains("promote"), "{ran:?}");
    assert!(ran.stderr.contains("swiftwal timeline discard 2"), "{ran:?}");
    site.write("standby.signal", "");
    let ran = restore(&site, "00000002.history");
    assert!(ran.stderr.contains("timeline 2 is in use: its WAL is stored in "), "{ran:?}");
    assert!(ran.stderr.contains("but its history is missing"), "{ran:?}");
    assert!(ran.stderr.contains("don't promote this standby"), "{ran:?}");
    assert!(!ran.stderr.contains("it isn't known"), "{ran:?}");
}

#[test]
fn a_segment_that_is_on_its_way_is_waited_for() {
    let site = site();
    site.archive([7]);
    let mut restore = site.command(&["-v", "restore-wal", &segment_name(6), "back"]);
    let mut restore = restore.stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(restore.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("may be on its way") {
        line.clear();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended before");
    }
    site.archive([6]);
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert!(restore.wait().unwrap().success(), "{rest}");
    assert_eq!(fs::read(site.path("back")).unwrap(), segment(6, 0));
}

#[test]
fn the_wait_for_it_ends_before_the_deadline_and_soon_on_a_standby() {
    let site = site();
    site.archive([7]);
    let ran = site.run(&["--deadline", "6", "restore-wal", &segment_name(6), "back"]);
    assert_eq!(ran.code, 128, "{ran:?}");
    assert!(ran.stderr.contains("the next one stored is "), "{ran:?}");

    site.write("standby.signal", "");
    let began = Instant::now();
    let ran = restore(&site, &segment_name(6));
    // A recovery waits for a minute.
    assert!(ran.code == 1 && began.elapsed() < Duration::from_secs(40), "{ran:?}");
}

#[test]
fn asking_for_help_is_no_failure() {
    assert_eq!(site().run(&["help", "restore-wal"]).code, 0);
}
