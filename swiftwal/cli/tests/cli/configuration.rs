//! The configuration file, the environment and the options.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use crate::site::{Site, run};

const SECRET: &str = "hunter2";

#[test]
fn flags_beat_the_environment_which_beats_the_file() {
    let site = Site::new();
    for place in ["flag", "environment", "file"] {
        site.write(&format!("{place}/wal_00000002.history"), place.repeat(400));
    }
    let url = |place: &str| format!("file://{}", site.path(place).display());
    site.write("swiftwal.toml", format!("repository = '{}'\n", url("file")));
    let listed = |with_environment: bool, flags: &[&str]| {
        let mut command = site.bare_command(flags);
        if with_environment {
            command.env("SWIFTWAL_REPOSITORY", url("environment"));
        }
        let ran = run(command.args(["-c", "swiftwal.toml", "-v", "list-wal"]));
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.stdout
    };
    assert!(listed(false, &[]).contains("1.56 KiB"));
    assert!(listed(true, &[]).contains("4.30 KiB"));
    assert!(listed(true, &["--repository", &url("flag")]).contains("1.56 KiB"));
}

#[test]
fn both_forms_of_the_file_are_understood() {
    let site = Site::new();
    site.archive([1]);
    for content in [
        format!(
            "repository = '{}'\narchive-timeout = 5\n[settings]\nOS_AUTH_URL = 'x'\n",
            site.repository_url()
        ),
        format!("# original\nexport OS_AUTH_URL='x'\nREPOSITORY=\"{}\"\n", site.repository_url()),
        format!("\u{FEFF}REPOSITORY={}\n", site.repository_url()),
        format!("\u{FEFF}repository = '{}'\n", site.repository_url()),
    ] {
        site.write("file", &content);
        let ran = run(&mut site.bare_command(&["-c", "file", "list-wal"]));
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{content}: {ran:?}");
    }
}

#[test]
fn what_is_wrong_in_the_file_is_told_with_file_and_line_and_without_the_value() {
    let site = Site::new();
    for (content, line, told) in [
        (
            format!("container = 'c'\npasswort = '{SECRET}'\n"),
            2,
            "unknown key 'passwort'; the known keys are: repository, ",
        ),
        (
            format!("container = 'c'\n[settings]\nPASSWORD = '{SECRET}'\n"),
            3,
            "unknown key 'PASSWORD'; did you mean OS_PASSWORD?",
        ),
        (
            format!("container = 'c'\n[settings]\nOS_PASSWORD = {SECRET}\n"),
            3,
            "the value of 'OS_PASSWORD' isn't quoted; write OS_PASSWORD = \"…\"",
        ),
        (
            "repository = file:///srv/backups\n".to_owned(),
            1,
            "the value of 'repository' isn't quoted; write repo",
        ),
        ("[settings]\nOS_PASSWORD = true-blue\n".to_owned(), 2, "the value of 'OS_PASSWORD' isn't quoted"),
        (
            format!("[settings]\nOS_PASSWORD = '{SECRET}\n"),
            2,
            "the value of 'OS_PASSWORD' has no closing quote",
        ),
        (format!("[settings]\nOS_PASSWORD = \"\\q{SECRET}\"\n"), 2, "put it in single quotes"),
        (
            format!("[settings]\nOS_PASSWORD = '{SECRET}' x\n"),
            2,
            "write OS_PASSWORD = \"…\", with nothing after",
        ),
        (
            format!("container = 'c'\nOS_PASSWORD = '{SECRET}'\n"),
            2,
            "'OS_PASSWORD' must be below a heading; put [settings] in a line above it",
        ),
        (
            "[settings]\nrepository = 'swift://c'\n".to_owned(),
            2,
            "'repository' is not a setting of the storage; put it above the heading [settings]",
        ),
        ("container = # none\n".to_owned(), 1, "'container' has no value; write container = \"…\""),
        (format!("container: {SECRET}\n"), 1, "not of the form key = \"value\""),
        ("[settings\nOS_USERNAME = 'x'\n".to_owned(), 1, "the heading isn't closed; write [settings]"),
        (
            format!("container = 'c'\n\ncontainer = '{SECRET}'\n"),
            3,
            "'container' occurs twice, first in line 1; keep one of the two",
        ),
        (
            format!("[settings]\nOS_PASSWORD = 'x'\nOS_PASSWORD = '{SECRET}'\n"),
            3,
            "'OS_PASSWORD' occurs twice, first in line 2; keep one of the two",
        ),
        (
            format!("[settings]\nOS_USERNAME = 'x'\n[settings]\nOS_PASSWORD = '{SECRET}'\n"),
            3,
            "'settings' occurs twice; keep one of the two",
        ),
        (format!("container = ['{SECRET}']\n"), 1, "must be a text in quotes, or a number"),
        (
            format!("CONTAINER=c\nOS_PASWORD={SECRET}\n"),
            2,
            "unknown key 'OS_PASWORD'; did you mean OS_PASSWORD?",
        ),
        (format!("CONTAINER=c\nSWIFT_TEST={SECRET}\n"), 2, "unknown key 'SWIFT_TEST'; "),
        (
            format!("CONTAINER=c\nPGPASS={SECRET}\n"),
            2,
            "unknown key 'PGPASS'; the known keys are: REPOSITORY, ",
        ),
        (
            format!("CONTAINER=c\n\nOS_PASSWORD='{SECRET}\n"),
            3,
            "the value of OS_PASSWORD has no closing quote",
        ),
        (
            format!("CONTAINER=c\nOS_PASSWORD=x\n\nOS_PASSWORD={SECRET}\n"),
            4,
            "the same key as in line 2; keep one of the two",
        ),
        (format!("CONTAINER=c\nSWIFTWAL_CONTAINER={SECRET}\n"), 2, "the same key as in line 1"),
        (format!("CONTAINER=c\n{SECRET}\n"), 2, "not of the form KEY=VALUE"),
    ] {
        site.write("conf", &content);
        let ran = site.run(&["-vv", "-c", "conf", "list-wal"]);
        assert_eq!(ran.code, 2, "{content}: {ran:?}");
        assert!(ran.stderr.starts_with(&format!("swiftwal: conf, line {line}: ")), "{content}: {ran:?}");
        assert!(ran.stderr.contains(told) && !ran.stderr.contains(SECRET), "{content}: {ran:?}");
    }
}

