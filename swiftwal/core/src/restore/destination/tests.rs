//! Tests of what only a process shows: a server that is started meanwhile.

use std::{
    fs,
    process::{Child, Command, Stdio},
};

use super::*;
use crate::restore::claim::Reuse;

const CONTROL_FILE: &[u8] = include_bytes!("../../../../postgres/tests/data/pg_control");

/// A process that works in a directory, as those of PostgreSQL do, under the same name.
struct Server(Child);

impl Server {
    fn start(scratch: &Path, data: &Path) -> Self {
        let program = scratch.join("postgres");
        if !program.exists() {
            std::os::unix::fs::symlink("/bin/sleep", &program).unwrap();
        }
        let started =
            Command::new(program).arg("600").current_dir(data).stdin(Stdio::null()).spawn().unwrap();
        // The kernel sets the name a moment after the program has begun.
        let name = format!("/proc/{}/comm", started.id());
        while fs::read_to_string(&name).unwrap() != "postgres\n" {
            std::thread::yield_now();
        }
        Self(started)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_server_that_is_started_after_the_claim_ends_a_restore_over_its_files() {
    let scratch = tempfile::tempdir().unwrap();
    let (data, control) = (scratch.path().join("data"), scratch.path().join("data/global/pg_control"));
    fs::create_dir_all(data.join("global")).unwrap();
    fs::write(&control, CONTROL_FILE).unwrap();
    let cluster = swiftwal_postgres::ControlFile::parse(CONTROL_FILE).unwrap().system_identifier;
    let key = "20130828T1810Z".parse().unwrap();
    let claimant = Claimant { key, cluster: Some(cluster), reuse: Reuse::Cluster };
    let destination = Destination::claim(&data, &Tablespaces::default(), None, &claimant).unwrap();

    let server = Server::start(scratch.path(), &data);
    let error = destination.begin_changes().unwrap_err().to_string();
    assert!(error.contains("PostgreSQL is running in"), "{error}");
    assert_eq!(fs::read(&control).unwrap(), CONTROL_FILE);
    drop(server);

    destination.begin_changes().unwrap();
    assert!(!control.exists());
    let _server = Server::start(scratch.path(), &data);
    let error = destination.publish_control(CONTROL_FILE, b"label").unwrap_err().to_string();
    assert!(error.contains("PostgreSQL is running in"), "{error}");
    assert!(!control.exists());
}
