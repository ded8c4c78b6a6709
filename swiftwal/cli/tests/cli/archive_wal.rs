//! archive-wal, run on directories as repositories.

use std::fs;

use crate::site::{SEGMENT_BYTES, Site, run, segment, segment_name};

#[test]
fn a_segment_is_stored_once_and_the_same_content_again_is_fine() {
    let site = Site::new();
    let path = site.write_segment(5, 1);
    assert_eq!(site.succeed(&["archive-wal", &path]), "");
    let stored = site.stored();
    site.succeed(&["archive-wal", &path]);
    site.succeed(&["--compression", "lz4", "archive-wal", &path]);
    assert_eq!(site.succeed(&["list-wal"]), format!("{}\n", segment_name(5)));
    assert!(
        site.stored()
            .iter()
            .filter(|(path, _)| !path.ends_with("cluster.json"))
            .eq(stored.iter().filter(|(path, _)| !path.ends_with("cluster.json")))
    );
}

#[test]
fn another_content_is_refused_and_replaced_only_by_force() {
    let site = Site::new();
    let path = site.write_segment(5, 1);
    site.succeed(&["archive-wal", &path]);
    let before = site.stored();
    site.write_segment(5, 2);
    let ran = site.run(&["archive-wal", &path]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("--force") && ran.stderr.contains(&segment_name(5)), "{ran:?}");
    assert_eq!(site.stored(), before);
    site.succeed(&["archive-wal", "--force", &path]);
    site.succeed(&["restore-wal", &segment_name(5), "back"]);
    assert_eq!(fs::read(site.path("back")).unwrap(), segment(5, 2));
}

#[test]
fn what_is_no_whole_wal_file_of_this_cluster_is_refused_and_stores_nothing() {
    let site = Site::new();
    site.archive([1]);
    let before = site.stored();
    let foreign_header = |offset: usize| {
        let mut segment = segment(5, 0);
        segment[offset] ^= 1;
        segment
    };
    for (path, content) in [
        ("pg_wal/notes.txt", b"notes".to_vec()),
        ("pg_wal/00000001000000000000000g", segment(5, 0)),
        ("pg_wal/000000010000000000000005", Vec::new()),
        ("pg_wal/000000010000000000000005", segment(5, 0)[..SEGMENT_BYTES - 1].to_vec()),
        ("pg_wal/000000010000000000000005", segment(6, 0)),
        // The system identifier.
        ("pg_wal/000000010000000000000005", foreign_header(24)),
        // The timeline: one above that of the name.
        ("pg_wal/000000010000000000000005", foreign_header(5)),
    ] {
        site.write(path, content);
        let ran = site.run(&["archive-wal", path]);
        assert!((1..=125).contains(&ran.code), "{path}: {ran:?}");
        assert_eq!(site.stored(), before, "{path}");
    }
    for path in ["pg_wal", "pg_wal/000000010000000000000099"] {
        assert!((1..=125).contains(&site.run(&["archive-wal", path]).code), "{path}");
    }
}

#[test]
fn whatever_is_wrong_archive_wal_never_ends_above_125() {
    let site = Site::new();
    let path = site.write_segment(5, 1);
    for (arguments, repository) in [
        (&["archive-wal"][..], site.repository_url()),
        (&["archive-wal", "--bogus", &path], site.repository_url()),
        (&["archive-wal", &path], "ftp://x".to_owned()),
        (&["archive-wal", &path], "file:///nowhere/at/all".to_owned()),
        (&["archive-wal", &path], String::new()),
        (&["--config", "absent.toml", "archive-wal", &path], site.repository_url()),
    ] {
        let ran = run(site.command(arguments).env("SWIFTWAL_REPOSITORY", repository));
        assert!((1..=125).contains(&ran.code), "{arguments:?}: {ran:?}");
    }
}

#[test]
fn what_is_stored_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let site = Site::new();
    site.archive([1]);
    for (path, _) in site.stored() {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
    }
}

#[test]
fn as_json_it_tells_what_is_stored() {
    let site = Site::new();
    let path = site.write_segment(5, 1);
    let told = |json: String| serde_json::from_str::<serde_json::Value>(&json).unwrap();
    let first = told(site.succeed(&["--json", "archive-wal", &path]));
    let object = site.object(&format!("wal_{}.zst", segment_name(5)));
    assert_eq!(first["stored_bytes"], fs::metadata(object).unwrap().len());
    assert!(told(site.succeed(&["--json", "archive-wal", &path]))["stored_bytes"].is_null());
}
