//! Metrics for Prometheus, in a file for the textfile collector of its node_exporter.

pub(crate) mod metrics;
mod run;
mod textfile;

pub(crate) use self::{
    run::{MonitoredRun, PrometheusArgs, warn_unless_written},
    textfile::Change,
};
