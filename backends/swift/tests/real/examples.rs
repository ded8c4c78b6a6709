//! The programs in `examples`, which cargo builds with the tests.

use std::{
    env, fs,
    process::{Command, Output},
};

use super::{
    account::{V1, settings},
    http::{send, set_key},
    signing::KEY,
};

/// Runs an example in an environment with the settings of the account.
fn run(name: &str, arguments: &[&str]) -> String {
    let directory = env::current_exe().unwrap().parent().unwrap().with_file_name("examples");
    let mut command = Command::new(directory.join(name));
    command.args(arguments).envs(settings(V1)).env("TEMP_URL_KEY", KEY);
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{name}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

fn new_name() -> String {
    format!("test-examples-{}", uuid::Uuid::new_v4().simple())
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn the_tour_leaves_nothing() {
    let name = new_name();
    let shown = run("tour", &[&name]);
    assert!(shown.contains("tour/small") && shown.contains("b\"Hello\""), "{shown}");
    assert!(shown.contains("16777216  tour/large") && shown.contains("deleted 2"), "{shown}");
    assert_eq!(run("list", &[&name]), "");
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn a_directory_is_copied_listed_and_read_with_a_signed_url() {
    let (name, source) = (new_name(), tempfile::tempdir().unwrap());
    fs::create_dir(source.path().join("in")).unwrap();
    fs::write(source.path().join("short"), "Hello").unwrap();
    let long: Vec<u8> = (0..12 << 20).map(|number: u32| (number % 251) as u8).collect();
    fs::write(source.path().join("in/long"), &long).unwrap();
    let directory = source.path().to_str().unwrap();
    assert_eq!(run("copy_directory", &[directory, &name, "copy"]), "copied 2 files\n");

    let listed = run("list", &[&name, "copy/in"]);
    assert_eq!(listed.lines().count(), 1);
    assert!(listed.contains(" 12582912  ") && listed.ends_with("  copy/in/long\n"), "{listed}");
    set_key(&settings(V1), None, KEY);
    for (object, content) in [("copy/short", b"Hello".to_vec()), ("copy/in/long", long)] {
        let url = run("presigned", &[&name, object]);
        let response = send("GET", &url.trim().parse().unwrap(), &[], "");
        assert_eq!((response.status, response.body == content), (200, true), "{object}");
    }
}
