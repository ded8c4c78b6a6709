//! The checks of the server, and of the way of its WAL into the repository and back.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use swiftwal_core::{ClusterInfo, Error, Finding, Repository, incremental_obstacle, preflight};
use swiftwal_postgres::{Connector, Inspection, SegmentName, ServerSetup, WalName};
use tokio::{process::Command, time::sleep};

use super::checks::Check;
use crate::output::Elapsed;

/// The pause between two looks for the segment.
const PAUSE: Duration = Duration::from_millis(250);

/// Connects to the server and asks how it is set up.
pub(super) async fn connect(connector: &Connector) -> (Check, Option<(Inspection, ServerSetup)>) {
    const NAME: &str = "server";
    let inspected = async {
        let mut inspection = Inspection::connect(connector).await?;
        let setup = inspection.setup().await?;
        Ok::<_, Error>((inspection, setup))
    };
    match inspected.await {
        Err(error) => (Check::error(NAME, &error), None),
        Ok((inspection, setup)) => {
            let role = match setup.facts.is_standby {
                Some(true) => "a standby",
                _ => "a primary",
            };
            let message =
                format!("PostgreSQL {}, {role} on timeline {}", setup.version, setup.facts.timeline);
            (Check::ok(NAME, message), Some((inspection, setup)))
        }
    }
}

/// Looks at the server's settings, and whether it belongs to the repository.
pub(super) fn setup(setup: &ServerSetup, cluster: Option<&ClusterInfo>, location: &str) -> Vec<Check> {
    const NAME: &str = "settings";
    let mut checks: Vec<Check> = preflight(&setup.facts, cluster, location, false)
        .into_iter()
        .map(|finding| match finding {
            Finding::Obstacle(refusal) => Check::error(NAME, &Error::from(refusal)),
            Finding::Warning(warning) => Check::warning(NAME, warning, "look at its primary"),
        })
        .collect();
    if setup.wal_level == "minimal" {
        let hint = "set wal_level = replica and restart the server";
        checks.push(Check::failed(NAME, "wal_level is minimal: WAL can't be archived", hint));
    }
    if !setup.may_replicate {
        let hint = "ALTER ROLE … REPLICATION, or give the role that is used for backup with -U";
        checks.push(Check::warning(NAME, "the role has no REPLICATION attribute", hint));
    }
    if !setup.data_checksums {
        let hint =
            "stop the server and run pg_checksums --enable; until then, only a drill finds damaged pages";
        checks.push(Check::warning(NAME, "the server has no data checksums", hint));
    }
    if checks.is_empty() {
        let increments = match incremental_obstacle(&setup.facts) {
            None if setup.facts.summarizes_wal == Some(true) => ", and it can take incremental backups",
            _ => "",
        };
        checks.push(Check::ok(NAME, format!("the server archives and has checksums{increments}")));
    }
    checks
}

/// Ends a WAL segment, and waits until it is in the repository, for at most `limit`. Returns it.
pub(super) async fn archiving(
    inspection: &mut Inspection,
    repository: &Repository,
    limit: Duration,
) -> (Check, Option<SegmentName>) {
    const NAME: &str = "archiving";
    let began = Instant::now();
    let segment = match inspection.switch_wal().await {
        Ok(segment) => segment,
        Err(error) => return (Check::error(NAME, &Error::from(error)), None),
    };
    while began.elapsed() < limit {
        match repository.has_wal(WalName::Segment(segment)).await {
            Ok(true) => {
                let waited = began.elapsed().as_secs_f64();
                let message = format!("{segment} was stored {waited:.1} s after its end");
                return (Check::ok(NAME, message), Some(segment));
            }
            Ok(false) => sleep(PAUSE).await,
            Err(error) => return (Check::error(NAME, &error), None),
        }
    }
    let failed = inspection.setup().await.ok().and_then(|setup| setup.failed_wal);
    let message = format!("{segment} wasn't stored within {} of its end", Elapsed(limit));
    let (message, hint) = match failed {
        Some(file) => (
            format!("{message}; the server's archiver fails at {file}"),
            "the server's log has the message of archive_command",
        ),
        None => (
            message,
            "see whether archive_command or archive_library stores into this repository, and how many files wait: info -D",
        ),
    };
    (Check::failed(NAME, message, hint), None)
}

/// Fetches a segment as a restored server would, with its restore_command.
pub(super) async fn restore_command(command: &str, segment: SegmentName) -> Check {
    const NAME: &str = "restoring";
    match fetched(command, segment).await {
        Ok(Ok(bytes)) => Check::ok(NAME, format!("restore_command fetches {segment}, {bytes} bytes")),
        Ok(Err(said)) => Check::failed(
            NAME,
            format!("restore_command can't fetch {segment}: {said}"),
            format!("run it by hand, as the server's user: {command}"),
        ),
        Err(error) => Check::error(NAME, &Error::Local { action: "run", path: "sh".into(), source: error }),
    }
}

/// Runs the command in an empty directory of its own. Returns the size of what it fetched, or what it said.
async fn fetched(command: &str, segment: SegmentName) -> std::io::Result<Result<u64, String>> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("RECOVERYXLOG");
    let command = expanded(command, &segment.to_string(), &path.to_string_lossy());
    let mut shell = Command::new("sh");
    shell.args(["-c", &command]).current_dir(directory.path()).stdin(Stdio::null()).kill_on_drop(true);
    let output = shell.output().await?;
    if output.status.success() {
        return Ok(Ok(std::fs::metadata(&path)?.len()));
    }
    Ok(Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

/// Replaces what PostgreSQL replaces in a restore_command.
fn expanded(command: &str, file: &str, path: &str) -> String {
    let mut expanded = String::new();
    let mut rest = command;
    while let Some((before, after)) = rest.split_once('%') {
        expanded += before;
        let mut characters = after.chars();
        match characters.next() {
            Some('f') => expanded += file,
            Some('p') => expanded += path,
            Some('%') => expanded.push('%'),
            other => expanded.extend(['%'].into_iter().chain(other)),
        }
        rest = characters.as_str();
    }
    expanded + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restore_command_is_expanded_as_postgresql_does() {
        assert_eq!(expanded(r#"a%%20b %f "%p" %x %"#, "F", "P"), r#"a%20b F "P" %x %"#);
    }
}
