//! The subcommand info.

mod alerts;
mod metrics;
#[cfg(test)]
mod sample;
mod text;
mod words;

use std::path::PathBuf;

use swiftwal_core::{Error, Info, info};

use crate::{
    failure::{Failure, Finding},
    log,
    message::chain,
    nagios::{State, ThresholdError, Thresholds, answer},
    prometheus::PrometheusArgs,
    session::Session,
};

/// Show what the repository contains, and what can be restored from it.
///
/// Shows the time span to which the cluster can be recovered; the WAL of each timeline, with its holes; and the backups,
/// each below the one that it builds on, with the last proof that it can be restored. With --json, prints the same as one
/// document.
///
/// Where the server's data directory is known, by --pgdata or PGDATA, it also shows how many WAL files wait to be archived.
/// It reads a list of the repository and some small objects, and changes nothing.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  swiftwal -c /etc/swiftwal.toml info --pgdata /var/lib/postgresql/15/main"
)]
pub(crate) struct Args {
    /// The server's data directory, to count the WAL files that wait to be archived [default: PGDATA]
    #[arg(short = 'D', long, value_name = "DIR")]
    pgdata: Option<PathBuf>,
    /// Print one line for Nagios, Icinga and others, and exit with 0 (OK), 1 (WARNING), 2 (CRITICAL) or 3 (UNKNOWN)
    #[arg(long, conflicts_with = "json")]
    pub(crate) nagios: bool,
    /// With --nagios: when to warn, such as backup-age=26h,wal-age=15m,holes=0,drill-age=8d,ready=20
    #[arg(long, value_name = "NAME=RANGE,...", requires = "nagios", value_parser = thresholds)]
    warning: Option<Thresholds>,
    /// With --nagios: when the state is critical, in the same form
    #[arg(long, value_name = "NAME=RANGE,...", requires = "nagios", value_parser = thresholds)]
    critical: Option<Thresholds>,
    #[command(flatten)]
    pub(crate) metrics: PrometheusArgs,
}

fn thresholds(text: &str) -> Result<Thresholds, ThresholdError> {
    Thresholds::parse(text, &alerts::FIGURES)
}

pub(crate) async fn run(args: Args, session: &Session<'_>) -> Result<(), Failure> {
    let repository = session.open()?;
    let from_environment = || session.config.server.variables.get("PGDATA").map(PathBuf::from);
    let data_directory = args.pgdata.or_else(from_environment);
    let info = info(&repository, data_directory.as_deref()).await?;
    if let Some(textfile) = args.metrics.textfile(session) {
        textfile.update(metrics::changes(&info)).map_err(|source| {
            let path = textfile.path().to_owned();
            Error::Local { action: "write metrics to", path, source }
        })?;
    }
    if args.nagios {
        return alert(&info, &args.warning.unwrap_or_default(), &args.critical.unwrap_or_default(), session);
    }
    info.notices.iter().for_each(|notice| log::say(format_args!("{notice}")));
    info.errors.iter().for_each(|error| log::say(format_args!("{}", chain(error))));
    if session.output.json {
        session.output.json(&info)?;
    } else {
        let lines = text::lines(&info);
        session.output.text(|out| lines.iter().try_for_each(|line| writeln!(out, "{line}")))?;
    }
    finding(&info).map_or(Ok(()), |finding| Err(Failure::Found(finding)))
}

/// Prints the answer of a monitoring plugin.
fn alert(
    info: &Info,
    warning: &Thresholds,
    critical: &Thresholds,
    session: &Session<'_>,
) -> Result<(), Failure> {
    let wants_ready = [warning, critical].iter().any(|thresholds| thresholds.names(alerts::READY));
    let mut troubles = alerts::troubles(info);
    if wants_ready && info.ready.is_none() {
        let text = "the threshold ready needs the server's data directory: give --pgdata, or set PGDATA";
        troubles.push((State::Unknown, text.to_owned()));
    }
    let (state, line) = answer(&alerts::readings(info), &troubles, warning, critical);
    session.output.text(|out| writeln!(out, "{line}"))?;
    match state {
        State::Ok => Ok(()),
        state => Err(Failure::Alert(state)),
    }
}

/// Returns the worst of what couldn't be read.
fn finding(info: &Info) -> Option<Finding> {
    info.errors.iter().map(Finding::of).max()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    const PAGE: &str = include_str!("../../../../docs/info.md");

    /// Adds the path of every value in `value`: `backups[].kept.until`.
    fn add_paths(value: &Value, path: &str, paths: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                let dot = if path.is_empty() { "" } else { "." };
                fields
                    .iter()
                    .for_each(|(name, value)| add_paths(value, &format!("{path}{dot}{name}"), paths));
            }
            Value::Array(values) => {
                values.iter().for_each(|value| add_paths(value, &format!("{path}[]"), paths));
            }
            _ => drop(paths.insert(path.to_owned())),
        }
    }

    #[test]
    fn the_docs_describe_every_field_of_the_document_and_no_other() {
        let mut paths = BTreeSet::new();
        let document = serde_json::to_value(sample::info(2)).unwrap();
        // Each optional field has a value in one of the timelines.
        add_paths(&document, "", &mut paths);
        let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
        let described = rows.flat_map(|row| row.split('`').filter(|name| !["", ", "].contains(name)));
        assert_eq!(described.map(str::to_owned).collect::<BTreeSet<_>>(), paths);
    }
}
