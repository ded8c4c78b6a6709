//! Reads the messages of `pg_basebackup` on its standard error.

use std::collections::VecDeque;

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader},
    sync::mpsc::UnboundedSender,
};

use super::notes::{Note, Notes};
use crate::Lsn;

/// How many of the last lines are kept.
const KEPT_LINES: usize = 20;

/// Longer lines are split.
const LINE_BYTES: u64 = 4 << 10;

/// The messages that are needed after the run.
#[derive(Debug, Default)]
pub(super) struct Messages {
    /// The last lines, oldest first.
    pub(super) last: VecDeque<String>,
    /// The end of the WAL that the backup needs. It is printed only if that WAL is fetched.
    pub(super) end: Option<Lsn>,
}

impl Messages {
    /// Reads all messages as they arrive, in bounded memory. Every line is logged, and those that concern the caller
    /// are sent to `notes`.
    pub(super) async fn read(stderr: impl AsyncRead + Unpin, notes: UnboundedSender<Note>) -> Self {
        let mut stderr = BufReader::new(stderr);
        let (mut messages, mut notes) = (Self::default(), Notes::new(notes));
        loop {
            let mut line = Vec::new();
            match (&mut stderr).take(LINE_BYTES).read_until(b'\n', &mut line).await {
                // An unreadable message is ignored: the exit status decides about the backup.
                Ok(0) | Err(_) => return messages,
                Ok(_) => {
                    let line = String::from_utf8_lossy(&line);
                    if !notes.take(line.trim_end()) {
                        messages.push(line.trim_end());
                    }
                }
            }
        }
    }

    fn push(&mut self, line: &str) {
        tracing::debug!("{line}");
        self.end = end_point(line).or(self.end);
        if self.last.len() == KEPT_LINES {
            self.last.pop_front();
        }
        self.last.push_back(line.to_owned());
    }
}

/// Parses the LSN in `pg_basebackup: write-ahead log end point: 0/2000100`.
fn end_point(line: &str) -> Option<Lsn> {
    let (_program, message) = line.split_once(": ")?;
    message.strip_prefix("write-ahead log end point: ")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(text: &[u8]) -> Messages {
        Messages::read(text, tokio::sync::mpsc::unbounded_channel().0).await
    }

    #[test]
    fn the_end_point_is_read_from_its_line_only() {
        assert_eq!(end_point("pg_basebackup: write-ahead log end point: 0/2000100"), Some(Lsn(0x200_0100)));
        for other in [
            "",
            "pg_basebackup: write-ahead log start point: 0/2000028 on timeline 1",
            "pg_basebackup: write-ahead log end point: soon",
            "pg_basebackup: base backup completed",
            "write-ahead log end point: 0/2000100",
        ] {
            assert_eq!(end_point(other), None, "{other}");
        }
    }

    #[tokio::test]
    async fn only_the_last_lines_are_kept_but_the_end_point_is_not_lost() {
        let chatter: String = (1..=100).map(|n| format!("WARNING:  number {n}\n")).collect();
        let text = format!("pg_basebackup: write-ahead log end point: 0/1\n{chatter}");
        let messages = read(text.as_bytes()).await;
        assert_eq!(messages.end, Some(Lsn(1)));
        assert_eq!(messages.last.len(), KEPT_LINES);
        assert_eq!(messages.last.front().unwrap(), "WARNING:  number 81");
        assert_eq!(messages.last.back().unwrap(), "WARNING:  number 100");
    }

    #[tokio::test]
    async fn a_line_without_end_takes_bounded_memory() {
        let messages = read(&vec![b'x'; 1 << 20]).await;
        assert_eq!(messages.last.len(), KEPT_LINES);
        assert!(messages.last.iter().all(|line| line.len() as u64 == LINE_BYTES));
    }

    #[tokio::test]
    async fn bytes_that_are_no_text_are_kept_readable() {
        let messages = read(b"caf\xE9\nend").await;
        assert_eq!(messages.last, ["caf\u{FFFD}", "end"]);
    }
}
