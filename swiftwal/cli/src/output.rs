//! Results, on standard output.

mod range;
mod size;
mod table;

use std::io::{self, BufWriter, Write};

use serde::Serialize;

use crate::failure::Failure;

pub(crate) use self::{
    range::{BACKUPS, Counted, LEFTOVERS, Range, WAL_FILES, wal_ranges},
    size::Size,
    table::Table,
};

/// How results are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// One JSON document instead of text.
    pub(crate) json: bool,
    /// More than the bare result.
    pub(crate) verbose: bool,
}

/// A plan as `--json` shows it.
#[derive(Serialize)]
pub(crate) struct Planned<'a, P> {
    /// Whether it stays a plan.
    pub(crate) dry_run: bool,
    #[serde(flatten)]
    pub(crate) plan: &'a P,
}

impl Output {
    /// Writes what `render` writes, and all of it before it returns.
    pub(crate) fn text(self, render: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
        let mut stdout = BufWriter::new(io::stdout().lock());
        render(&mut stdout)?;
        Ok(stdout.flush()?)
    }

    /// Writes `document` on one line, and all of it before it returns.
    pub(crate) fn json(self, document: &impl Serialize) -> Result<(), Failure> {
        self.text(|out| {
            serde_json::to_writer(&mut *out, document)?;
            writeln!(out)
        })
    }
}
