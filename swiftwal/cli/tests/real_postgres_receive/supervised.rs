//! As a service of systemd.

use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt, net::UnixDatagram},
    time::Duration,
};

use anyhow::{Result, ensure};
use xtask::Site;

use crate::receiver::{Receiver, wait_until_stored};

pub(crate) fn systemd_is_told_what_it_does_and_that_it_is_alive(site: &Site) -> Result<()> {
    let path = site.scratch.path().join("notify");
    let systemd = UnixDatagram::bind(&path)?;
    fs::set_permissions(&path, Permissions::from_mode(0o777))?;
    systemd.set_read_timeout(Some(Duration::from_secs(60)))?;
    let told = || -> Result<String> {
        let mut message = [0; 4096];
        let bytes = systemd.recv(&mut message)?;
        Ok(String::from_utf8_lossy(&message[..bytes]).into_owned())
    };
    let until_told = |wanted: &str| -> Result<String> {
        loop {
            let message = told()?;
            if message.contains(wanted) {
                return Ok(message);
            }
            ensure!(!message.contains("STOPPING=1"), "{message}");
        }
    };
    let server = &site.postgres;
    server.stop()?;
    let mut command = Receiver::command(site, server, &[]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
    let mut receiver = Receiver::spawn(site, command)?;
    // It isn't ready, but alive.
    loop {
        let message = told()?;
        ensure!(!message.contains("READY=1"), "{message}");
        if message.contains("STATUS=Not receiving WAL: ") {
            break;
        }
    }
    ensure!(!until_told("WATCHDOG=1")?.contains("READY=1"));
    server.start()?;
    let ready = until_told("READY=1")?;
    ensure!(ready.contains("STATUS=Receiving WAL on timeline 1, from "), "{ready}");
    for _ in 0..3 {
        until_told("WATCHDOG=1")?;
    }
    // It goes on even if systemd doesn't read.
    wait_until_stored(&mut receiver, server)?;
    let stopped = std::thread::scope(|scope| {
        let stopped = scope.spawn(|| receiver.stop());
        until_told("STOPPING=1")
            .and_then(|_| stopped.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    stopped.map(drop)
}
