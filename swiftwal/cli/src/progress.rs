//! How far a long command has come: a bar on a terminal, else a line now and then.

use std::{
    fmt::{self, Display},
    io::{self, IsTerminal},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::{log, output::Size};

/// A line comes at the latest after this time, if anything moves at all.
const LINE_INTERVAL: Duration = Duration::from_secs(10);
/// And whenever another 20th is done.
const STEPS: u64 = 20;

/// Where the progress of one command is shown, on stderr.
pub(crate) struct Progress(Shown);

enum Shown {
    Nowhere,
    Bar(ProgressBar),
    Lines(Mutex<Lines>),
}

/// How much is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) bytes: u64,
    /// What it will come to, if known.
    pub(crate) of: Option<u64>,
    /// What it came to, compressed, where something is stored.
    pub(crate) stored: Option<u64>,
}

impl Progress {
    /// Shows progress if it is `wanted`.
    pub(crate) fn new(wanted: bool) -> Self {
        Self(match wanted {
            false => Shown::Nowhere,
            true if io::stderr().is_terminal() => Shown::Bar(ProgressBar::no_length()),
            true => Shown::Lines(Mutex::new(Lines::new(Instant::now()))),
        })
    }

    pub(crate) fn show(&self, done: Done) {
        match &self.0 {
            Shown::Nowhere => {}
            Shown::Bar(bar) => show_bar(bar, done),
            Shown::Lines(lines) => {
                let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(line) = lines.next(Instant::now(), done) {
                    log::say(format_args!("{line}"));
                }
            }
        }
    }

    /// Shows that it is all done; without it, nobody can tell the end of the lines from a standstill.
    pub(crate) fn finish(&self) {
        if let Shown::Lines(lines) = &self.0 {
            let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(line) = lines.finish(Instant::now()) {
                log::say(format_args!("{line}"));
            }
        }
    }

    /// Runs `print` while no bar is in its way.
    pub(crate) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.0 {
            Shown::Bar(bar) => bar.suspend(print),
            Shown::Nowhere | Shown::Lines(_) => print(),
        }
    }
}

/// A bar goes when the command ends, however it ends.
impl Drop for Progress {
    fn drop(&mut self) {
        if let Shown::Bar(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

fn show_bar(bar: &ProgressBar, done: Done) {
    if bar.length() != done.of || bar.position() == 0 {
        let template = match done.of {
            Some(_) => {
                "{bar:30} {percent:>3} %  {binary_bytes} of {binary_total_bytes}  {binary_bytes_per_sec}  {eta} left"
            }
            None => "{spinner} {binary_bytes}{msg}  {binary_bytes_per_sec}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        if let Some(total) = done.of {
            bar.set_length(total);
        }
    }
    if let Some(stored) = done.stored {
        bar.set_message(format!(", {} stored", Size(stored)));
    }
    bar.set_position(done.bytes);
}

/// Which of many small steps are worth a line.
struct Lines {
    began: Instant,
    last: Instant,
    last_step: u64,
    /// What was told here last, whether there was a line of it or not.
    latest: Option<Done>,
    said: Option<Done>,
}

impl Lines {
    fn new(now: Instant) -> Self {
        Self { began: now, last: now, last_step: 0, latest: None, said: None }
    }

    /// The line to print now, if it is time for one.
    fn next(&mut self, now: Instant, done: Done) -> Option<Line> {
        self.latest = Some(done);
        let step = done.of.map_or(0, |of| done.bytes.saturating_mul(STEPS) / of.max(1));
        if step <= self.last_step && now - self.last < LINE_INTERVAL {
            return None;
        }
        (self.last, self.last_step, self.said) = (now, step, Some(done));
        Some(Line { done, elapsed: now - self.began })
    }

    /// The last line, unless the one before said the same. What is told on the way lags behind what is done.
    fn finish(&self, now: Instant) -> Option<Line> {
        let latest = self.latest?;
        let done = Done { bytes: latest.of.unwrap_or(latest.bytes), ..latest };
        (self.said != Some(done)).then(|| Line { done, elapsed: now - self.began })
    }
}

struct Line {
    done: Done,
    elapsed: Duration,
}

impl Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Done { bytes, of, stored } = self.done;
        write!(f, "{}", Size(bytes))?;
        if let Some(of) = of {
            write!(f, " of {} ({} %)", Size(of), bytes.saturating_mul(100) / of.max(1))?;
        }
        if let Some(stored) = stored {
            write!(f, ", {} stored", Size(stored))?;
        }
        let per_second = bytes as f64 / self.elapsed.as_secs_f64().max(0.001);
        write!(f, ", {}/s", Size(per_second as u64))
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
        assert_eq!(line(&mut lines, 1, 5, Some(100)).unwrap(), "5 bytes of 100 bytes (5 %), 5 bytes/s");
        assert_eq!(line(&mut lines, 2, 9, Some(100)), None);
    }

    #[test]
    fn the_last_line_says_how_much_it_was_and_comes_once() {
        let mut lines = Lines::new(Instant::now());
        let end = lines.began + Duration::from_secs(2);
        assert!(lines.finish(end).is_none(), "nothing moved");
        assert_eq!(line(&mut lines, 1, 80 << 20, None), None);
        assert_eq!(lines.finish(end).unwrap().to_string(), "80.00 MiB, 40.00 MiB/s");
        assert_eq!(line(&mut lines, 2, 70, Some(100)).unwrap(), "70 bytes of 100 bytes (70 %), 35 bytes/s");
        let all = "100 bytes of 100 bytes (100 %), 50 bytes/s";
        assert_eq!(lines.finish(end).unwrap().to_string(), all);
        assert_eq!(line(&mut lines, 2, 100, Some(100)).unwrap(), all);
        assert!(lines.finish(end).is_none(), "it was said");
    }
}
