//! Help, version, and invalid arguments.

use crate::site::{Site, run};

#[test]
fn the_version_and_the_help_are_results() {
    let site = Site::new();
    assert_eq!(site.succeed(&["--version"]), format!("swiftwal {}\n", env!("CARGO_PKG_VERSION")));
    let help = site.succeed(&["--help"]);
    for told in
        ["archive_command = ", "restore latest", "Exit codes:", "SWIFTWAL_REPOSITORY", "XDG_STATE_HOME"]
    {
        assert!(help.contains(told), "{told}: {help}");
    }
    let short = site.succeed(&["-h"]);
    assert!(help.contains("--os-auth-url") && !short.contains("--os-auth-url"), "{short}");
    assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    assert!(site.succeed(&["restore-wal", "--help"]).contains("restore_command = "));
    assert!(site.succeed(&["backup", "-c", "fast", "-h"]).contains("--checkpoint"));
}

#[test]
fn arguments_that_make_no_sense_end_with_2_and_do_nothing() {
    let site = Site::new();
    for arguments in [
        &[][..],
        &["frobnicate"],
        &["--bogus", "list-wal"],
        &["list-wal", "extra"],
        &["label", "yesterday"],
        &["backup", "-c", "slow"],
        &["backup", "-p", "70000"],
        &["archive-wal"],
        &["prune"],
        &["check", "--no-server", "-H", "db1"],
        &["archive-cleanup", "notes.txt"],
        &["archive-cleanup", "00000002.history"],
        &["backup", "-l", "two\nlines"],
        &["backup", "--archive-timeout", "100000"],
        &["archive-wal", "notes.txt"],
        &["-C", "a", "--repository", "file:///b", "list-wal"],
    ] {
        let ran = site.run(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments:?}: {ran:?}");
        assert!(!ran.stderr.is_empty(), "{arguments:?}");
    }
    assert!(site.stored().is_empty());
}

#[test]
fn a_wrong_value_is_refused_with_what_would_do() {
    let site = Site::new();
    let huge = "100000000000000000000000";
    for (arguments, told) in [
        (&["backup", "-c", "/etc/swiftwal.toml"][..], "use --config FILE"),
        (&["backup", "-h", "db1"], "the host of the server is -H db1"),
        (&["backup", "-c", "fast", "-hdb1"], "the host of the server is -H db1"),
        (&["backup", "--method", "rsync"], "the method must be local, pg_basebackup or replication"),
        (&["backup", "-p", "abc"], "it is not a whole number"),
        (&["backup", "-p", "70000"], "it is too large; the largest is 65535"),
        (&["backup", "-p", "-1"], "it must be at least 1"),
        (&["backup", "--archive-timeout", "soon"], "90s, 5min, 2h or 1d"),
        (&["backup", "--archive-timeout", "-1"], "90s, 5min, 2h or 1d"),
        (&["prune", "--keep-backups", "abc"], "it is not a whole number"),
        (&["prune", "--keep-backups", "-1"], "it must be at least 1"),
        (&["prune", "--keep-backups", huge], "it is too large; the largest is 4294967295"),
        (&["prune", "--keep-backups", "0"], "would remove every backup"),
        (&["prune", "--keep-backups=1", "--keep-wals", "-1"], "it must be at least 0"),
        (&["restore", "latest", "data", "--target-xid", "-1"], "it must be at least 0"),
        (&["archive-wal", "--ahead", "-1", "wal"], "it must be at least 0"),
        (&["label", "yesterday"], "see list-backups"),
    ] {
        let ran = site.run(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(told), "{arguments:?}: {ran:?}");
        assert!(!ran.stderr.contains("target type") && !ran.stderr.contains("digit found"), "{ran:?}");
    }
    // PostgreSQL restarts its archiver after 126 and above, and doesn't end recovery.
    for (command, code) in [("archive-wal", 2), ("restore-wal", 128)] {
        let ran = site.run(&[command, "--jobs", "0"]);
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(ran.stderr.contains("it must be at least 1"), "{ran:?}");
    }
}

#[test]
fn a_command_of_another_program_is_refused_with_what_does_it_here() {
    let site = Site::new();
    for (command, told) in [
        ("show", "info shows everything at a glance, list-backups -v the backups"),
        ("expire", "prune --keep-backups N removes"),
        ("frobnicate", "\n\nCommands: backup, restore, drill, info, check, "),
        ("list-backup", "'list-backups'"),
    ] {
        let ran = site.run(&[command]);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{command}: {ran:?}");
        assert!(ran.stderr.contains(told), "{command}: {ran:?}");
    }
}

#[test]
fn an_unknown_scheme_is_refused_with_the_known_ones() {
    let ran = run(Site::new().bare_command(&[]).args(["--repository", "ftp://x/y", "list-wal"]));
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("'ftp://'") && ran.stderr.contains("file://"), "{}", ran.stderr);
}

#[test]
fn a_scheme_that_this_build_left_out_is_refused_with_the_feature_that_brings_it() {
    for (scheme, feature, built) in [
        ("s3", "s3", cfg!(feature = "s3")),
        ("gs", "gcs", cfg!(feature = "gcs")),
        ("az", "azure", cfg!(feature = "azure")),
    ] {
        let url = format!("{scheme}://bucket");
        let ran = run(&mut Site::new().bare_command(&["--repository", &url, "list-wal"]));
        let told = ran.stderr.ends_with(&format!("build swiftwal with --features {feature}\n"));
        assert_ne!(told, built, "{ran:?}");
    }
}

#[test]
fn a_path_instead_of_a_url_is_refused_with_the_right_url() {
    let ran = run(Site::new().bare_command(&[]).args(["--repository", "/srv/backups", "list-wal"]));
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (2, "swiftwal: '/srv/backups' is not a URL; for a directory use file:///srv/backups\n")
    );
}

#[test]
fn a_missing_directory_is_a_failure_for_who_reads_and_made_for_who_stores() {
    let site = Site::new();
    for command in ["list-wal", "list-backups"] {
        let ran = site.run(&[command]);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.stderr.contains("the directory doesn't exist"), "{ran:?}");
    }
    assert!(!site.path("repository").exists());
    site.archive([1]);
}

#[test]
fn a_backup_without_a_server_fails_and_lists_nothing() {
    let site = Site::new();
    site.archive([1]);
    let before = site.stored();
    // Nothing listens on port 1; if no pg_basebackup is installed, that is the failure.
    for (method, said) in [
        (&[][..], "can't connect to 127.0.0.1:1"),
        (&["--method", "local"], "can't connect to 127.0.0.1:1"),
        (&["--method", "pg_basebackup"], "pg_basebackup"),
    ] {
        let ran = site.run(&[&["backup", "-H", "127.0.0.1", "-p", "1"], method].concat());
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.stderr.contains(said), "{ran:?}");
        assert_eq!(site.stored(), before);
    }
    assert_eq!(site.succeed(&["list-backups"]), "");
}
