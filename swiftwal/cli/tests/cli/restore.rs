//! restore.

use std::{
    fs,
    io::{self, PipeReader, Read, Write},
    os::unix::fs::PermissionsExt,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

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
    let mut progress = ran.stderr.lines().filter(|line| line.contains(" %)"));
    assert!(progress.next_back().unwrap().contains("(100 %)"), "{ran:?}");
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
    assert_eq!((&told["followed"]["timeline"], &told["others"]), (&1.into(), &serde_json::json!([])));
    assert!(told["notices"].is_array(), "{told}");
    assert!(data.join("global/pg_control").exists());
}

#[test]
fn a_dry_run_reports_what_it_would_do_and_writes_nothing() {
    let site = Site::new();
    let key = site.store_backup();
    let ran = site.run(&["restore", "latest", "data", "--dry-run"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    let first =
        format!("Would restore {key} from {} into data; nothing was written\n", site.repository_url());
    assert!(ran.stdout.starts_with(&first), "{ran:?}");
    assert!(ran.stdout.contains("\n  Recovery follows timeline 1: newest backup "), "{ran:?}");
    let told = site.succeed(&["--json", "restore", "latest", "data", "--dry-run"]);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["key"], &told["dry_run"]), (&key.into(), &true.into()));
    assert!(told["bytes"].as_u64() > told["stored_bytes"].as_u64(), "{told}");
    assert_eq!((&told["followed"]["timeline"], &told["existing"]), (&1.into(), &serde_json::Value::Null));
    assert!(!site.path("data").exists());

    site.succeed(&["restore", "latest", "data"]);
    let delta = ["restore", "latest", "data", "--delta", "--dry-run"];
    let told = site.succeed(&delta);
    assert!(
        told.contains("\n  In data: ") && told.contains(" files have the size that they have in the backup"),
        "{told}"
    );
    let told = site.succeed(&[&["--json"], &delta[..]].concat());
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert!(told["existing"]["may_be_kept"].as_u64() < told["existing"]["files"].as_u64(), "{told}");
    site.write("data/postmaster.pid", "1\n/data\n");
    let ran = site.run(&delta);
    assert!(ran.code == 1 && ran.stderr.contains("contains postmaster.pid"), "{ran:?}");
    assert!(site.path("data/global/pg_control").exists());
}

#[test]
fn without_recovery_no_settings_are_written_and_that_is_said() {
    let site = Site::new();
    site.store_backup();
    let wal = site.path("wal");
    let told =
        site.succeed(&["restore", "latest", "data", "--no-recovery", "--waldir", wal.to_str().unwrap()]);
    assert!(told.contains("No recovery settings were written"), "{told}");
    assert!(site.path("data/global/pg_control").exists() && !site.path("data/recovery.signal").exists());
    assert_eq!(fs::read_link(site.path("data/pg_wal")).unwrap(), wal);
    assert!(wal.join("archive_status").exists());
    for setting in [&["--standby"][..], &["--archive-mode", "off"], &["--target-xid", "7"]] {
        let arguments = [&["restore", "latest", "other", "--no-recovery"], setting].concat();
        assert_eq!(site.run(&arguments).code, 2);
    }
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
        assert!(ran.code == 1 && ran.stderr.contains(&told), "{ran:?}");
        assert!(site.path("data/global/pg_control").exists());
    }
}

/// Starts a restore that blocks when it has claimed its directory, since nothing reads its output.
fn start_restore(site: &Site) -> (Child, PipeReader) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let size = rustix::pipe::fcntl_getpipe_size(&writer).unwrap();
    writer.write_all(&vec![b'x'; size]).unwrap();
    let child = site.command(&["-v", "restore", "latest", "data"]).stderr(writer).spawn().unwrap();
    let marker = site.path("data/swiftwal_restore_in_progress");
    let began = Instant::now();
    while !fs::read_to_string(&marker).is_ok_and(|text| text.ends_with('\n')) {
        assert!(began.elapsed() < Duration::from_secs(100), "it doesn't claim the directory");
        thread::yield_now();
    }
    (child, reader)
}

#[test]
fn a_second_restore_into_the_same_directory_is_refused_and_harms_nothing() {
    let site = Site::new();
    let key = site.store_backup();
    let (mut first, mut stderr) = start_restore(&site);
    for _ in 0..2 {
        let second = site.run(&["restore", "latest", "data"]);
        assert_eq!(second.code, 1, "{second:?}");
        let process = format!("(backup {key}, by process {} on host ", first.id());
        assert!(second.stderr.contains("another process is restoring into data"), "{second:?}");
        assert!(second.stderr.contains(&process), "{second:?}");
    }
    io::copy(&mut stderr, &mut io::sink()).unwrap();
    assert!(first.wait().unwrap().success());
    assert!(site.path("data/global/pg_control").exists() && site.path("data/backup_label").exists());
    assert!(!site.path("data/swiftwal_restore_in_progress").exists());
}

