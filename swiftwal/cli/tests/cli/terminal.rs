//! The program's output on a terminal.

use std::{
    fs::{self, File},
    io::Read,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::Path,
    process::Command,
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use crate::site::{Site, legacy_label};

/// Returns what `command` writes to a terminal of `columns` columns. It must succeed, or find damage in what it prints.
fn on_terminal(mut command: Command, columns: u16) -> String {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let path = Path::new(std::ffi::OsStr::from_bytes(name.to_bytes()));
    let terminal = File::options().read(true).write(true).open(path).unwrap();
    tcsetwinsize(&terminal, Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let mut child = command.stdout(OwnedFd::from(terminal)).spawn().unwrap();
    // Closes its copies of the terminal, so that the output ends with the child process.
    drop(command);
    let mut output = Vec::new();
    // On Linux the end is reported as EIO.
    drop(File::from(master).read_to_end(&mut output));
    assert!(matches!(child.wait().unwrap().code(), Some(0 | 3)));
    String::from_utf8(output).unwrap().replace("\r\n", "\n")
}

#[test]
fn a_wide_terminal_shows_what_the_commit_records_tell() {
    let site = Site::new();
    site.store_legacy_backup("20130828T1810Z", 1);
    let key = site.store_backup();
    let header = |columns| {
        let listed = on_terminal(site.command(&["list-backups", "-v"]), columns);
        assert!(listed.lines().all(|line| line.chars().count() <= columns.into()), "{listed}");
        assert!(listed.contains("\nTotal Size: "), "{listed}");
        listed
            .lines()
            .next()
            .unwrap()
            .split("  ")
            .map(str::trim)
            .map(str::to_owned)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert!(!header(72).contains("Timeline"));
    assert!(header(100).contains("Timeline") && !header(100).contains("WAL It Needs"));
    assert!(header(200).ends_with("Duration Timeline PostgreSQL With WAL WAL It Needs"), "{}", header(200));
    let listed = on_terminal(site.command(&["list-backups", "-v"]), 200);
    let line = listed.lines().find(|line| line.contains(&key)).unwrap();
    for told in ["15", "yes", "000000010000000000000003 -> 000000010000000000000004"] {
        assert!(line.contains(told), "{told}: {listed}");
    }
}

#[test]
fn a_record_that_cannot_be_read_empties_its_cells_only() {
    let site = Site::new();
    let key = site.store_backup();
    site.write("repository/pg_basebackup_20130828T1904Z.json", "{\"format\":1}");
    let listed = on_terminal(site.command(&["list-backups", "-v"]), 200);
    assert!(listed.contains(&key) && listed.contains("20130828T1904Z"), "{listed}");
}

#[test]
fn what_is_no_terminal_gets_the_columns_of_the_original() {
    let site = Site::new();
    site.store_backup();
    assert!(site.succeed(&["list-backups", "-v"]).starts_with("Size "));
    assert!(!site.succeed(&["list-backups", "-v"]).contains("Timeline"));
}

#[test]
fn a_label_is_escaped_on_a_terminal_and_written_as_it_is_elsewhere() {
    let site = Site::new();
    site.store_legacy_backup("20130828T1810Z", 1);
    let label = legacy_label(1).replace("pg_basebackup base backup", "\u{1b}]0;owned\u{7}\u{9b}2J");
    fs::write(site.object("backup_label_20130828T1810Z.txt"), &label).unwrap();
    let shown = on_terminal(site.command(&["label", "latest"]), 80);
    assert!(shown.ends_with("LABEL: \\x1b]0;owned\\x07\\u{9b}2J\n"), "{shown}");
    assert_eq!(site.succeed(&["label", "latest"]), label);
    let json = site.succeed(&["label", "latest", "--json"]);
    assert!(json.contains("\\u001b]0;owned\\u0007\\u009b2J"), "{json}");
}
