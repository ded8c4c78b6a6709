//! Unexpected things in the way: FIFOs in place of files, huge objects, thousands of directories, directories of other
//! programs.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::site::{Site, run, segment_name};

fn make_fifo(path: &Path) {
    if path.exists() {
        fs::remove_file(path).unwrap();
    }
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

#[test]
fn a_fifo_in_place_of_an_object_is_an_error_at_once() {
    let site = Site::new();
    let fails = |arguments: &[&str], code| {
        let ran = site.run(arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains("not a regular file"), "{arguments:?}: {ran:?}");
    };
    site.archive([1]);
    let segment = site.write_segment(1, 0);
    make_fifo(&site.object(&format!("wal_{}.zst", segment_name(1))));
    fails(&["restore-wal", &segment_name(1), "back"], 128);
    fails(&["archive-wal", &segment], 1);
    fails(&["archive-wal", "--compression", "lz4", &segment], 1);
    make_fifo(&site.object("cluster.json"));
    fails(&["prune", "--keep-backups", "1"], 1);
    fails(&["archive-wal", &segment], 1);
}

#[test]
fn a_fifo_in_place_of_an_object_of_a_backup_is_an_error_at_once() {
    for object in ["json", "tar.zst", "index.zst"] {
        let site = Site::new();
        let key = site.store_backup();
        make_fifo(&site.object(&format!("pg_basebackup_{key}.{object}")));
        let ran = site.run(&["restore", &key, "data"]);
        // Without the index, the tar is read from its beginning.
        assert!(ran.code == 1 || object == "index.zst", "{object}: {ran:?}");
    }
}

#[test]
fn a_fifo_in_place_of_a_file_of_this_machine_is_an_error_at_once() {
    let site = Site::new();
    site.archive([1]);
    let fifo = site.path(&segment_name(2));
    make_fifo(&fifo);
    let ran = site.run(&["archive-wal", fifo.to_str().unwrap()]);
    assert!(ran.code == 1 && ran.stderr.contains("not a regular file"), "{ran:?}");
    let ran = site.run(&["-c", fifo.to_str().unwrap(), "list-wal"]);
    assert!(ran.code == 2 && ran.stderr.contains("not a regular file"), "{ran:?}");
    make_fifo(&site.path("recovery.conf"));
    assert_eq!(site.run(&["restore-wal", "nonsense", "back"]).code, 128);
}

#[test]
fn a_small_object_of_a_tebibyte_is_refused_and_not_read() {
    let huge = |site: &Site, name: &str| {
        let object = fs::File::options().write(true).open(site.object(name)).unwrap();
        object.set_len(1 << 40).unwrap();
    };
    let site = Site::new();
    let key = site.store_backup();
    let record = format!("pg_basebackup_{key}.json");
    huge(&site, &record);
    let ran = site.run(&["restore", &key, "data"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains(&format!("{record} is damaged: it has 1099511627776 bytes")), "{ran:?}");
    let site = Site::new();
    site.archive([1]);
    let wal = format!("wal_{}.zst", segment_name(1));
    huge(&site, &wal);
    let ran = site.run(&["restore-wal", &segment_name(1), "back"]);
    assert!(ran.code == 128 && ran.stderr.contains(&format!("{wal} is damaged")), "{ran:?}");
    huge(&site, "cluster.json");
    let ran = site.run(&["archive-wal", &site.write_segment(2, 0)]);
    assert!(ran.code == 1 && ran.stderr.contains("is damaged: it has 1099511627776 bytes"), "{ran:?}");
}

#[test]
fn more_directories_than_file_descriptors_fail_no_command() {
    let site = Site::new();
    site.archive([1]);
    site.store_legacy_backup("20130828T1810Z", 1);
    for number in 0..300 {
        site.write(&format!("repository/foreign/{number}/file"), "x");
        site.write(&format!("repository/foreign/{number}/left#1"), "x");
    }
    for arguments in ["list-wal", "list-backups", "prune --keep-backups 1 -n"] {
        let mut command = Command::new("/bin/sh");
        let script = format!("ulimit -n 64; exec '{}' {arguments}", env!("CARGO_BIN_EXE_swiftwal"));
        command.args(["-c", &script]).env_clear().stdin(Stdio::null());
        command.env("XDG_STATE_HOME", site.path("state")).env("SWIFTWAL_REPOSITORY", site.repository_url());
        let ran = run(&mut command);
        assert_eq!(ran.code, 0, "{arguments}: {ran:?}");
    }
}

#[test]
fn a_directory_of_other_things_holds_no_repository() {
    let site = Site::new();
    site.write("repository/home/wal_of_another", "x");
    site.write("repository/notes.txt", "x");
    for arguments in [
        &["list-wal"][..],
        &["list-backups"],
        &["restore", "latest", "data"],
        &["prune", "--keep-backups", "1"],
        &["archive-cleanup", &segment_name(2)],
    ] {
        let ran = site.run(arguments);
        assert_eq!(ran.code, 1, "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains("contains no repository"), "{arguments:?}: {ran:?}");
    }
    // A directory that isn't a repository proves nothing.
    let ran = site.run(&["restore-wal", &segment_name(1), "back"]);
    assert!(ran.code == 128 && ran.stderr.contains("contains no repository"), "{ran:?}");
}

#[test]
fn wal_is_not_acknowledged_where_it_ends_with_the_process() {
    let site = Site::new();
    let segment = site.write_segment(1, 0);
    for arguments in [&["archive-wal", &segment][..], &["backup"]] {
        let mut command = site.command(arguments);
        let refused = run(command.env("SWIFTWAL_REPOSITORY", "memory://wal"));
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(refused.stderr.contains("SWIFTWAL_ALLOW_MEMORY=1"), "{refused:?}");
    }
    let mut command = site.command(&["archive-wal", &segment]);
    command.env("SWIFTWAL_REPOSITORY", "memory://wal").env("SWIFTWAL_ALLOW_MEMORY", "1");
    assert_eq!(run(&mut command).code, 0);
}

#[test]
fn a_scheme_that_is_none_is_told_with_the_one_that_was_meant() {
    let site = Site::new();
    for (url, told) in [
        ("swfit://pgprod", "did you mean swift://?"),
        ("fil:///srv/backup", "did you mean file://?"),
        (
            "https://swift.example.com/v1/AUTH_pg/pgprod",
            "the repository is swift://CONTAINER, and the address",
        ),
    ] {
        let ran = run(&mut site.bare_command(&["--repository", url, "list-wal"]));
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains(told), "{ran:?}");
    }
    let ran = run(&mut site.bare_command(&["--repository", "ftp://x", "list-wal"]));
    assert!(!ran.stderr.contains("did you mean"), "{ran:?}");
}

#[test]
fn a_repository_that_every_user_can_write_to_is_warned_of() {
    let site = Site::new();
    site.archive([1]);
    for (mode, warned) in [(0o777, true), (0o1777, true), (0o770, false)] {
        fs::set_permissions(site.path("repository"), Permissions::from_mode(mode)).unwrap();
        let ran = site.run(&["list-wal"]);
        let told = "warning: every user can write to the repository's directory";
        assert_eq!((ran.code, ran.stderr.contains(told)), (0, warned), "{mode:o}: {ran:?}");
    }
}
