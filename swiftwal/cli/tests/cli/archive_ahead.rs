//! archive-wal, called as a server does it while further files wait.

use std::{
    fs,
    io::{BufRead, BufReader},
    ops::RangeInclusive,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use xtask::Log;

use crate::site::{Ran, Site, segment, segment_name};

/// A working directory that looks like that of a running server, whose segments of these numbers wait.
fn server(numbers: RangeInclusive<u32>) -> Site {
    let site = Site::new();
    site.write("postmaster.pid", format!("{}\n", std::process::id()));
    for number in numbers {
        site.write_segment(number, number as u8);
        site.write(&status(number), "");
    }
    site
}

fn path(number: u32) -> String {
    format!("pg_wal/{}", segment_name(number))
}

fn status(number: u32) -> String {
    format!("pg_wal/archive_status/{}.ready", segment_name(number))
}

/// Archives a file, which no longer waits then.
fn archive(site: &Site, number: u32, options: &[&str]) -> Ran {
    let ran = site.run(&[&["-v", "archive-wal", &path(number)], options].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    drop(fs::remove_file(site.path(&status(number))));
    ran
}

fn was_stored_ahead(ran: &Ran) -> bool {
    ran.stderr.contains("had been stored ahead")
}

fn stored(site: &Site) -> Vec<String> {
    site.succeed(&["list-wal"]).lines().map(str::to_owned).collect()
}

fn names(numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
    numbers.into_iter().map(segment_name).collect()
}

/// Returns the marks that the program has written.
fn marks(site: &Site) -> Vec<PathBuf> {
    let repositories = fs::read_dir(site.path("state/swiftwal")).into_iter().flatten().flatten();
    let entries =
        repositories.flat_map(|entry| fs::read_dir(entry.path().join("ahead")).into_iter().flatten());
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.file_name().is_some_and(|name| name != "begun")).collect()
}

#[test]
fn what_waits_is_stored_in_one_call_and_the_calls_for_it_return_at_once() {
    let site = server(1..=6);
    assert!(!was_stored_ahead(&archive(&site, 1, &["--ahead", "4", "--jobs", "2"])));
    assert_eq!(stored(&site), names(1..=5));
    for number in 2..=5 {
        let ran = archive(&site, number, &[]);
        assert!(was_stored_ahead(&ran), "{ran:?}");
    }
    assert_eq!(stored(&site), names(1..=5));
    assert!(!was_stored_ahead(&archive(&site, 6, &[])));
    assert!(marks(&site).is_empty());
    for number in 1..=6 {
        site.succeed(&["restore-wal", &segment_name(number), "back"]);
        assert_eq!(fs::read(site.path("back")).unwrap(), segment(number, number as u8));
    }
}

#[test]
fn nothing_is_stored_ahead_unless_a_running_server_calls() {
    let site = server(1..=6);
    let absolute = site.path(&path(1));
    site.succeed(&["archive-wal", absolute.to_str().unwrap()]);
    archive(&site, 2, &["--force"]);
    archive(&site, 3, &["--create"]);
    archive(&site, 4, &["--ahead", "0"]);
    let mut ended = Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    site.write("postmaster.pid", format!("{}\n", ended.id()));
    archive(&site, 5, &[]);
    fs::remove_file(site.path("postmaster.pid")).unwrap();
    archive(&site, 5, &[]);
    assert_eq!(stored(&site), names(1..=5));
}

#[test]
fn a_refused_file_pushes_nothing_along() {
    let site = server(1..=4);
    archive(&site, 1, &["--ahead", "0"]);
    site.write_segment(1, 77);
    let ran = site.run(&["archive-wal", &path(1)]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(stored(&site), names(1..=1));
}

#[test]
fn a_failure_with_another_file_is_a_warning() {
    let site = server(1..=4);
    site.write(&path(2), segment(9, 0));
    let ran = archive(&site, 1, &[]);
    let told =
        format!("swiftwal: warning: {} is stored; the files after it couldn't be archived ahead: ", path(1));
    assert!(ran.stderr.contains(&told) && ran.stderr.contains(&path(2)), "{ran:?}");
    assert_eq!(stored(&site), names(1..=1));
    assert_eq!(site.run(&["archive-wal", &path(2)]).code, 1);
}

#[test]
fn a_damaged_mark_is_no_mark() {
    let site = server(1..=4);
    archive(&site, 1, &[]);
    let mut marks = marks(&site);
    marks.sort();
    fs::write(&marks[0], "").unwrap();
    fs::write(&marks[1], [0xFF; 100]).unwrap();
    fs::remove_file(&marks[2]).unwrap();
    let made = Command::new("mkfifo").arg(&marks[2]).status().unwrap();
    assert!(made.success());
    for number in 2..=4 {
        let ran = archive(&site, number, &["--ahead", "0"]);
        assert!(!was_stored_ahead(&ran) && ran.stderr.contains("was already stored"), "{ran:?}");
        assert!(!ran.stderr.contains("warning"), "{ran:?}");
    }
}

#[test]
fn where_no_mark_can_be_written_nothing_is_stored_ahead() {
    let site = server(1..=4);
    archive(&site, 1, &["--ahead", "0"]);
    let state = fs::read_dir(site.path("state/swiftwal")).unwrap().next().unwrap().unwrap().path();
    site.write(state.join("ahead").to_str().unwrap(), "a file in place of the directory");
    let ran = archive(&site, 2, &[]);
    assert!(ran.stderr.contains("archived ahead: can't write") && ran.stderr.contains("ahead"), "{ran:?}");
    assert_eq!(stored(&site), names(1..=2));
}

#[test]
fn a_state_directory_that_can_not_be_used_is_one_warning() {
    let site = server(1..=4);
    site.write("state/swiftwal", "a file in place of the directory");
    for number in 1..=2 {
        let ran = archive(&site, number, &[]);
        let warnings: Vec<_> = ran.stderr.lines().filter(|line| line.contains("warning: ")).collect();
        assert!(warnings.len() == 1 && warnings[0].contains("the state directory"), "{ran:?}");
        assert_eq!(stored(&site), names(1..=number));
    }
}

#[test]
fn a_directory_of_marks_that_others_may_write_to_is_not_trusted() {
    let site = server(1..=3);
    archive(&site, 1, &[]);
    let directory = marks(&site)[0].parent().unwrap().to_owned();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o770)).unwrap();
    let ran = archive(&site, 2, &[]);
    assert!(!was_stored_ahead(&ran) && ran.stderr.contains("must belong to this user"), "{ran:?}");
}

