//! Standard output as a terminal: its width, and text that is safe to show on it.

use std::io::{self, IsTerminal, Write};

use rustix::termios::tcgetwinsize;
use swiftwal_postgres::printable;

/// Returns the width of the terminal on standard output in characters; none if it isn't a terminal, or its width is
/// unknown.
pub(crate) fn columns() -> Option<usize> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let columns = tcgetwinsize(&stdout).ok()?.ws_col;
    (columns > 0).then_some(columns.into())
}

/// Passes on lines, with everything escaped that a terminal would execute. `flush` passes on the last line.
pub(super) struct Escaping<W: Write> {
    out: W,
    line: Vec<u8>,
}

impl<W: Write> Escaping<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, line: Vec::new() }
    }
}

impl<W: Write> Write for Escaping<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            match piece.strip_suffix(b"\n") {
                None => self.line.extend_from_slice(piece),
                Some(end) => {
                    self.line.extend_from_slice(end);
                    writeln!(self.out, "{}", printable(&self.line))?;
                    self.line.clear();
                }
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        write!(self.out, "{}", printable(&self.line))?;
        self.line.clear();
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_and_what_a_terminal_acts_upon_is_escaped() {
        let mut out = Escaping::new(Vec::new());
        out.write_all(b"LABEL: a\x1b[2").unwrap();
        out.write_all(b"J\nSTART caf\xc3").unwrap();
        out.write_all(b"\xa9\n\nend").unwrap();
        out.flush().unwrap();
        assert_eq!(String::from_utf8(out.out).unwrap(), "LABEL: a\\x1b[2J\nSTART café\n\nend");
    }
}
