use std::{fs, os::unix::fs::PermissionsExt, process::Stdio};

use crate::site::{Site, ran, run};

#[test]
fn the_server_is_told_to_fetch_wal_by_this_program_from_the_same_place_with_the_same_configuration() {
    let site = Site::new();
    let key = site.store_backup();
    site.write("conf.toml", "compression = 'lz4'\n");
    let told = site.succeed(&["-c", "conf.toml", "restore", "latest", "data"]);
    assert!(told.starts_with(&format!("Restored {key} into data: ")), "{told}");
    let settings = fs::read_to_string(site.path("data/postgresql.auto.conf")).unwrap();
    let conf = site.path("conf.toml");
    let options = format!("--repository {} --config {}", site.repository_url(), conf.display());
    let command = format!("{} {options} restore-wal %f \"%p\"", env!("CARGO_BIN_EXE_swiftwal"));
    assert!(settings.contains(&format!("restore_command = '{command}'")), "{settings}");
    assert!(site.path("data/recovery.signal").exists());
}

#[test]
fn the_last_line_of_a_progress_without_terminal_is_all_of_it() {
    let site = Site::new();
    site.store_backup();
    let ran = site.run(&["restore", "-P", "latest", "data"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.stderr.matches("(100 %)").count(), 1, "{ran:?}");
    assert!(ran.stderr.lines().last().unwrap().contains("(100 %)"), "{ran:?}");
}

#[test]
fn a_backup_may_be_restored_into_the_working_directory_and_told_of_as_json() {
    let site = Site::new();
    let key = site.store_backup();
    let data = site.path("data");
    fs::create_dir(&data).unwrap();
    let ran = run(site.command(&["--json", "restore", &key, "./"]).current_dir(&data));
    assert_eq!(ran.code, 0, "{ran:?}");
    let told: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(told["key"], key.as_str());
    assert!(data.join("global/pg_control").exists());
}

#[test]
fn a_restore_whose_report_cannot_be_written_says_that_it_is_done() {
    for arguments in [&["restore", "latest", "data"][..], &["--json", "restore", "latest", "data"]] {
        let site = Site::new();
        let key = site.store_backup();
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = site.command(arguments);
        let ran = ran(command.stdout(full).stderr(Stdio::piped()).output().unwrap());
        let told = format!("swiftwal: backup {key} was restored into data; its report couldn't be written\n");
        assert!(ran.code == 1 && ran.stderr.starts_with(&told), "{ran:?}");
        assert!(site.path("data/global/pg_control").exists());
    }
}

fn site() -> Site {
    let site = Site::new();
    site.store_legacy_backup("20130828T1810Z", 1);
    site
}

#[test]
fn a_directory_with_content_is_refused_and_left_alone() {
    let site = site();
    site.write("data/precious", "x");
    let ran = site.run(&["restore", "20130828T1810Z", "data"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("data") && ran.stderr.contains("empty"), "{ran:?}");
    assert_eq!(fs::read_dir(site.path("data")).unwrap().count(), 1);
}

#[test]
fn an_unknown_key_is_refused_with_what_there_is() {
    let site = site();
    let ran = site.run(&["restore", "20130828T1811Z", "data"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("there is 20130828T1810Z"), "{ran:?}");
    assert!(!site.path("data").exists());
}

#[test]
fn a_backup_that_is_no_tar_leaves_nothing_behind() {
    let site = site();
    let ran = site.run(&["restore", "latest", "data"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("pg_basebackup_20130828T1810Z.tgz"), "{ran:?}");
    assert!(!site.path("data").exists());
}

#[test]
fn a_directory_that_was_there_is_as_it_was_after_a_restore_that_failed() {
    let site = site();
    let data = site.path("data");
    fs::create_dir(&data).unwrap();
    for mode in [0o755, 0o750] {
        fs::set_permissions(&data, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(site.run(&["restore", "latest", "data"]).code, 1);
        assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o7777, mode);
        assert_eq!(fs::read_dir(&data).unwrap().count(), 0);
    }
}

#[test]
fn targets_that_make_no_sense_are_refused_before_anything_is_read() {
    let site = Site::new();
    for (flags, told) in [
        (&["--target-time", "2013-08-28 19:40:00"][..], "time zone"),
        (&["--target-time", "yesterday"], "yesterday"),
        (&["--target-lsn", "5C000020"], "5C000020"),
        (&["--target-xid", "x"], "--target-xid"),
        (&["--target-immediate", "--target-name", "x"], "cannot be used with"),
        (&["--target-action", "promote"], "required"),
        (&["--target-action", "explode", "--target-immediate"], "explode"),
        (&["--target-timeline", "newest"], "newest"),
        (&["--tablespace-mapping", "/old"], "no '='"),
        (&["--tablespace-mapping", "old=/new"], "whole paths"),
    ] {
        let ran = site.run(&[&["restore", "latest", "data"], flags].concat());
        assert_eq!(ran.code, 2, "{flags:?}: {ran:?}");
        assert!(ran.stderr.contains(told), "{flags:?}: {ran:?}");
    }
    assert!(!site.path("data").exists());
}