#[test]
fn what_a_killed_restore_left_is_told_with_what_to_do_and_left_alone() {
    let site = Site::new();
    site.store_backup();
    let (mut killed, _stderr) = start_restore(&site);
    site.write("data/precious", "x");
    killed.kill().unwrap();
    killed.wait().unwrap();
    let ran = site.run(&["restore", "latest", "data"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("data contains what an interrupted restore left (backup "), "{ran:?}");
    assert!(ran.stderr.contains("remove everything in it"), "{ran:?}");
    assert_eq!(fs::read(site.path("data/precious")).unwrap(), b"x");
}

#[test]
fn a_restore_that_is_stopped_leaves_what_others_put_into_the_directory() {
    let site = Site::new();
    site.store_backup();
    let (mut stopped, mut stderr) = start_restore(&site);
    site.write("data/PG_VERSION", "foreign");
    let mut told = String::new();
    stderr.read_to_string(&mut told).unwrap();
    assert_eq!(stopped.wait().unwrap().code(), Some(1), "{told}");
    assert!(told.contains("data/PG_VERSION appeared while the backup was being restored"), "{told}");
    assert!(told.contains("data isn't empty after the failed restore"), "{told}");
    assert_eq!(fs::read(site.path("data/PG_VERSION")).unwrap(), b"foreign");
    assert_eq!(fs::read_dir(site.path("data")).unwrap().count(), 1);
}

#[test]
fn a_restore_says_how_it_ended_and_what_to_do_next() {
    let site = Site::new();
    let key = site.store_backup();
    let ran = site.run(&["restore", "latest", "data"]);
    let data = site.path("data");
    assert!(ran.stdout.starts_with(&format!("Restored {key} into data: ")), "{ran:?}");
    for told in [
        &format!("pg_ctl -D {} start", data.display()),
        "with PostgreSQL 15:",
        "recovers to the end of the stored WAL",
        "archive_mode = off",
    ] {
        assert!(ran.stdout.contains(told), "{told}: {ran:?}");
    }
    let missing = format!("{}/pg_hba.conf doesn't exist", "data");
    assert!(ran.stderr.contains(&missing), "{ran:?}");
}

#[test]
fn a_copy_archives_nothing_where_that_is_asked_for() {
    let site = Site::new();
    site.store_backup();
    let settings =
        |directory: &str| fs::read_to_string(site.path(directory).join("postgresql.auto.conf")).unwrap();
    site.succeed(&["restore", "latest", "copy", "--archive-mode", "off"]);
    site.succeed(&["restore", "latest", "data", "--archive-mode", "keep"]);
    assert!(settings("copy").contains("archive_mode = 'off'\n"));
    assert!(!settings("data").contains("archive_mode"));
}

#[test]
fn a_standby_removes_wal_where_that_is_asked_for() {
    let site = Site::new();
    site.store_backup();
    let settings =
        |directory: &str| fs::read_to_string(site.path(directory).join("postgresql.auto.conf")).unwrap();
    site.succeed(&["restore", "latest", "standby", "--standby"]);
    assert!(!settings("standby").contains("archive_cleanup_command"), "{}", settings("standby"));
    site.succeed(&["restore", "latest", "only", "--standby", "--archive-cleanup"]);
    let command = format!(
        "archive_cleanup_command = '{} --repository {} archive-cleanup \"%r\"'\n",
        env!("CARGO_BIN_EXE_swiftwal"),
        site.repository_url()
    );
    assert!(settings("only").contains(&command), "{}", settings("only"));
}

#[test]
fn a_line_break_that_would_end_in_the_settings_is_refused_before_the_copy() {
    let site = Site::new();
    site.store_backup();
    site.write("a\nb.toml", "");
    for arguments in [
        &["restore", "latest", "data", "--target-name", "a\nport = 1"][..],
        &["-c", "a\nb.toml", "restore", "latest", "data"],
    ] {
        let ran = site.run(arguments);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains("line break") && ran.stderr.lines().count() == 1, "{ran:?}");
        assert!(!site.path("data").exists());
    }
}

#[test]
fn a_time_may_be_written_as_in_postgresqls_log() {
    let site = Site::new();
    site.store_backup();
    for (number, time) in ["2999-11-23 10:00:00.123 UTC", "2999-11-23 05:00:00.123 -05"].iter().enumerate() {
        let data = format!("data{number}");
        site.succeed(&["restore", "latest", &data, "--target-time", time]);
        let settings = fs::read_to_string(site.path(&data).join("postgresql.auto.conf")).unwrap();
        assert!(settings.contains("recovery_target_time = '2999-11-23 10:00:00.123+00'\n"), "{settings}");
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
        (&["--target-time", "2013-08-28 19:40:00 CET"], "an offset from UTC"),
        (&["--target-action", "promote"], "required"),
        (&["--archive-cleanup"], "--standby"),
        (&["--archive-mode", "on"], "off or keep"),
        (&["--target-action", "explode", "--target-immediate"], "explode"),
        (&["--target-timeline", "newest"], "newest"),
        (&["--tablespace-mapping", "/old"], "no '='"),
        (&["--tablespace-mapping", "old=/new"], "absolute paths"),
    ] {
        let ran = site.run(&[&["restore", "latest", "data"], flags].concat());
        assert_eq!(ran.code, 2, "{flags:?}: {ran:?}");
        assert!(ran.stderr.contains(told), "{flags:?}: {ran:?}");
    }
    assert!(!site.path("data").exists());
}
