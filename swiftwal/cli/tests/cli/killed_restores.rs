//! Restores that are killed, and the next ones, which complete them.

use std::{fs, path::Path};

use swiftwal_conformance::SyntheticCluster;
use xtask::Log;

use crate::{
    server::Server,
    site::{Site, run},
};

fn site() -> (Site, Server) {
    let site = Site::new();
    let cluster = SyntheticCluster::new(1).with_table_bytes(6 << 20);
    let server = Server::new(&site, "server", cluster.backup(3, 4), true);
    server.back_up(&site, &["backup", "--xlog"]);
    (site, server)
}

/// Kills restores at each line of their log, into directories that `prepare` prepares, and completes them. One that is
/// killed at a line of its log can't have ended by then.
fn kill_and_complete(site: &Site, server: &Server, options: &[&str], prepare: impl Fn(&str)) {
    let command = |name: &str| site.command(&[&["-vv", "restore", "latest", name], options].concat());
    prepare("whole");
    let log = Log::of(&mut command("whole")).unwrap();
    let mut interrupted = 0;
    for line in log.lines() {
        let name = format!("line-{line}");
        prepare(&name);
        let is_killed = log.kill_at(&mut command(&name), line).unwrap();
        if is_interrupted(&site.path(&name)) {
            assert!(is_killed, "{name}");
            interrupted += 1;
        }
        complete(site, server, &name);
    }
    assert!(interrupted > 0, "{interrupted} of {} were interrupted", log.lines().len());
}

/// Whether a restore has begun to change the directory, and hasn't ended.
fn is_interrupted(data: &Path) -> bool {
    data.join("swiftwal_restore_in_progress").exists() && !data.join("global/pg_control").exists()
}

/// Completes what a killed restore left.
fn complete(site: &Site, server: &Server, name: &str) {
    let data = site.path(name);
    let is_complete = data.join("global/pg_control").exists();
    if is_interrupted(&data) {
        let refused = site.run(&["restore", "latest", name]);
        assert!(refused.code == 1 && refused.stderr.contains(name), "{refused:?}");
        assert!(is_interrupted(&data), "{name}");
    }
    let option = if is_complete { "--delta" } else { "--resume" };
    let ran = run(&mut site.command(&["restore", "latest", name, option]));
    assert_eq!(ran.code, 0, "{name}: {ran:?}");
    server.assert_restored(&data);
    assert!(!data.join("swiftwal_restore_in_progress").exists() && !data.join("log").exists(), "{name}");
}

#[test]
fn a_delta_restore_that_is_killed_is_completed_by_the_next() {
    let (site, server) = site();
    kill_and_complete(&site, &server, &["--delta"], |name| {
        site.succeed(&["restore", "latest", name]);
        for file in ["base/5/16384", "backup_label", "log/server.log"] {
            site.write(&format!("{name}/{file}"), "old");
        }
        fs::remove_file(site.path(name).join("recovery.signal")).unwrap();
    });
}

#[test]
fn an_ordinary_restore_that_is_killed_is_completed_with_resume() {
    let (site, server) = site();
    kill_and_complete(&site, &server, &[], |_| {});
}

#[test]
fn a_delta_restore_says_how_much_was_there_and_does_not_go_with_resume() {
    let (site, _server) = site();
    site.succeed(&["restore", "latest", "data"]);
    site.write("data/pg_xact/0000", "old");
    let told = site.succeed(&["restore", "latest", "data", "--delta"]);
    assert!(told.contains(" files were there as in the backup; "), "{told}");
    let told = site.succeed(&["--json", "restore", "latest", "data", "--delta"]);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert!(told["kept_files"].as_u64() > Some(5) && told["fetched_bytes"].is_u64(), "{told}");
    assert_eq!(site.run(&["restore", "latest", "data", "--delta", "--resume"]).code, 2);
    let refused = site.run(&["restore", "latest", "data", "--resume"]);
    assert!(refused.stderr.contains("use --delta"), "{refused:?}");
}