/// As Horizon, the dashboard of OpenStack, offers it for download, with an older deployment's additions.
const OPENRC: &str = r#"#!/usr/bin/env bash
# To use an OpenStack cloud you need to authenticate against the Identity service.
export OS_AUTH_URL=https://keystone.example.org:5000/v3
export OS_PROJECT_ID=0123456789abcdef
export OS_PROJECT_NAME="demo"
export OS_USER_DOMAIN_NAME="Default"
if [ -z "$OS_USER_DOMAIN_NAME" ]; then unset OS_USER_DOMAIN_NAME; fi
export OS_PROJECT_DOMAIN_ID="default"
if [ -z "$OS_PROJECT_DOMAIN_ID" ]; then unset OS_PROJECT_DOMAIN_ID; fi
# unset v2.0 items in case set
unset OS_TENANT_ID
unset OS_TENANT_NAME
export OS_USERNAME="demo"
# With Keystone you pass the keystone password.
if [ -n "$OS_PASSWORD" ]
then
    echo "Using OS_PASSWORD=... of the environment"
else
    echo "Please enter your OpenStack Password for project $OS_PROJECT_NAME as user $OS_USERNAME: "
    read -sr OS_PASSWORD_INPUT
    export OS_PASSWORD=$OS_PASSWORD_INPUT
fi
export OS_REGION_NAME="RegionOne"
if [ -z "$OS_REGION_NAME" ]; then unset OS_REGION_NAME; fi
export OS_INTERFACE=public
export OS_IDENTITY_API_VERSION=3
export OS_IMAGE_API_VERSION=$(echo 2)
export OS_NO_CACHE=True
"#;

