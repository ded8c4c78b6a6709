//! Prints the phases of a long run and their durations.

use std::time::{Duration, Instant};

/// The phases of a run.
#[derive(Debug)]
pub(crate) struct Phases {
    count: usize,
    begun: Vec<(String, Instant)>,
}

impl Phases {
    pub(crate) fn new(count: usize) -> Self {
        Self { count, begun: Vec::new() }
    }

    /// Prints that the next phase begins.
    pub(crate) fn begin(&mut self, what: &str) {
        self.begun.push((what.to_owned(), Instant::now()));
        eprintln!("\nxtask: [{}/{}] {what}", self.begun.len(), self.count);
    }

    /// Prints how long each phase took.
    pub(crate) fn end(&self) {
        let ends = self.begun.iter().skip(1).map(|(_, began)| *began).chain([Instant::now()]);
        eprintln!("\nxtask: where the time went:");
        for ((what, began), end) in self.begun.iter().zip(ends) {
            eprintln!("{}  {what}", seconds(end - *began));
        }
    }
}

/// Formats a duration, as `   12.3 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:>7.1} s", duration.as_secs_f64())
}
