//! Results, on standard output.

mod json;
mod range;
mod size;
mod table;
mod terminal;

use std::io::{self, BufWriter, IsTerminal, Write};

use serde::Serialize;

use self::terminal::Escaping;
use crate::failure::Failure;

pub(crate) use swiftwal_core::Elapsed;

pub(crate) use self::{
    range::{BACKUPS, Counted, LEFTOVERS, Range, WAL_FILES, wal_ranges},
    size::Size,
    table::{Column, Table},
    terminal::columns,
};

/// How to print results.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// One JSON document instead of text.
    pub(crate) json: bool,
    /// Print more than the bare result.
    pub(crate) verbose: bool,
}

/// A plan as `--json` shows it.
#[derive(Serialize)]
pub(crate) struct Planned<'a, P> {
    /// Whether it is only shown, and not carried out.
    pub(crate) dry_run: bool,
    #[serde(flatten)]
    pub(crate) plan: &'a P,
}

impl Output {
    /// Writes what `render` writes, and all of it before it returns: on a terminal with control characters escaped,
    /// else as it is.
    pub(crate) fn text(self, render: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
        let stdout = io::stdout().lock();
        let mut out: Box<dyn Write> = match stdout.is_terminal() {
            true => Box::new(Escaping::new(BufWriter::new(stdout))),
            false => Box::new(BufWriter::new(stdout)),
        };
        render(&mut out)?;
        Ok(out.flush()?)
    }

    /// Writes `document` on one line, and all of it before it returns.
    pub(crate) fn json(self, document: &impl Serialize) -> Result<(), Failure> {
        let mut out = BufWriter::new(io::stdout().lock());
        json::write(&mut out, document)?;
        Ok(out.flush()?)
    }
}