#[test]
fn a_whole_openrc_is_accepted_and_what_has_no_effect_is_told_once() {
    let site = Site::new();
    site.archive([1]);
    site.write("demo-openrc.sh", OPENRC);
    let ran = site.run(&["-c", "demo-openrc.sh", "list-wal"]);
    let notice = "swiftwal: warning: demo-openrc.sh: shell commands are skipped (lines 15, 17, 19 and 20); OS_IMAGE_API_VERSION and OS_NO_CACHE aren't used; OS_PASSWORD in line 21 refers to a \
                  shell variable and counts as missing: write its value there, or set it in the environment\n";
    assert_eq!((ran.code, ran.stderr.as_str()), (0, notice), "{ran:?}");

    let missing = run(&mut site.bare_command(&["-c", "demo-openrc.sh", "-C", "pgprod", "list-wal"]));
    let told = "to authenticate with a password, these settings are missing: OS_PASSWORD or ST_KEY";
    assert!(missing.code == 2 && missing.stderr.contains(told), "{missing:?}");

    let toml = "[ settings ]\nOS_IMAGE_API_VERSION = 2\nOS_USERNAME = 'demo'\n";
    site.write("toml", toml);
    let ran = site.run(&["-c", "toml", "list-wal"]);
    let notice = "swiftwal: warning: toml: OS_IMAGE_API_VERSION isn't used\n";
    assert_eq!((ran.code, ran.stderr.as_str()), (0, notice), "{ran:?}");

    site.write("mistaken", OPENRC.replace("OS_NO_CACHE", "OS_PASSWRD"));
    let refused = site.run(&["-c", "mistaken", "list-wal"]);
    let told = "mistaken, line 28: unknown key 'OS_PASSWRD'; did you mean OS_PASSWORD?";
    assert!(refused.code == 2 && refused.stderr.contains(told), "{refused:?}");
}