#[test]
fn an_emptied_repository_gets_its_files_again() {
    let site = server(1..=3);
    archive(&site, 1, &[]);
    fs::remove_dir_all(site.path("repository")).unwrap();
    let ran = site.run(&["archive-wal", &path(2)]);
    assert!(ran.code == 1 && ran.stderr.contains("is its disk mounted?"), "{ran:?}");
    for number in 1..=3 {
        let ran = archive(&site, number, &["--create"]);
        assert!(!was_stored_ahead(&ran), "{ran:?}");
    }
    assert_eq!(stored(&site), names(1..=3));
}

/// The file that was asked for is stored.
#[test]
fn a_signal_during_the_work_ahead_is_no_failure() {
    let site = server(1..=100);
    let mut command = site.command(&["-vv", "archive-wal", &path(1), "--ahead", "99", "--jobs", "1"]);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let begun = log.find(|line| line.as_ref().unwrap().contains("is stored ahead"));
    assert!(begun.is_some());
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    log.for_each(drop);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(stored(&site).len() < 100);
}

/// Kills calls at each line of their log. Whatever is acknowledged afterwards is stored.
#[test]
fn a_call_that_is_killed_loses_nothing_and_acknowledges_nothing_false() {
    const FILES: u32 = 4;
    let command = |site: &Site| site.command(&["-vv", "archive-wal", &path(1), "--jobs", "2"]);
    let log = Log::of(&mut command(&server(1..=FILES))).unwrap();
    assert!(log.lines().len() >= 7, "{log:?}");
    let mut killed = 0;
    for line in log.lines() {
        let site = server(1..=FILES);
        killed += u32::from(log.kill_at(&mut command(&site), line).unwrap());
        // Another content takes the place of a file that has a mark, perhaps.
        site.write_segment(3, 99);
        let changed = site.run(&["archive-wal", &path(3), "--ahead", "0"]);
        let is_stored = changed.code == 0;
        for number in [1, 2, 4] {
            archive(&site, number, &[]);
        }
        for (number, fill) in [(1, 1), (2, 2), (3, if is_stored { 99 } else { 3 }), (4, 4)] {
            site.succeed(&["restore-wal", &segment_name(number), "back"]);
            assert!(fs::read(site.path("back")).unwrap() == segment(number, fill), "line {line}: {number}");
        }
    }
    assert!(killed >= 6, "{killed} of {}", log.lines().len());
}
