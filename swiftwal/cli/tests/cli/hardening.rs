//! Protection of the running process from other users.

use std::{
    fs::{self, Permissions},
    io::{BufRead, BufReader},
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    process::{Command, Stdio},
};

use crate::site::Site;

/// The id of a user without privileges and without a name.
const STRANGER: u32 = 54_321;

#[test]
fn a_running_process_can_not_leave_a_core_dump() {
    let site = Site::new();
    let program = site.path("swiftwal");
    fs::copy(env!("CARGO_BIN_EXE_swiftwal"), &program).unwrap();
    // A backup that waits until its standard input, which this test holds, is closed.
    let source = site.write("bin/pg_basebackup", "#!/bin/sh\nexec cat >/dev/null <&3\n");
    fs::set_permissions(source, Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(site.path("repository")).unwrap();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "ulimit -c unlimited 2>/dev/null; exec 3<&0; exec \"$0\" backup"]).arg(&program);
    command.env_clear().env("SWIFTWAL_REPOSITORY", site.repository_url());
    command.env("XDG_STATE_HOME", site.path("state"));
    command.env("PATH", format!("{}:/usr/bin:/bin", site.path("bin").display()));
    let root = fs::metadata(&program).unwrap().uid() == 0;
    if root {
        // The owner in /proc shows whether a process can be dumped; root owns root's processes in any case.
        for path in [site.path(""), site.path("repository")] {
            chown(path, Some(STRANGER), None).unwrap();
        }
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(site.path("bin"), Permissions::from_mode(0o755)).unwrap();
        command.uid(STRANGER).gid(STRANGER);
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("Creating backup "), "{line}");

    let about = format!("/proc/{}", child.id());
    let owner = fs::metadata(format!("{about}/environ")).unwrap().uid();
    let limits = fs::read_to_string(format!("{about}/limits")).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(owner, 0, "it can be dumped");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
}
