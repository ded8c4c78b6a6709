//! Two simultaneous processes in one repository, or with one directory.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Stdio},
};

use swiftwal_conformance::SyntheticCluster;

use crate::{
    server::{Gate, Server},
    site::{Ran, Site, ran, segment, segment_name},
};

/// The number of times that two processes are started without being synchronised.
const ROUNDS: u32 = 20;

fn ended(child: Child) -> Ran {
    ran(child.wait_with_output().unwrap())
}

/// Starts two processes and waits for both. Exactly one must succeed; it is returned first.
fn winner_and_loser(site: &Site, arguments: [&[&str]; 2]) -> [(usize, Ran); 2] {
    let children = arguments.map(|arguments| {
        site.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    });
    let [first, second] = children.map(ended);
    match (first.code, second.code) {
        (0, 1) => [(0, first), (1, second)],
        (1, 0) => [(1, second), (0, first)],
        _ => panic!("{arguments:?}: {first:?} {second:?}"),
    }
}

#[test]
fn of_two_contents_of_one_segment_one_is_stored_and_the_other_is_refused() {
    let site = Site::new();
    for number in 1..=ROUNDS {
        let name = segment_name(number);
        let paths = [1, 2].map(|fill| {
            let path = format!("{fill}/{name}");
            site.write(&path, segment(number, fill));
            path
        });
        let commands = paths.each_ref().map(|path| ["archive-wal", path.as_str()]);
        let [(winner, _), (loser, refused)] = winner_and_loser(&site, [&commands[0], &commands[1]]);
        assert!(refused.stderr.contains("with different content"), "{refused:?}");
        let stored = || {
            site.succeed(&["restore-wal", &name, "back"]);
            fs::read(site.path("back")).unwrap()
        };
        assert!(stored() == fs::read(site.path(&paths[winner])).unwrap(), "round {number}");
        // The winner's content remains.
        site.succeed(&commands[winner]);
        assert_eq!(site.run(&commands[loser]).code, 1, "round {number}");
        assert!(stored() == fs::read(site.path(&paths[winner])).unwrap(), "round {number}");
    }
    assert_eq!(site.succeed(&["list-wal"]).lines().count(), ROUNDS as usize);
}

#[test]
fn of_two_restores_into_one_directory_one_is_whole_and_the_other_removes_nothing() {
    let site = Site::new();
    let server = Server::new(&site, "server", SyntheticCluster::new(1).backup(3, 4), true);
    server.back_up(&site, &["backup", "--xlog"]);
    for round in 0..ROUNDS {
        let data = format!("data-{round}");
        let restore: &[&str] = &["restore", "latest", &data];
        let [_, (_, refused)] = winner_and_loser(&site, [restore; 2]);
        assert!(refused.stderr.contains(&data), "{refused:?}");
        let directory = site.path(&data);
        assert!(!directory.join("swiftwal_restore_in_progress").exists());
        server.assert_restored(&directory);
    }
}

/// Returns the key that a backup reports, and the rest of its output.
fn claimed(child: &mut Child) -> (String, BufReader<ChildStdout>) {
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let key = line.strip_prefix("Creating backup ").and_then(|rest| rest.split(' ').next());
    (key.unwrap_or_else(|| panic!("{line}")).to_owned(), stdout)
}

#[test]
fn two_backups_in_one_minute_get_keys_of_their_own_and_are_not_mixed() {
    let site = Site::new();
    let cluster = SyntheticCluster::new(1);
    let servers = [(3, "one"), (6, "two")]
        .map(|(start, name)| Server::new(&site, name, cluster.backup(start, start), true));
    let mut children = servers
        .each_ref()
        .map(|server| server.command(&site, &["backup", "--xlog"]).stderr(Stdio::piped()).spawn().unwrap());
    let claims = children.each_mut().map(claimed);
    assert_ne!(claims[0].0, claims[1].0);
    // Both are in the middle of the backup at the same time.
    servers.iter().for_each(|server| server.open(Gate::Start));
    servers.iter().for_each(|server| server.open(Gate::Middle));
    for child in children {
        let ran = ended(child);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    for ((key, _), server) in claims.iter().zip(&servers) {
        site.succeed(&["restore", key, key]);
        server.assert_restored(&site.path(key));
    }
    assert_eq!(site.succeed(&["list-backups"]).lines().count(), 2);
}
