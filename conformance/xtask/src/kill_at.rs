//! Kills a program at a line of its log: it can't go on when it has written that much, since nothing reads its output.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use rustix::io::ioctl_fionread;
use rustix::pipe::fcntl_getpipe_size;

use crate::{output, until};

/// What a page of a pipe holds. A line that doesn't fit into the rest of a page begins another.
const PAGE_BYTES: usize = 4096;
/// By how much all lines may be longer or shorter than in an earlier run, by the numbers in them: less than a line.
const VARIES_BYTES: usize = 24;

/// The log that a command writes to its standard error.
#[derive(Clone, Debug)]
pub struct Log {
    /// The length of each line.
    lines: Vec<usize>,
}

impl Log {
    /// Runs the command, which must succeed.
    pub fn of(command: &mut Command) -> Result<Self> {
        let ended = output(command)?;
        let log = String::from_utf8_lossy(&ended.stderr);
        ensure!(ended.status.success(), "{log}");
        Ok(Self { lines: log.lines().map(|line| line.len() + 1).collect() })
    }

    /// Returns the number of each line.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = usize> + ExactSizeIterator {
        0..self.lines.len()
    }

    /// Runs the command until it has written the lines before the one with the number `line`, perhaps without the last of
    /// them, and kills it. It writes at most one more, however long it takes to be killed. Returns whether it hadn't ended.
    pub fn kill_at(&self, command: &mut Command, line: usize) -> Result<bool> {
        let bytes = |lines: usize| self.lines.iter().take(lines).sum::<usize>();
        let (reader, mut writer) = std::io::pipe()?;
        let size = fcntl_getpipe_size(&writer)?;
        let room = bytes(line) + VARIES_BYTES;
        ensure!(room <= size, "the log is longer than a pipe");
        writer.write_all(&vec![b'\n'; size - room])?;
        let mut child = command.stdout(Stdio::null()).stderr(writer).spawn()?;
        let lost = room / PAGE_BYTES * self.lines.iter().max().unwrap_or(&0) + VARIES_BYTES;
        let enough = (size - room + bytes(line.saturating_sub(1))).saturating_sub(lost);
        until("the command has written these lines", || {
            Ok(ioctl_fionread(&reader)? >= enough as u64 || child.try_wait()?.is_some())
        })?;
        child.kill()?;
        Ok(child.wait()?.code().is_none())
    }
}
