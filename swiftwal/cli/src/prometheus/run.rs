//! The metrics of the runs of a command: when it was begun, and when it succeeded or failed.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use swiftwal_core::{Clock, SystemClock};

use super::{
    metrics::{Metric, RunMetrics},
    textfile::{Change, Textfile},
};
use crate::{log, session::Session};

/// The option of the commands that update metrics.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PrometheusArgs {
    /// Write metrics into FILE for Prometheus' node_exporter, beside those that other commands have written there; its name
    /// must end with .prom, and each repository needs a file of its own
    #[arg(long, value_name = "FILE", value_parser = textfile)]
    prometheus: Option<PathBuf>,
}

fn textfile(text: &str) -> Result<PathBuf, &'static str> {
    let path = PathBuf::from(text);
    let is_read = path.extension().is_some_and(|extension| extension == "prom");
    if is_read {
        Ok(path)
    } else {
        Err("the name of the file must end with .prom: node_exporter reads no others")
    }
}

impl PrometheusArgs {
    /// Returns the file that the command is to update, if it is to.
    pub(crate) fn textfile(&self, session: &Session<'_>) -> Option<Textfile> {
        let path = self.prometheus.as_deref()?;
        Some(Textfile::new(path, session.config.repository.url().as_str()))
    }
}

/// One run of a command that updates metrics.
#[derive(Debug)]
pub(crate) struct MonitoredRun {
    textfile: Textfile,
    metrics: RunMetrics,
    began: Instant,
}

impl MonitoredRun {
    /// Records that a run of `command` begins.
    pub(crate) fn begin(textfile: Textfile, command: &'static str) -> Self {
        let metrics = RunMetrics { command };
        let run = Self { textfile, metrics, began: Instant::now() };
        run.update(vec![(metrics.last_attempt(), Change::Set(now()))]);
        run
    }

    /// Records how the run ended. A failed one leaves what the last success wrote.
    pub(crate) fn end(self, has_succeeded: bool) {
        let Self { metrics, began, .. } = &self;
        let changes = if has_succeeded {
            let took = whole_milliseconds(began.elapsed());
            vec![(metrics.last_success(), Change::Set(now())), (metrics.duration(), Change::Set(took))]
        } else {
            vec![(metrics.last_failure(), Change::Set(now()))]
        };
        self.update(changes);
    }

    /// The command itself decides about success and failure, so a file that can't be written is only a warning.
    fn update(&self, changes: Vec<(Metric, Change)>) {
        warn_unless_written(&self.textfile, changes);
    }
}

/// Updates metrics; if the file can't be written, that is a warning.
pub(crate) fn warn_unless_written(textfile: &Textfile, changes: Vec<(Metric, Change)>) {
    if let Err(error) = textfile.update(changes) {
        log::say(format_args!("warning: can't update {}: {error}", textfile.path().display()));
    }
}

fn now() -> f64 {
    SystemClock.now().as_millisecond() as f64 / 1000.0
}

fn whole_milliseconds(duration: Duration) -> f64 {
    duration.as_millis() as f64 / 1000.0
}
