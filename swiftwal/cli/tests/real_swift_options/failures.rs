//! Settings that fail, and the messages for people and for PostgreSQL.

use std::{
    io::{BufRead, BufReader, Read},
    process::Stdio,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::site::{HISTORY, PASSWORD, Settings, Site, V1, WRONG, session, settings, with};

/// The failures: the settings, the exit code of `list-wal`, and the expected texts.
fn failures() -> Vec<(&'static str, Settings, i32, Vec<&'static str>)> {
    let password = || settings(&PASSWORD);
    let refused = || vec!["refused the credentials (401 Unauthorized)", "; check user, password or secret"];
    let unreachable = ["Connection refused", "warning: trying again, for 1 s at most: "];
    vec![
        ("a wrong password", with(password(), &[("OS_PASSWORD", WRONG)]), 1, refused()),
        ("a wrong key of version 1", with(settings(&V1), &[("ST_KEY", WRONG)]), 1, refused()),
        ("a project of others", with(password(), &[("OS_PROJECT_NAME", "service")]), 1, refused()),
        (
            "an account of others",
            with(password(), &[("OS_STORAGE_URL", &account_of_others())]),
            1,
            vec!["answered 403 Forbidden (X-Trans-Id ", "; give the user a role in the project"],
        ),
        (
            "nothing set",
            Settings::new(),
            2,
            vec!["no credentials are set; set OS_AUTH_URL with ", "OS_CLOUD", "ST_KEY", "--os-auth-url"],
        ),
        (
            "no password",
            settings(&["OS_AUTH_URL", "OS_USERNAME", "OS_PROJECT_NAME"]),
            2,
            vec!["to authenticate with a password, these settings are missing: OS_PASSWORD or ST_KEY; "],
        ),
        (
            "a region that isn't there",
            with(password(), &[("OS_REGION_NAME", "Atlantis")]),
            1,
            vec!["the catalog has no endpoint object-store public in Atlantis; it has public in RegionOne"],
        ),
        (
            "an identity service that is down",
            with(password(), &[("OS_AUTH_URL", "http://127.0.0.1:1/v3"), ("SWIFT_RETRY_SECONDS", "1")]),
            1,
            [&unreachable[..], &["; check OS_AUTH_URL"]].concat(),
        ),
        (
            "a Swift that is down",
            with(
                password(),
                &[("OS_STORAGE_URL", "http://127.0.0.1:1/v1/AUTH_x"), ("SWIFT_RETRY_SECONDS", "1")],
            ),
            1,
            [
                &unreachable[..],
                &["no connection to http://127.0.0.1:1 (tried ", "; check that it is running"],
            ]
            .concat(),
        ),
        (
            "half an application credential",
            with(settings(&["OS_AUTH_URL"]), &[("OS_APPLICATION_CREDENTIAL_ID", "c1")]),
            2,
            vec![
                "with an application credential, these settings are missing: OS_APPLICATION_CREDENTIAL_SECRET; ",
            ],
        ),
        (
            "a token that nobody knows",
            with(settings(&["OS_AUTH_URL", "OS_PROJECT_NAME"]), &[("OS_TOKEN", WRONG)]),
            1,
            vec!["refused the credentials (404 Not Found)", "or the token, and whether they have expired"],
        ),
        (
            "a container that isn't there",
            password(),
            1,
            vec![
                "there is no container options-absent; ",
                "; archive-wal and backup create it, with --create if this machine has used it before\n",
            ],
        ),
    ]
}

/// Returns the URL of another user's account in the same Swift.
fn account_of_others() -> String {
    let site = Site::new("options-absent");
    site.run(&settings(&PASSWORD), &["-C", site.container, "list-wal"]);
    session(&site.token_files()[0]).1 + "0"
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn what_is_wrong_is_told_and_recovery_never_takes_it_for_the_end_of_the_archive() {
    for (what, settings, code, told) in failures() {
        let site = Site::new("options-absent");
        let run = |command: &[&str]| site.run(&settings, &[&["-vv", "-C", site.container], command].concat());
        let listed = run(&["list-wal"]);
        assert_eq!((listed.code, listed.stdout.as_str()), (code, ""), "{what}: {listed:?}");
        for told in told {
            assert!(listed.stderr.contains(told), "{what}: {told}: {listed:?}");
        }
        assert!(!listed.stderr.contains('\x1b'), "{what}: {listed:?}");
        let restored = run(&["restore-wal", HISTORY, "back"]);
        assert_eq!(restored.code, 128, "{what}: {restored:?}");
        site.write("standby.signal", "");
        // For a history, a standby gets its answer only at the deadline.
        let restored = run(&["--deadline", "2", "restore-wal", HISTORY, "back"]);
        assert_eq!(restored.code, 1, "{what}: {restored:?}");
        assert!(!site.path("back").exists(), "{what}");
    }
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn archiving_that_fails_is_tried_again_by_postgresql_and_does_not_restart_its_archiver() {
    for (what, settings, code, _) in failures() {
        let site = Site::new("options-refused");
        let ran = site.run(&settings, &["-C", site.container, "archive-wal", HISTORY]);
        let expected = if what.starts_with("a container") { 0 } else { code };
        assert_eq!(ran.code, expected, "{what}: {ran:?}");
    }
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn who_waits_for_a_server_that_is_down_is_told_so_and_may_end_it_at_once() {
    let down = with(settings(&PASSWORD), &[("OS_AUTH_URL", "http://127.0.0.1:1/v3")]);
    let site = Site::new("options-interrupted");
    for (command, code, seconds) in
        [(&["archive-wal", HISTORY][..], 1, 54), (&["restore-wal", HISTORY, "back"], 130, 108)]
    {
        let arguments = [&["-C", site.container], command].concat();
        let mut child = site.command(&down, &arguments).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut told = String::new();
        stderr.read_line(&mut told).unwrap();
        let warning = format!("swiftwal: warning: trying again, for {seconds} s at most: ");
        assert!(told.starts_with(&warning), "{told}");
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        stderr.read_to_string(&mut told).unwrap();
        assert!(told.ends_with("swiftwal: stopped by SIGINT\n"), "{told}");
        assert_eq!(child.wait().unwrap().code(), Some(code), "{told}");
    }
}
