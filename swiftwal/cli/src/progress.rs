//! The progress of a long command: a bar on a terminal, otherwise a line from time to time.

use std::{
    fmt::{self, Display},
    io::{self, IsTerminal},
    sync::{Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    log,
    output::{Elapsed, Size},
};
use indicatif::{ProgressBar, ProgressStyle};

/// The longest time between two lines while data is transferred.
const LINE_INTERVAL: Duration = Duration::from_secs(10);
/// The number of equal steps after each of which a line is printed, too.
const STEPS: u64 = 20;

/// Shows the progress of one command on stderr.
pub(crate) struct Progress(Shown);

enum Shown {
    Nowhere,
    /// A bar, and when it showed an amount for the first time.
    Bar(ProgressBar, OnceLock<Instant>),
    Lines(Mutex<Lines>),
}

/// The amount of work that is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) bytes: u64,
    /// The total, if known.
    pub(crate) of: Option<u64>,
    /// The compressed bytes that were stored, for a command that stores.
    pub(crate) stored: Option<u64>,
}

impl Progress {
    /// Shows progress if it is `wanted`.
    pub(crate) fn new(wanted: bool) -> Self {
        Self(match wanted {
            false => Shown::Nowhere,
            true if io::stderr().is_terminal() => Shown::Bar(bar(), OnceLock::new()),
            true => Shown::Lines(Mutex::new(Lines::new(Instant::now()))),
        })
    }

    /// Shows what the command waits for before there are amounts to show.
    pub(crate) fn wait(&self, what: &'static str) {
        match &self.0 {
            Shown::Nowhere => {}
            Shown::Bar(bar, _) => bar.set_message(what),
            Shown::Lines(lines) => {
                // The time counts from here.
                *lines.lock().unwrap_or_else(PoisonError::into_inner) = Lines::new(Instant::now());
                log::say(format_args!("{what}"));
            }
        }
    }

    pub(crate) fn show(&self, done: Done) {
        match &self.0 {
            Shown::Nowhere => {}
            Shown::Bar(bar, began) => {
                let began = began.get_or_init(Instant::now);
                bar.set_message(Line { done, elapsed: began.elapsed() }.on_a_terminal());
            }
            Shown::Lines(lines) => {
                let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(line) = lines.next(Instant::now(), done) {
                    log::say(format_args!("{line}"));
                }
            }
        }
    }

    /// Shows that everything is done, so that the end can be distinguished from a standstill.
    pub(crate) fn finish(&self) {
        match &self.0 {
            Shown::Nowhere => {}
            // The last amount stays on the terminal.
            Shown::Bar(bar, began) if began.get().is_some() => bar.abandon(),
            Shown::Bar(bar, _) => bar.finish_and_clear(),
            Shown::Lines(lines) => {
                let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(line) = lines.finish(Instant::now()) {
                    log::say(format_args!("{line}"));
                }
            }
        }
    }

    /// Runs `print` while the bar is hidden.
    pub(crate) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.0 {
            Shown::Bar(bar, _) => bar.suspend(print),
            Shown::Nowhere | Shown::Lines(_) => print(),
        }
    }
}

/// Finishes the bar however the command ends.
impl Drop for Progress {
    fn drop(&mut self) {
        if let Shown::Bar(bar, _) = &self.0
            && !bar.is_finished()
        {
            self.finish();
        }
    }
}

