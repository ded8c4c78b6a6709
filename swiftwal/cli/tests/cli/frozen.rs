//! A backup that is suspended, as on a suspended machine, while another process prunes.

use std::{
    fs::{self, File, FileTimes},
    path::Path,
    process::Child,
    time::{Duration, SystemTime},
};

use rustix::process::{Pid, Signal, kill_process};
use swiftwal_conformance::SyntheticCluster;
use swiftwal_core::{Clock, SystemClock};

use crate::{
    server::{Gate, Server},
    site::Site,
    stopping::until,
};

/// The moment at which the backup is suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    Claimed,
    LabelSent,
    WaitingForWal,
}

const POINTS: [Point; 3] = [Point::Claimed, Point::LabelSent, Point::WaitingForWal];

/// A repository with one backup that begins in segment 8, and a suspended backup that begins in segment 3.
struct Frozen {
    site: Site,
    server: Server,
    kept: String,
    point: Point,
    backup: Running,
}

/// A process that is killed at the end of its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The outcome of a suspended backup after it has continued.
struct Ended {
    site: Site,
    server: Server,
    kept: String,
    code: Option<i32>,
    stderr: String,
}

impl Frozen {
    fn new(point: Point) -> Self {
        let site = Site::new();
        let cluster = SyntheticCluster::new(1);
        let archive = |number| {
            let path = format!("pg_wal/{}", cluster.segment_name(number));
            site.write(&path, cluster.segment(number));
            site.succeed(&["archive-wal", &path]);
        };
        for number in (1..=3).chain(5..=9) {
            archive(number);
        }
        let kept = Server::new(&site, "kept", cluster.backup(8, 8), false).back_up(&site, &["backup"]);
        let server = Server::new(&site, "frozen", cluster.backup(3, 4), false);
        let arguments = ["-v", "backup", "--archive-timeout", "1h"];
        let stdout = File::create(site.path("stdout")).unwrap();
        let stderr = File::create(site.path("stderr")).unwrap();
        let child = server.command(&site, &arguments).stdout(stdout).stderr(stderr).spawn().unwrap();
        let frozen = Self { site, server, kept, point, backup: Running(child) };
        frozen.come_to_the_point();
        frozen.stop();
        frozen
    }

    fn come_to_the_point(&self) {
        let contains = |file: &str, what: &str| {
            fs::read_to_string(self.site.path(file)).is_ok_and(|text| text.contains(what))
        };
        until(|| contains("stdout", "Creating backup "));
        if self.point == Point::Claimed {
            return;
        }
        self.server.open(Gate::Start);
        until(|| self.markers().iter().any(|marker| marker.contains("first_wal")));
        if self.point == Point::WaitingForWal {
            self.server.open(Gate::Middle);
            until(|| contains("stderr", "to be archived"));
        }
    }

    fn markers(&self) -> Vec<String> {
        // The name of a file that is being written ends in a number.
        let is_marker = |path: &Path| {
            let path = path.to_string_lossy();
            path.contains("...uploading") && !path.contains('#')
        };
        let markers = self.site.stored().into_iter().filter(|(path, _)| is_marker(path));
        markers.map(|(_, content)| String::from_utf8_lossy(&content).into_owned()).collect()
    }

    fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.backup.0), signal).unwrap();
    }

    fn stop(&self) {
        self.send(Signal::STOP);
        let status = format!("/proc/{}/status", self.backup.0.id());
        until(|| fs::read_to_string(&status).is_ok_and(|status| status.contains("State:\tT")));
    }

    /// Makes everything that is stored look as old as if the process had been suspended for that long.
    fn let_pass(&self, time: Duration) {
        age(&self.site.path("repository"), SystemTime::from(SystemClock.now()) - time);
    }

    /// Lets the backup and everything that it waits for continue, and returns its outcome.
    fn go_on(self) -> Ended {
        self.send(Signal::CONT);
        let Self { site, server, kept, point, mut backup } = self;
        let passed = POINTS.iter().position(|passed| *passed == point).unwrap();
        for gate in [Gate::Start, Gate::Middle].into_iter().skip(passed) {
            // The backup may have ended before it reaches that gate.
            server.open_unless(gate, || backup.0.try_wait().unwrap().is_some());
        }
        let cluster = SyntheticCluster::new(1);
        for number in [3, 4, 5] {
            let path = format!("pg_wal/{}", cluster.segment_name(number));
            site.write(&path, cluster.segment(number));
            site.succeed(&["archive-wal", &path]);
        }
        let code = backup.0.wait().unwrap().code();
        let stderr = fs::read_to_string(site.path("stderr")).unwrap();
        Ended { site, server, kept, code, stderr }
    }
}

/// Sets the modification time of every file below `path`.
fn age(path: &Path, then: SystemTime) {
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            age(&path, then);
        } else {
            let file = File::options().write(true).open(&path).unwrap();
            file.set_times(FileTimes::new().set_modified(then)).unwrap();
        }
    }
}

fn prune(site: &Site) {
    site.succeed(&["prune", "--keep-backups", "1"]);
}

fn is_stored(site: &Site, number: u64) -> bool {
    let name = SyntheticCluster::new(1).segment_name(number).to_string();
    site.succeed(&["list-wal"]).contains(&name)
}

#[test]
fn a_backup_that_was_stopped_for_longer_than_a_day_is_not_committed_after_a_prune() {
    for point in POINTS {
        let frozen = Frozen::new(point);
        frozen.let_pass(Duration::from_hours(25));
        prune(&frozen.site);
        assert!(!is_stored(&frozen.site, 3), "{point:?}: it counts as crashed");
        let Ended { site, kept, code, stderr, .. } = frozen.go_on();
        assert_eq!(code, Some(1), "{point:?}: {stderr}");
        assert!(stderr.contains("was suspended for more than a day"), "{point:?}: {stderr}");
        assert_eq!(site.succeed(&["list-backups"]), format!("{kept}\n"), "{point:?}");
        site.succeed(&["restore", "latest", "data"]);
        assert!(site.path("data/global/pg_control").exists());
    }
}

#[test]
fn a_backup_that_was_stopped_for_less_than_a_day_goes_on_after_a_prune_and_is_whole() {
    for point in POINTS {
        let frozen = Frozen::new(point);
        frozen.let_pass(Duration::from_hours(23));
        prune(&frozen.site);
        assert!(is_stored(&frozen.site, 3), "{point:?}: the WAL that it needs stays");
        assert_complete(frozen.go_on());
    }
}

#[test]
fn a_backup_that_was_stopped_for_longer_than_a_day_is_whole_if_nothing_was_pruned() {
    for point in POINTS {
        let frozen = Frozen::new(point);
        frozen.let_pass(Duration::from_hours(25));
        assert_complete(frozen.go_on());
    }
}

fn assert_complete(Ended { site, server, kept, code, stderr }: Ended) {
    assert_eq!(code, Some(0), "{stderr}");
    let listed = site.succeed(&["list-backups"]);
    let key = listed.lines().find(|key| *key != kept).unwrap_or_else(|| panic!("{listed}"));
    site.succeed(&["restore", key, "data"]);
    server.assert_restored(&site.path("data"));
}
