//! Commands that are blocked in a kernel call that never returns, and how long each command may take.

use std::{
    fs,
    io::{BufRead, BufReader, PipeReader, PipeWriter, Write, pipe},
    os::fd::AsFd,
    process::{Command, Stdio},
};

use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    process::{Pid, Signal, kill_process},
};

use crate::{
    site::{Site, ran, segment_name, segment_of},
    stopping::{heeds_sigterm, until},
};

/// A pipe that is full and that nothing reads: a write to it never returns.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = pipe().unwrap();
    let flags = fcntl_getfl(writer.as_fd()).unwrap();
    fcntl_setfl(writer.as_fd(), flags | OFlags::NONBLOCK).unwrap();
    while writer.write(&[0; 4096]).is_ok() {}
    while writer.write(&[0]).is_ok() {}
    fcntl_setfl(writer.as_fd(), flags).unwrap();
    (reader, writer)
}

/// Runs a command whose messages nothing reads.
fn run_unheard(mut command: Command) -> i32 {
    let (_reader, stderr) = full_pipe();
    let status = command.stdout(Stdio::null()).stderr(stderr).status().unwrap();
    status.code().unwrap()
}

#[test]
fn a_command_that_hangs_in_the_kernel_ends_at_its_deadline_by_its_code() {
    for (standby, arguments, code) in [
        (false, &["archive-wal", "pg_wal/000000010000000000000001"][..], 1),
        (false, &["restore-wal", "000000010000000000000001", "back"], 128),
        (true, &["restore-wal", "000000010000000000000001", "back"], 1),
        (false, &["list-wal"], 1),
    ] {
        let site = Site::new();
        site.archive([1]);
        if standby {
            site.write("standby.signal", "");
        }
        // It is damaged, so that the command has something to report.
        site.write(&format!("repository/wal_{}.zst", segment_name(1)), "damaged");
        let mut command = site.command(&["--deadline", "1"]);
        command.args(arguments);
        if arguments == ["list-wal"] {
            command.env("SWIFTWAL_REPOSITORY", "file:///nowhere/at/all");
        }
        assert_eq!(run_unheard(command), code, "{arguments:?}, standby {standby}");
    }
}

#[test]
fn one_signal_ends_a_command_that_hangs_in_the_kernel() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let site = Site::new();
        site.archive([1]);
        let (_reader, stdout) = full_pipe();
        let child = site.command(&["list-wal"]).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
        until(|| heeds_sigterm(&child));
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(ran(child.wait_with_output().unwrap()).code, code);
    }
}

#[test]
fn a_standby_that_asks_for_a_history_is_told_that_it_is_unknown_only_at_the_deadline() {
    let site = Site::new();
    site.archive([1]);
    site.write("standby.signal", "");
    site.move_repository_away();
    let ask = |name: &str| site.run(&["--deadline", "10", "restore-wal", name, "back"]);
    let ran = ask("00000002.history");
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("; trying again in 1 s\n"), "{ran:?}");
    let warning = "warning: it isn't known whether timeline 2 is in use";
    assert!(ran.stderr.lines().last().is_some_and(|line| line.contains(warning)), "{ran:?}");
    // The standby itself requests a segment again.
    let ran = ask(&segment_name(2));
    assert!(
        ran.code == 1 && !ran.stderr.contains("trying again") && !ran.stderr.contains(warning),
        "{ran:?}"
    );
    site.move_repository_back();
    let ran = ask("00000002.history");
    assert!(ran.code == 1 && !ran.stderr.contains(warning), "{ran:?}");
}

#[test]
fn a_standby_gets_a_history_that_can_be_read_again_before_the_deadline() {
    let site = Site::new();
    site.archive([1]);
    let history = site.write("pg_wal/00000002.history", "1\t0/300000\tno recovery target specified\n");
    site.succeed(&["archive-wal", history.to_str().unwrap()]);
    site.write("standby.signal", "");
    site.move_repository_away();
    let mut child = site
        .command(&["--deadline", "600", "restore-wal", "00000002.history", "back"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    stderr.read_line(&mut first).unwrap();
    assert!(first.contains("trying again"), "{first}");
    site.move_repository_back();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(fs::read(site.path("back")).unwrap(), fs::read(history).unwrap());
}

#[test]
fn a_deadline_is_a_number_of_seconds() {
    let site = Site::new();
    site.archive([1]);
    for text in ["soon", "-1", "1.5", ""] {
        assert_eq!(site.run(&["--deadline", text, "list-wal"]).code, 2, "{text}");
    }
    for text in ["0", "5min", "18446744073709551615"] {
        site.succeed(&["list-wal", "--deadline", text]);
    }
}

/// If no server answers, the first warning says for how long the request is retried: nine tenths of the time that is
/// left.
#[test]
fn by_default_a_large_file_has_more_time_than_a_small_one() {
    let mut last = 0.0;
    for megabytes in [1, 32, 64] {
        let site = Site::new();
        let path = format!("pg_wal/{}", segment_name(0));
        site.write(&path, segment_of(0, 0, megabytes << 20));
        let mut command = site.bare_command(&["-C", "pgprod", "archive-wal", &path]);
        command.env("OS_TOKEN", "x").env("OS_STORAGE_URL", "http://127.0.0.1:1/v1/AUTH_test");
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut warnings = BufReader::new(child.stderr.take().unwrap()).lines().map(|line| line.unwrap());
        let told =
            warnings.find_map(|line| Some(line.split_once("trying again, for ")?.1.to_owned())).unwrap();
        kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
        child.wait().unwrap();
        let seconds: f64 = told.split(' ').next().unwrap().parse().unwrap();
        assert!(seconds > last + 10.0, "{megabytes} MiB: {told}");
        last = seconds;
    }
}

#[test]
fn the_deadline_of_a_restore_is_that_of_the_restore_command() {
    let site = Site::new();
    site.store_backup();
    site.succeed(&["--deadline", "2h", "restore", "latest", "data"]);
    let settings = fs::read_to_string(site.path("data/postgresql.auto.conf")).unwrap();
    assert!(settings.contains(" --deadline 7200 restore-wal %f "), "{settings}");
    site.succeed(&["restore", "latest", "other"]);
    let settings = fs::read_to_string(site.path("other/postgresql.auto.conf")).unwrap();
    assert!(!settings.contains("--deadline"), "{settings}");
}