#[test]
fn archive_wal_warns_of_what_has_no_effect_once_a_day() {
    let site = Site::new();
    let conf = site.write("conf", format!("OS_PASSWORD={SECRET}\necho x\n"));
    fs::set_permissions(conf, fs::Permissions::from_mode(0o644)).unwrap();
    let skipped = "conf: shell commands are skipped (line 2)\n";
    let readable = "conf contains OS_PASSWORD, and every user can read it; restrict it: chmod o= conf\n";
    let warnings = format!("swiftwal: warning: {skipped}swiftwal: warning: {readable}");
    let archive = |number, options: &[&str]| {
        let segment = site.write_segment(number, 0);
        let ran = site.run(&[&["-c", "conf"], options, &["archive-wal", &segment]].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.stderr
    };
    assert_eq!(archive(1, &[]), warnings);
    assert_eq!(archive(2, &[]), "");
    let verbose = archive(3, &["-v"]);
    assert!(verbose.contains(&format!("swiftwal: {skipped}swiftwal: {readable}")), "{verbose}");
    assert_eq!(site.run(&["-c", "conf", "list-wal"]).stderr, warnings, "a person sees it each time");

    fs::remove_dir_all(site.path("state")).unwrap();
    site.write("state", "a file, so that nothing can be remembered");
    assert!(archive(4, &[]).starts_with(&warnings));
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_that_names_it() {
    let site = Site::new();
    fs::create_dir(site.path("directory")).unwrap();
    site.write("latin1", b"container = 'c'\n[settings]\nOS_PASSWORD = 'caf\xe9'\n");
    site.write("huge", vec![b'#'; (1 << 20) + 1]);
    for (file, told) in [
        (
            "absent.toml",
            "can't read the configuration file absent.toml: No such file or directory (os error 2); check that the \
             file and its directory exist",
        ),
        (
            "directory",
            "the configuration file directory is a directory; name a file in it: --config directory/swiftwal.toml",
        ),
        ("latin1", "latin1, line 3: there are bytes that aren't UTF-8; save the file in UTF-8"),
        ("huge", "the configuration file huge is larger than 1024 KiB; check that it is the right file"),
    ] {
        let ran = site.run(&["-c", file, "list-wal"]);
        assert_eq!((ran.code, ran.stderr), (2, format!("swiftwal: {told}\n")), "{file}");
    }
}

#[test]
fn secrets_never_show() {
    let site = Site::new();
    site.write("conf", format!("OS_PASSWORD={SECRET}\nST_KEY={SECRET}\n"));
    let url = format!("swift://me:{SECRET}@pgprod");
    for arguments in [
        &["-vv", "-c", "conf", "list-wal"][..],
        &["-vv", "-c", "conf", "-C", "pgprod", "list-wal"],
        &["-vv", "--repository", &url, "list-wal"],
        &["-vv", "--repository", &url, "restore", "latest", "data"],
    ] {
        let ran = run(site.command(arguments).env("AWS_SECRET_ACCESS_KEY", SECRET));
        assert!(!ran.stdout.contains(SECRET) && !ran.stderr.contains(SECRET), "{arguments:?}: {ran:?}");
    }
    let query = format!("swift://pgprod?key={SECRET}");
    for (url, told) in [(url, "contains a password"), (query, "contains a '?'")] {
        let refused = run(&mut site.bare_command(&["--repository", &url, "list-wal"]));
        assert_eq!(refused.code, 2);
        assert!(refused.stderr.contains(told) && !refused.stderr.contains(SECRET), "{refused:?}");
    }
}

#[test]
fn a_secret_that_every_user_can_read_is_warned_of() {
    let site = Site::new();
    site.archive([1]);
    let file = site.write("conf", format!("OS_PASSWORD={SECRET}\n"));
    for (mode, warned) in [(0o644, true), (0o640, false), (0o600, false)] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let ran = site.run(&["-c", "conf", "list-wal"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        let expected = "swiftwal: warning: conf contains OS_PASSWORD, and every user can read it";
        assert_eq!(ran.stderr.starts_with(expected), warned, "{mode:o}: {ran:?}");
        assert_eq!(ran.stderr.ends_with("chmod o= conf\n"), warned, "{mode:o}: {ran:?}");
    }
}

#[test]
fn a_duration_in_a_file_or_the_environment_has_units_too() {
    let site = Site::new();
    site.archive([1]);
    for (timeout, code) in [("1min", 0), ("5 min", 0), ("30", 0), ("1w", 2)] {
        let content = format!("repository = '{}'\narchive-timeout = '{timeout}'\n", site.repository_url());
        site.write("conf", content);
        let ran = run(&mut site.bare_command(&["-c", "conf", "list-wal"]));
        assert_eq!(ran.code, code, "{timeout}: {ran:?}");
        assert_eq!(ran.stderr.contains("90s, 5min, 2h or 1d"), code == 2, "{ran:?}");
        let ran = run(site.command(&["list-wal"]).env("SWIFTWAL_ARCHIVE_TIMEOUT", timeout));
        assert_eq!(ran.code, code, "{timeout}: {ran:?}");
    }
}

#[test]
fn the_second_c_is_the_checkpoint() {
    let site = Site::new();
    // The first -c names the configuration file, the second one doesn't.
    let ran = site.run(&["-c", "absent.toml", "backup", "-c", "fast"]);
    assert!(ran.stderr.contains("absent.toml") && !ran.stderr.contains("fast"), "{ran:?}");
    assert_eq!(ran.code, 2);
}

#[test]
fn a_shell_can_give_the_output_of_a_command_for_the_file() {
    let site = Site::new();
    let key = site.store_backup();
    for program in [
        format!(
            "exec \"$0\" -c /dev/fd/3 list-backups 3<<END\nrepository = '{}'\nEND\n",
            site.repository_url()
        ),
        format!("echo REPOSITORY={} | \"$0\" -c /dev/fd/0 restore latest data", site.repository_url()),
    ] {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &program, env!("CARGO_BIN_EXE_swiftwal")]).current_dir(site.path(""));
        command.env("XDG_STATE_HOME", site.path("state"));
        let ran = run(&mut command);
        assert!(ran.code == 0 && ran.stdout.contains(&key), "{program}: {ran:?}");
    } // What can't be read again isn't named in the restore_command.
    let settings = fs::read_to_string(site.path("data/postgresql.auto.conf")).unwrap();
    assert!(settings.contains("restore-wal %f") && !settings.contains("--config"), "{settings}");
}

#[test]
fn a_project_above_an_application_credential_is_refused_with_both_names() {
    let site = Site::new();
    let credential = "container = 'pg'\n[settings]\nOS_AUTH_URL = 'http://127.0.0.1:1/v3'\n\
                      OS_APPLICATION_CREDENTIAL_ID = 'c'\nOS_APPLICATION_CREDENTIAL_SECRET = 's'\n";
    site.write("conf", credential);
    let told = "OS_PROJECT_NAME says which project to use, but the application credential of OS_APPLICATION_CREDENTIAL_ID \
                is bound to its own project; remove one of the two; ";
    let run_with = |options: &[&str], variables: &[(&str, &str)]| {
        let mut command = site.bare_command(&[&["-c", "conf"], options, &["list-wal"]].concat());
        run(command.env("SWIFT_RETRY_SECONDS", "0").envs(variables.iter().copied()))
    };
    for ran in [run_with(&["--os-project-name", "p"], &[]), run_with(&[], &[("OS_PROJECT_NAME", "p")])] {
        assert!(ran.code == 2 && ran.stderr.contains(told), "{ran:?}");
        assert!(ran.stderr.contains("a setting is taken from its option"), "{ran:?}");
    }
}