/// One line of text, cut off where the terminal ends.
fn bar() -> ProgressBar {
    let bar = ProgressBar::no_length();
    match ProgressStyle::with_template("{wide_msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Chooses which of many small steps are printed.
struct Lines {
    began: Instant,
    last: Instant,
    last_step: u64,
    /// The latest amount, printed or not.
    latest: Option<Done>,
    /// The last printed amount.
    printed: Option<Done>,
}

impl Lines {
    fn new(now: Instant) -> Self {
        Self { began: now, last: now, last_step: 0, latest: None, printed: None }
    }

    /// Returns the line to print now, if one is due.
    fn next(&mut self, now: Instant, done: Done) -> Option<Line> {
        self.latest = Some(done);
        let step = done.of.map_or(0, |of| done.bytes.saturating_mul(STEPS) / of.max(1));
        if step <= self.last_step && now - self.last < LINE_INTERVAL {
            return None;
        }
        (self.last, self.last_step, self.printed) = (now, step, Some(done));
        Some(Line { done, elapsed: now - self.began })
    }

    /// Returns the last line, unless the previous one shows the same amount, which may lag behind.
    fn finish(&self, now: Instant) -> Option<Line> {
        let latest = self.latest?;
        let done = Done { bytes: latest.of.unwrap_or(latest.bytes), ..latest };
        (self.printed != Some(done)).then(|| Line { done, elapsed: now - self.began })
    }
}

struct Line {
    done: Done,
    elapsed: Duration,
}

impl Line {
    fn percent(&self, of: u64) -> u64 {
        (self.done.bytes.saturating_mul(100) / of.max(1)).min(100)
    }

    fn bytes_per_second(&self) -> u64 {
        (self.done.bytes as f64 / self.elapsed.as_secs_f64().max(0.001)) as u64
    }

    /// Returns the time that the rest takes at the average rate so far.
    fn left(&self, of: u64) -> Elapsed {
        let rest = of.saturating_sub(self.done.bytes);
        let seconds = (rest as f64 / self.bytes_per_second().max(1) as f64).ceil() as u64;
        Elapsed(Duration::from_secs(seconds))
    }

    /// The most important part comes first and fits into 40 columns; the terminal cuts off the rest.
    fn on_a_terminal(&self) -> String {
        let Done { bytes, of, stored } = self.done;
        let rate = Size(self.bytes_per_second());
        let stored = stored.map(|stored| format!(", {} stored", Size(stored))).unwrap_or_default();
        let amount = format!("{}{stored}, {rate}/s", Size(bytes));
        match of {
            Some(of) if bytes < of => {
                format!("{:>3} % of {}, {} left  {amount}", self.percent(of), Size(of), self.left(of))
            }
            Some(_) => format!("100 % of {amount}"),
            None => amount,
        }
    }
}

impl Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Done { bytes, of, stored } = self.done;
        write!(f, "{}", Size(bytes))?;
        if let Some(of) = of {
            write!(f, " of {} ({} %)", Size(of), self.percent(of))?;
        }
        if let Some(stored) = stored {
            write!(f, ", {} stored", Size(stored))?;
        }
        write!(f, ", {}/s", Size(self.bytes_per_second()))?;
        match of {
            Some(of) if bytes < of => write!(f, ", {} left", self.left(of)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(lines: &mut Lines, seconds: u64, bytes: u64, of: Option<u64>) -> Option<String> {
        let now = lines.began + Duration::from_secs(seconds);
        lines.next(now, Done { bytes, of, stored: None }).map(|line| line.to_string())
    }

    #[test]
    fn a_line_comes_after_ten_seconds_or_another_twentieth() {
        let mut lines = Lines::new(Instant::now());
        assert_eq!(line(&mut lines, 9, 90 << 20, None), None);
        assert_eq!(line(&mut lines, 10, 100 << 20, None).unwrap(), "100.00 MiB, 10.00 MiB/s");
        assert_eq!(line(&mut lines, 19, 150 << 20, None), None);
        let mut lines = Lines::new(Instant::now());
        assert_eq!(line(&mut lines, 1, 4, Some(100)), None);
        assert_eq!(
            line(&mut lines, 1, 5, Some(100)).unwrap(),
            "5 bytes of 100 bytes (5 %), 5 bytes/s, 19 s left"
        );
        assert_eq!(line(&mut lines, 2, 9, Some(100)), None);
    }

    #[test]
    fn the_last_line_says_how_much_it_was_and_comes_once() {
        let mut lines = Lines::new(Instant::now());
        let end = lines.began + Duration::from_secs(2);
        assert!(lines.finish(end).is_none(), "nothing moved");
        assert_eq!(line(&mut lines, 1, 80 << 20, None), None);
        assert_eq!(lines.finish(end).unwrap().to_string(), "80.00 MiB, 40.00 MiB/s");
        assert_eq!(
            line(&mut lines, 2, 70, Some(100)).unwrap(),
            "70 bytes of 100 bytes (70 %), 35 bytes/s, 1 s left"
        );
        let all = "100 bytes of 100 bytes (100 %), 50 bytes/s";
        assert_eq!(lines.finish(end).unwrap().to_string(), all);
        assert_eq!(line(&mut lines, 2, 100, Some(100)).unwrap(), all);
        assert!(lines.finish(end).is_none(), "it was already printed");
    }

    #[test]
    fn a_terminal_of_40_columns_shows_how_far_it_is_and_how_long_it_takes() {
        let text = |bytes, of, seconds| {
            let done = Done { bytes, of, stored: Some(bytes / 4) };
            Line { done, elapsed: Duration::from_secs(seconds) }.on_a_terminal()
        };
        let line = text(300 << 30, Some(1023 << 30), 36_000);
        assert!(
            line.starts_with(" 29 % of 1023.00 GiB, 24 h 6 min left  300.00 GiB, 75.00 GiB stored"),
            "{line}"
        );
        assert!(line.find("left").unwrap() + 4 <= 40);
        assert!(
            text(1023 << 30, Some(1023 << 30), 60).starts_with("100 % of 1023.00 GiB, 255.75 GiB stored")
        );
        assert!(text(1 << 20, None, 1).starts_with("1.00 MiB, 256.00 KiB stored"));
    }
}
