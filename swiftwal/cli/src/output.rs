//! Results, on standard output.

mod json;
mod range;
mod table;
mod terminal;

use std::io::{self, BufWriter, IsTerminal, Write};

use serde::Serialize;

use self::terminal::Escaping;
use crate::{failure::Failure, log};

pub(crate) use swiftwal_core::Elapsed;

pub(crate) use crate::size::Size;

pub(crate) use self::{
    range::{BACKUPS, Counted, LEFTOVERS, PAGES, Range, SEGMENTS, WAL_FILES, wal_ranges},
    table::{Column, Table},
    terminal::columns,
};

/// How to print results.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// One JSON document instead of text.
    pub(crate) json: bool,
    /// Whether to print more than the plain result.
    pub(crate) verbose: bool,
}

/// The `--json` document of a plan.
#[derive(Serialize)]
pub(crate) struct Planned<'a, P> {
    /// Whether the plan is only shown, and not carried out.
    pub(crate) dry_run: bool,
    #[serde(flatten)]
    pub(crate) plan: &'a P,
}

impl Output {
    /// Writes the output of `render` completely before it returns: on a terminal with control characters escaped,
    /// otherwise unchanged.
    pub(crate) fn text(self, render: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
        let stdout = io::stdout().lock();
        let mut out: Box<dyn Write> = match stdout.is_terminal() {
            true => Box::new(Escaping::new(BufWriter::new(stdout))),
            false => Box::new(BufWriter::new(stdout)),
        };
        render(&mut out)?;
        Ok(out.flush()?)
    }

    /// Says what a person should know about a plan, and writes the plan: with `print`, or as one document.
    pub(crate) fn plan(
        self,
        planned: &Planned<'_, impl Serialize>,
        notices: &[String],
        print: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        notices.iter().for_each(|notice| log::say(format_args!("{notice}")));
        if self.json { self.json(planned) } else { self.text(print) }
    }

    /// Writes `document` on one line, completely before it returns.
    pub(crate) fn json(self, document: &impl Serialize) -> Result<(), Failure> {
        let mut out = BufWriter::new(io::stdout().lock());
        json::write(&mut out, document)?;
        Ok(out.flush()?)
    }
}
