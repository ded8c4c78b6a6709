//! The settings of the connection to the server.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::site::{Site, run};

#[test]
fn a_password_file_that_is_not_used_is_reported_once_however_often_it_is_looked_at() {
    let site = Site::new();
    let passwords = site.write("passwords", "");
    fs::set_permissions(&passwords, fs::Permissions::from_mode(0o644)).unwrap();
    let nowhere = site.path("nowhere").display().to_string();
    for method in ["local", "replication"] {
        let mut command = site.command(&["backup", "--method", method, "-H", &nowhere, "-U", "u"]);
        let ran = run(command.env("PGPASSFILE", &passwords));
        assert!(ran.code != 0 && ran.stderr.contains("could not connect to the server"), "{ran:?}");
        assert_eq!(ran.stderr.matches("has group or world access").count(), 1, "{method}: {ran:?}");
    }
}
