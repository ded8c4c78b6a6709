//! Processes of the machine, for faults: descendants, and `kill -9`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::until;

/// A process of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// The name of its program, which the kernel truncates to 15 bytes.
    pub name: String,
    parent: i32,
}

impl Process {
    /// Returns the running process with this id.
    pub fn of(pid: i32) -> Result<Self> {
        read(&PathBuf::from(format!("/proc/{pid}"))).with_context(|| format!("the process {pid} doesn't run"))
    }

    /// Sends SIGKILL. A process that has just ended is no error.
    pub fn kill(&self) {
        if let Some(pid) = Pid::from_raw(self.pid) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }

    /// Returns when the process is gone.
    pub fn wait_for_end(&self) -> Result<()> {
        until(&format!("{} has ended", self.name), || Ok(read(&self.directory()).is_none()))
    }

    pub(crate) fn directory(&self) -> PathBuf {
        format!("/proc/{}", self.pid).into()
    }
}

/// Returns the most memory that a running process has had so far, in KiB; none if it has ended.
#[must_use]
pub fn peak_memory_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    peak.trim().strip_suffix(" kB")?.parse().ok()
}

/// Returns the children of `pid`, their children, and so on.
pub fn descendants(pid: i32) -> Result<Vec<Process>> {
    let all: Vec<Process> =
        fs::read_dir("/proc")?.flatten().filter_map(|entry| read(&entry.path())).collect();
    let mut family = vec![pid];
    let mut found = Vec::new();
    while let Some(parent) = family.pop() {
        for child in all.iter().filter(|process| process.parent == parent) {
            family.push(child.pid);
            found.push(child.clone());
        }
    }
    Ok(found)
}

/// Returns the CPU time of a process, of its descendants, and of those of them that have ended, in seconds. A process
/// that ends counts once its parent has noticed that.
pub(crate) fn cpu_seconds(pid: i32) -> Result<f64> {
    let family = descendants(pid)?.into_iter().map(|process| process.pid).chain([pid]);
    let ticks: u64 = family.filter_map(cpu_ticks).sum();
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Returns four fields of `/proc/PID/stat`: user and system time of the process, and of its children that have ended.
fn cpu_ticks(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').skip(11).take(4).map(|ticks| ticks.parse::<u64>().ok()).sum()
}

/// Parses `/proc/PID/stat`, which begins with `PID (NAME) STATE PPID`; zombies are ignored.
fn read(directory: &Path) -> Option<Process> {
    let stat = fs::read_to_string(directory.join("stat")).ok()?;
    let (pid, rest) = stat.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let alive = fields.next()? != "Z";
    let parent = fields.next()?.parse().ok()?;
    alive.then_some(Process { pid: pid.parse().ok()?, name: name.to_owned(), parent })
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_killed_descendant_is_found_first_and_gone_afterwards() {
        let me = i32::try_from(std::process::id()).unwrap();
        let mut shell = Command::new("sh").args(["-c", "sleep 600 & wait"]).spawn().unwrap();
        let named = |name| -> Result<Option<Process>> {
            Ok(descendants(me)?.into_iter().find(|process| process.name == name))
        };
        until("the grandchild runs", || Ok(named("sleep")?.is_some())).unwrap();
        named("sleep").unwrap().unwrap().kill();
        assert!(shell.wait().unwrap().success());
        assert_eq!(named("sleep").unwrap(), None);
    }

    #[test]
    fn the_cpu_time_of_a_child_that_has_ended_counts() {
        let script = "(i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done); echo ended; read line";
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = shell.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(cpu_seconds(i32::try_from(shell.id()).unwrap()).unwrap() > 0.0);
        drop(shell.stdin.take());
        shell.wait().unwrap();
    }
}
