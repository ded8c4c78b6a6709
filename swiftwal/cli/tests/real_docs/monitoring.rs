//! docs/monitoring: promtool accepts the alert rules and what the dashboard asks for, and both name metrics that the program
//! writes.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use xtask::{Site, ensure_programs, output, stdout};

const RULES: &str = include_str!("../../../../docs/monitoring/swiftwal.rules.yml");
const DASHBOARD: &str = include_str!("../../../../docs/monitoring/grafana-dashboard.json");
/// The metrics of commands that this test doesn't run.
const OF_DRILL: [&str; 3] = [
    "swiftwal_drill_last_success_timestamp_seconds",
    "swiftwal_drill_last_failure_timestamp_seconds",
    "swiftwal_drill_duration_seconds",
];

/// Returns the command `promtool ARGUMENTS`.
fn promtool(arguments: &[&str]) -> Result<Command> {
    ensure_programs("the check of metrics and alert rules", &[("promtool", "prometheus")])?;
    let mut promtool = Command::new("promtool");
    promtool.args(arguments);
    Ok(promtool)
}

/// Returns the names of metrics in a text.
fn metrics(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("swiftwal_")).collect()
}

/// Returns the expressions of the dashboard, with every repository selected.
fn expressions(dashboard: &Value) -> Result<Vec<String>> {
    let panels = dashboard["panels"].as_array().context("no panels")?;
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let expressions = targets.map(|target| {
        let expression = target["expr"].as_str().context("no expression")?;
        Ok(expression.replace("$repository", ".*"))
    });
    expressions.collect()
}

#[test]
#[ignore = "needs promtool: run by cargo xtask test"]
fn promtool_accepts_the_alert_rules_and_the_expressions_of_the_dashboard() -> Result<()> {
    let directory = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/monitoring"));
    stdout(promtool(&["check", "rules", "swiftwal.rules.yml"])?.current_dir(directory))?;
    stdout(promtool(&["test", "rules", "swiftwal.rules.test.yml"])?.current_dir(directory))?;
    let expressions = expressions(&serde_json::from_str(DASHBOARD)?)?;
    let rules = expressions.iter().enumerate().map(|(number, expression)| {
        format!(
            "      - record: swiftwal:panel{number}\n        expr: {}\n",
            Value::from(expression.as_str())
        )
    });
    let scratch = tempfile::tempdir()?;
    let rules = format!("groups:\n  - name: dashboard\n    rules:\n{}", rules.collect::<String>());
    fs::write(scratch.path().join("dashboard.yml"), rules)?;
    stdout(promtool(&["check", "rules", "dashboard.yml"])?.current_dir(scratch.path()))?;
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL and promtool: run by cargo xtask test"]
fn promtool_accepts_the_metrics_and_they_are_those_of_the_rules_and_the_dashboard() -> Result<()> {
    let site = Site::start(Path::new(env!("CARGO_BIN_EXE_swiftwal")))?;
    let file = site.scratch.path().join("swiftwal.prom").display().to_string();
    let data = site.postgres.data().display().to_string();
    // Each command also fails once.
    let fails = |arguments: &[&str]| {
        let ran = output(&mut site.command(arguments))?;
        ensure!(!ran.status.success(), "{arguments:?} succeeded");
        Ok(())
    };
    fails(&["backup", "-c", "fast", "-H", "/nonexistent", "--prometheus", &file])?;
    fails(&["prune", "--keep-backups", "1", "--prometheus", &file])?;
    fails(&["info", "--prometheus", &file])?;
    site.run(&["backup", "-c", "fast", "--prometheus", &file])?;
    site.postgres.archive_all()?;
    site.postgres.archive_nothing()?;
    xtask::until("a file waits", || {
        site.postgres.sql("select txid_current(), pg_switch_wal()")?;
        Ok(site.postgres.sql("select failed_count > 0 from pg_stat_archiver")? == "t")
    })?;
    site.run(&["prune", "--keep-backups", "1", "--prometheus", &file])?;
    site.run(&["info", "--pgdata", &data, "--prometheus", &file])?;
    let text = fs::read_to_string(&file)?;
    stdout(promtool(&["check", "metrics"])?.stdin(File::open(&file)?))?;
    let written = metrics(&text);
    let named = &metrics(RULES) | &metrics(DASHBOARD);
    // The dashboard's name of a forecast is written only after a drill.
    let unknown: Vec<_> = named
        .iter()
        .filter(|name| !written.contains(*name) && !OF_DRILL.contains(name))
        .filter(|name| **name != "swiftwal_restore_forecast_seconds")
        .collect();
    ensure!(unknown.is_empty(), "no command writes {unknown:?}: {text}");
    for metric in
        ["swiftwal_backup_last_failure_timestamp_seconds", "swiftwal_prune_last_success_timestamp_seconds"]
    {
        ensure!(written.contains(metric), "{metric} is gone: {text}");
    }
    Ok(())
}
