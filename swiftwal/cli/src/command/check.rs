//! The subcommand check.

mod checks;
mod directories;
mod repository;
mod server;

use std::{path::PathBuf, time::Duration};

use swiftwal_core::{Clock, Info, Repository, SystemClock};
use swiftwal_postgres::{Connector, SegmentName, replication::conninfo::Environment};

use self::checks::{Check, Checks};
use super::server_args::ServerArgs;
use crate::{
    failure::Failure,
    server_commands::{self, ServerCommands},
    session::Session,
};

/// How long the storage or the server may take for a check.
const LIMIT: Duration = Duration::from_secs(60);

/// Check that backups and archiving work, from the server to the repository and back.
///
/// Looks at the configuration, the storage, the server and its settings; ends a WAL segment and waits until it is stored;
/// fetches it with the restore_command that restore would write; and looks for missing WAL and the newest backup. Each
/// check is a line: ok, warning, failed or skipped, with what to do.
///
/// Nothing is changed but one object, which is deleted again. Run it before the first night, and regularly. The exit code
/// is 1 if a check has failed; a warning doesn't change it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  swiftwal -c /etc/swiftwal.toml check
  swiftwal -c /etc/swiftwal.toml check --no-server --json")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Don't connect to the server
    #[arg(long, conflicts_with_all = ["username", "host", "port", "conninfo"])]
    no_server: bool,
    /// Don't store the object with which writing is tried
    #[arg(long)]
    no_write: bool,
    /// Also look at the spool of receive-wal
    #[arg(long, value_name = "DIR")]
    spool: Option<PathBuf>,
}

pub(crate) async fn run(args: Args, session: &Session<'_>) -> Result<(), Failure> {
    let mut checks = Checks::new(session.output);
    checks.add(configuration(session));
    checks.add(directories::state(session.config.state.as_deref()));
    if let Some(spool) = &args.spool {
        checks.add(directories::spool(spool));
    }
    let opened = match args.no_write {
        true => session.open(),
        false => session.open_to_store(false),
    };
    match opened {
        Err(failure) => checks.add(Check::error("storage", &failure)),
        Ok(repository) => {
            let info = storage(&mut checks, &repository, args.no_write, session).await;
            let stored = match args.no_server {
                true => None,
                false => server(&mut checks, &repository, session).await,
            };
            let newest = info.as_ref().and_then(newest_segment);
            restoring(&mut checks, stored.or(newest), session).await;
            if let Some(info) = &info {
                repository::damage(info).into_iter().for_each(|check| checks.add(check));
                checks.add(repository::newest_backup(info));
                checks.add(repository::holes(info));
            }
        }
    }
    checks.finish()
}

fn configuration(session: &Session<'_>) -> Check {
    const NAME: &str = "configuration";
    let repository = &session.config.repository;
    let from = session.config.file.as_ref().map_or_else(
        || "options and the environment name".to_owned(),
        |file| format!("{} names", file.display()),
    );
    match server_commands::unwritten(&session.config) {
        None => Check::ok(NAME, format!("{from} {repository}")),
        Some(notice) => Check::warning(
            NAME,
            format!("{from} {repository}"),
            format!("a restored server wouldn't have all settings: {notice}"),
        ),
    }
}

async fn storage(
    checks: &mut Checks,
    repository: &Repository,
    no_write: bool,
    session: &Session<'_>,
) -> Option<Info> {
    session.watchdog.doing("checking the storage");
    let info = checks.add_with_result("storage", LIMIT, repository::storage(repository)).await;
    match &info {
        None => checks.add(Check::skipped("writing", "there is no repository to write to")),
        Some(_) if no_write => checks.add(Check::skipped("writing", "--no-write is given")),
        Some(_) => checks.add_within("writing", LIMIT, repository::canary(repository)).await,
    }
    if let Some(info) = &info {
        checks.add(repository::clock(info, SystemClock.now()));
    }
    info
}

/// Returns the segment that the server has archived.
async fn server(checks: &mut Checks, repository: &Repository, session: &Session<'_>) -> Option<SegmentName> {
    session.watchdog.doing("checking the server");
    let server = &session.config.server;
    let connector = Connector::new(server.connect.clone(), Environment::new(server.variables.clone()));
    let connected = checks.add_with_result("server", LIMIT, server::connect(&connector)).await;
    let (mut inspection, setup) = connected?;
    let cluster = repository.cluster_if_readable().await.ok().and_then(Result::ok).flatten();
    for check in server::setup(&setup, cluster.as_ref(), repository.location()) {
        checks.add(check);
    }
    let stored = if setup.facts.is_standby == Some(true) {
        checks.add(Check::skipped("archiving", "the server is a standby: its primary archives"));
        None
    } else {
        session.watchdog.doing("waiting until the server's WAL is stored");
        let limit = session.config.archive_timeout;
        let archiving = server::archiving(&mut inspection, repository, limit);
        checks.add_with_result("archiving", limit + LIMIT, archiving).await
    };
    inspection.end().await;
    stored
}

/// Returns the segment that was stored last on the timeline that recovery follows.
fn newest_segment(info: &Info) -> Option<SegmentName> {
    info.timelines.iter().find(|timeline| Some(timeline.timeline) == info.timeline)?.last_wal
}

async fn restoring(checks: &mut Checks, segment: Option<SegmentName>, session: &Session<'_>) {
    const NAME: &str = "restoring";
    let Some(segment) = segment else {
        return checks.add(Check::skipped(NAME, "there is no WAL yet to fetch"));
    };
    session.watchdog.doing("fetching WAL with restore_command");
    match ServerCommands::for_session(&session.config, session.deadline, &[]) {
        Err(error) => checks.add(Check::error(NAME, &Failure::Runtime(error))),
        Ok(commands) => {
            let fetching = server::restore_command(&commands.restore, segment);
            checks.add_within(NAME, LIMIT * 3, fetching).await;
        }
    }
}
