//! Signals, and a standard output that nothing reads.

use std::{
    fs::{self, Permissions},
    io::{BufRead, BufReader},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{CWD, FileType, Mode, mknodat},
    process::{Pid, Signal, kill_process},
};

use crate::site::{Ran, Site, ran, segment_name};

/// Starts a backup from a server that never answers, and returns when its key is claimed.
fn start_backup(site: &Site, hangup: &str) -> (Child, BufReader<ChildStdout>) {
    let mut child = backup_command(site, hangup).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert!(line.starts_with("Creating backup ") && line.contains(&site.repository_url()), "{line}");
    (child, stdout)
}

/// A backup that never ends. `hangup` is the option of env for SIGHUP: the program that runs the tests may ignore it,
/// and the backup would inherit that.
fn backup_command(site: &Site, hangup: &str) -> Command {
    let program = site.write("bin/pg_basebackup", "#!/bin/sh\nexec sleep 1000\n");
    fs::set_permissions(program, Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("/usr/bin/env");
    command.args([hangup, env!("CARGO_BIN_EXE_swiftwal"), "backup", "--method", "pg_basebackup"]);
    command.current_dir(site.path(""));
    command.env_clear().env("SWIFTWAL_REPOSITORY", site.repository_url()).stdin(Stdio::null());
    let path = format!("{}:/usr/bin:/bin", site.path("bin").display());
    command.env("PATH", path).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

fn wait(child: Child) -> Ran {
    ran(child.wait_with_output().unwrap())
}

#[test]
fn a_backup_that_is_stopped_leaves_nothing_and_says_by_which_signal() {
    for (signal, code, name) in
        [(Signal::TERM, 143, "SIGTERM"), (Signal::INT, 130, "SIGINT"), (Signal::HUP, 129, "SIGHUP")]
    {
        let site = Site::new();
        let (child, _stdout) = start_backup(&site, "--default-signal=HUP");
        assert!(!site.stored().is_empty(), "its marker is there");
        send(&child, signal);
        let ran = wait(child);
        let told = "stopping: removing the incomplete backup; interrupt again to leave that to prune";
        assert_eq!(
            (ran.code, ran.stderr),
            (code, format!("swiftwal: {told}\nswiftwal: stopped by {name}\n"))
        );
        assert!(site.stored().is_empty(), "{:?}", site.stored());
    }
}

#[test]
fn a_command_that_nohup_started_outlives_its_terminal() {
    let site = Site::new();
    let (child, _stdout) = start_backup(&site, "--ignore-signal=HUP");
    send(&child, Signal::HUP);
    send(&child, Signal::TERM);
    assert_eq!(wait(child).code, 143);
}

#[test]
fn a_backup_that_has_stored_nothing_ends_at_once_although_the_storage_does_not_answer() {
    let site = Site::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1/AUTH_test", silent.local_addr().unwrap());
    let mut command = site.bare_command(&["-C", "pgprod", "backup"]);
    command.env("OS_TOKEN", "x").env("OS_STORAGE_URL", url).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let asked = silent.accept().unwrap();
    send(&child, Signal::TERM);
    let ran = wait(child);
    assert_eq!((ran.code, ran.stderr.as_str()), (143, "swiftwal: stopped by SIGTERM\n"));
    drop(asked);
}

#[test]
fn a_backup_whose_standard_output_is_closed_is_given_up_quietly() {
    let site = Site::new();
    let mut child = backup_command(&site, "--default-signal=HUP").spawn().unwrap();
    drop(child.stdout.take());
    let ran = wait(child);
    assert_eq!((ran.code, ran.stderr.as_str()), (141, ""));
    assert!(site.stored().is_empty(), "{:?}", site.stored());
}

#[test]
fn a_list_whose_standard_output_is_closed_ends_quietly() {
    let site = Site::new();
    site.archive([1]);
    for arguments in [&["list-wal"][..], &["--json", "list-wal"], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let child = site.command(arguments).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let ran = wait(child);
        assert_eq!((ran.code, ran.stderr.as_str()), (141, ""), "{arguments:?}");
    }
}

#[test]
fn a_stored_segment_is_stored_even_if_nobody_reads_the_json() {
    let site = Site::new();
    let path = site.write_segment(1, 0);
    for arguments in
        [&["--json", "archive-wal", &path][..], &["--json", "restore-wal", &segment_name(1), "back"]]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let child = site.command(arguments).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        assert_eq!(wait(child).code, 0, "{arguments:?}");
    }
}

/// Starts the program on a storage that never answers, and returns when it has sent a request and handles signals.
fn start_waiting(site: &Site, arguments: &[&str]) -> (Child, (TcpListener, TcpStream)) {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1/AUTH_test", silent.local_addr().unwrap());
    let mut command = site.bare_command(&["-C", "pgprod"]);
    command.args(arguments).env("OS_TOKEN", "x").env("OS_STORAGE_URL", url).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let (asked, _) = silent.accept().unwrap();
    until(|| heeds_sigterm(&child));
    (child, (silent, asked))
}

pub(crate) fn until(mut happened: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(600);
    while !happened() {
        assert!(Instant::now() < end, "it hasn't happened in ten minutes");
        thread::yield_now();
    }
}

/// Whether the process has a handler for SIGTERM, signal 15.
pub(crate) fn heeds_sigterm(child: &Child) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:\t")).unwrap();
    u64::from_str_radix(caught, 16).unwrap() & (1 << 14) != 0
}

#[test]
fn a_stopped_archive_wal_does_not_restart_the_archiver() {
    let site = Site::new();
    let path = site.write_segment(1, 0);
    let (child, _asked) = start_waiting(&site, &["archive-wal", &path]);
    send(&child, Signal::TERM);
    let ran = wait(child);
    assert_eq!((ran.code, ran.stderr.as_str()), (1, "swiftwal: stopped by SIGTERM\n"));
}

#[test]
fn a_stopped_restore_wal_does_not_end_recovery_not_even_a_standbys() {
    for standby in [false, true] {
        let site = Site::new();
        if standby {
            site.write("standby.signal", "");
        }
        let (child, _asked) = start_waiting(&site, &["restore-wal", &segment_name(2), "back"]);
        send(&child, Signal::TERM);
        let ran = wait(child);
        assert_eq!((ran.code, ran.stderr.as_str()), (143, "swiftwal: stopped by SIGTERM\n"));
        assert!(!site.path("back").exists());
    }
}

#[test]
fn a_data_directory_with_a_fifo_is_not_taken_for_a_standbys() {
    let site = Site::new();
    site.archive([1]);
    site.write(&format!("repository/wal_{}.zst", segment_name(1)), "damaged");
    // The file is read after the failure, to choose the exit code.
    mknodat(CWD, site.path("recovery.conf"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let ran = site.run(&["restore-wal", &segment_name(1), "back"]);
    assert!(ran.code == 128 && ran.stderr.contains("damaged"), "{ran:?}");
}

#[test]
fn a_stopped_restore_leaves_nothing() {
    let site = Site::new();
    let (child, _asked) = start_waiting(&site, &["restore", "20130828T1810Z", "data"]);
    send(&child, Signal::INT);
    let ran = wait(child);
    assert!(ran.code == 130 && ran.stderr.ends_with("swiftwal: stopped by SIGINT\n"), "{ran:?}");
    assert!(!site.path("data").exists());
}
