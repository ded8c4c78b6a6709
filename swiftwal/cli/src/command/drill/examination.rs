//! The examination of a backup: restore → pg_verifybackup → recovery → a read of all data → assertions → page checksums.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::PathBuf,
    process::Command,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use swiftwal_core::{
    ArchiveMode, BackupChoice, BackupKey, Error, ErrorKind, Refusal, Repository, RestoreEvent,
    RestoreOptions, RestorePlan, RestoreStats, TargetAction,
};
use swiftwal_postgres::ControlFile;

use super::{Args, assertions::Assertions, problem::Problem, report::Report};
use crate::{
    command::target_args::target_text,
    config::{self, SettingNames},
    failure::Failure,
    isolated_server::{Ended, Environment, IsolatedServer, Isolation, Scratch, Tools},
    log,
    message::{chain, chain_of_any},
    output::Size,
    progress::{Done, Progress},
    server_commands::ServerCommands,
    session::Session,
};

/// The name that the server's processes and the scratch directory show.
pub(super) const PURPOSE: &str = "drill";
/// A query that only a superuser's session answers with true.
const IS_SUPERUSER: &str = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user";
const QUERY_LIMIT: Duration = Duration::from_secs(60);
/// The database that every cluster has.
const TEMPLATE: &str = "template1";
/// The SQLSTATE of a role that doesn't exist, or may not connect.
const NO_ROLE: &str = "28000";

/// The examination of a backup, with what has been found so far.
pub(super) struct Examination<'a> {
    args: &'a Args,
    assertions: Option<&'a Assertions>,
    session: &'a Session<'a>,
    repository: &'a Repository,
    scratch: &'a Scratch,
    key: Option<BackupKey>,
    report: Report,
    server: Option<IsolatedServer>,
}

impl<'a> Examination<'a> {
    pub(super) fn new(
        args: &'a Args,
        assertions: Option<&'a Assertions>,
        session: &'a Session<'a>,
        repository: &'a Repository,
        scratch: &'a Scratch,
    ) -> Self {
        let report = Report {
            target: target_text(args.target.clone().chosen().as_ref()),
            swiftwal_version: env!("CARGO_PKG_VERSION"),
            ..Report::default()
        };
        Self { args, assertions, session, repository, scratch, key: None, report, server: None }
    }

    /// Examines the backup. If the future is dropped, [`end`](Self::end) must be called.
    pub(super) async fn run(&mut self) -> Result<(), Problem> {
        let (args, scratch) = (self.args, self.scratch);
        let options = self.options()?;
        let choice = args.backup.clone().resolve(self.repository).await.map_err(Failure::from)?;
        let plan = self.plan(choice, &options).await?;
        let version = plan.postgres_version.as_deref();
        let tools = version.map(|version| self.tools(version)).transpose()?;
        scratch.check_room(needed_bytes(&plan), args.keep_free)?;
        tokio::select! {
            () = scratch.until_full(args.keep_free) => Err(Problem::NotProven(format!(
                "less than {} is free in {}; free some space there, or name another directory with --scratch",
                Size(args.keep_free),
                scratch.path().display()
            ))),
            proven = Box::pin(self.prove(choice, &options, tools)) => proven,
        }
    }

    /// Ends the server if it runs, and returns the backup and what was found.
    pub(super) async fn end(self) -> (Option<BackupKey>, Report) {
        if let Some(server) = self.server {
            server.end().await;
        }
        (self.key, self.report)
    }

    fn options(&self) -> Result<RestoreOptions, Problem> {
        let commands = ServerCommands::for_session(&self.session.config, None, &[]);
        let target = self.args.target.clone().chosen();
        Ok(RestoreOptions {
            target_action: target.as_ref().map(|_| TargetAction::Promote),
            target,
            tablespaces_below: Some(self.scratch.tablespaces()),
            only_recovery_settings: true,
            archive_mode: ArchiveMode::Off,
            restore_command: commands.map_err(Failure::Runtime)?.restore,
            ..RestoreOptions::default()
        })
    }

    /// Chooses the backup, and finds out what its restore would do.
    async fn plan(&mut self, choice: BackupChoice, options: &RestoreOptions) -> Result<RestorePlan, Problem> {
        let directory = self.scratch.data();
        let planned = swiftwal_core::plan_restore(self.repository, choice, &directory, options, &|_| {});
        match Box::pin(planned).await {
            Ok(plan) => {
                self.key = Some(plan.key);
                Ok(plan)
            }
            Err(error) => {
                if let BackupChoice::Key(key) = choice {
                    self.key = Some(key);
                }
                Err(match (&error, error.kind()) {
                    (Error::Refused(Refusal::Incomplete { .. }), _) | (_, ErrorKind::Damaged) => error.into(),
                    // With a target, it may only be that no backup is old enough.
                    (Error::Refused(Refusal::OutOfReach { .. }), _) if options.target.is_none() => {
                        Problem::Failed(chain(&error))
                    }
                    _ => Problem::Refused(error.into()),
                })
            }
        }
    }

    fn tools(&self, version: &str) -> Result<Tools, Problem> {
        IsolatedServer::check(self.scratch, version)?;
        let environment = Environment::new(config::environment());
        Ok(Tools::find(self.args.bindir.as_deref(), version, environment)?)
    }

    /// Restores the backup, and looks at all of it.
    async fn prove(
        &mut self,
        choice: BackupChoice,
        options: &RestoreOptions,
        tools: Option<Tools>,
    ) -> Result<(), Problem> {
        let began = Instant::now();
        let (stats, links) = self.restore(choice, options).await?;
        let fetch = began.elapsed();
        let version = stats.postgres_version.as_str();
        let tools = match tools {
            Some(tools) => tools,
            None => self.tools(version)?,
        };
        self.link_tablespaces(&links)?;
        self.verify_files(&tools).await?;
        self.close_links(&links)?;
        self.recover((&tools, version), options, fetch).await?;
        self.read_all(&tools).await?;
        self.run_assertions().await?;
        self.stop().await?;
        self.verify_checksums(&tools).await
    }

    /// Restores the backup, and returns the number and the directory of each tablespace.
    async fn restore(
        &mut self,
        choice: BackupChoice,
        options: &RestoreOptions,
    ) -> Result<(RestoreStats, Vec<(u32, PathBuf)>), Problem> {
        let directory = self.scratch.data();
        self.session.watchdog.doing(format!("restoring into {}", directory.display()));
        let progress = Progress::new(self.args.progress);
        let (links, notices) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
        let observe = |event: RestoreEvent<'_>| match event {
            RestoreEvent::Chosen(chosen) => progress.suspend(|| tracing::info!("restoring {}", chosen.key)),
            RestoreEvent::Tablespace { oid, directory, .. } => {
                links.lock().unwrap_or_else(PoisonError::into_inner).push((oid, directory.to_owned()));
            }
            RestoreEvent::Shortfall(notice) | RestoreEvent::Notice(notice) => {
                notices.lock().unwrap_or_else(PoisonError::into_inner).push(notice.to_owned());
                progress.suspend(|| log::say(format_args!("{notice}")));
            }
            RestoreEvent::Progress { tar_bytes, total_tar_bytes } => {
                progress.show(Done { bytes: tar_bytes, of: total_tar_bytes, stored: None });
            }
            _ => {}
        };
        let restored = swiftwal_core::restore(self.repository, choice, &directory, options, &observe).await;
        self.report.notices = notices.into_inner().unwrap_or_else(PoisonError::into_inner);
        let stats = restored?;
        progress.finish();
        self.key = Some(stats.key);
        self.report.bytes = Some(stats.bytes);
        self.report.postgres_version = Some(stats.postgres_version.clone());
        self.report.checked.push(format!("the restore of {} files, each with its hash", stats.files));
        Ok((stats, links.into_inner().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Creates the links to the tablespaces, which PostgreSQL would create when it starts.
    fn link_tablespaces(&self, links: &[(u32, PathBuf)]) -> Result<(), Problem> {
        let parent = self.scratch.data().join("pg_tblspc");
        for (oid, directory) in links {
            let link = parent.join(oid.to_string());
            // An older server's tar has the links, too.
            match symlink(directory, &link) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(local("create", &link, error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Lets nobody create further links, so that no directory outside is used.
    fn close_links(&self, links: &[(u32, PathBuf)]) -> Result<(), Problem> {
        // It tells PostgreSQL to create the links that exist now.
        let map = self.scratch.data().join("tablespace_map");
        match fs::remove_file(&map) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(local("remove", &map, error));
            }
            _ => {}
        }
        let parent = self.scratch.data().join("pg_tblspc");
        for (oid, directory) in links {
            let link = parent.join(oid.to_string());
            let leads_to = fs::read_link(&link).map_err(|error| local("read", &link, error))?;
            if leads_to != *directory {
                return Err(Problem::Failed(format!("{} leads to {}", link.display(), leads_to.display())));
            }
        }
        self.scratch.close_links().map_err(|error| local("close", &parent, error))
    }

    async fn verify_files(&mut self, tools: &Tools) -> Result<(), Problem> {
        const NAME: &str = "pg_verifybackup";
        let data = self.scratch.data();
        if !data.join("backup_manifest").exists() {
            self.skip(NAME, "the backup has no manifest of PostgreSQL");
        } else if !tools.has(NAME) {
            self.skip(NAME, "it isn't installed");
        } else {
            let data = data.into_os_string();
            // The WAL isn't here but in the repository; the map names other directories than the original one.
            let options = ["--quiet", "--no-parse-wal", "--ignore=tablespace_map"];
            let arguments = options.into_iter().map(Into::into).chain([data]);
            self.run_tool(tools, NAME, arguments.collect()).await?;
        }
        Ok(())
    }

    /// Starts the server, and waits until it has recovered and accepts connections.
    async fn recover(
        &mut self,
        (tools, version): (&Tools, &str),
        options: &RestoreOptions,
        fetch: Duration,
    ) -> Result<(), Problem> {
        self.session.watchdog.doing(format!("recovering to {}", self.report.target));
        tracing::info!("starting the server");
        let Args { username, preload, jobs, .. } = self.args;
        let isolation = Isolation { purpose: PURPOSE, preload: preload.clone(), jobs: *jobs };
        let session = self.session;
        let prepare = |command: &mut Command| {
            let names = SettingNames::of(session.registry);
            session.config.put_settings_into(command, config::environment(), &names);
        };
        let started =
            IsolatedServer::start(self.scratch, (tools, version), &isolation, username, prepare).await;
        let server = self.server.insert(started.map_err(cant("start the server"))?);
        let ready = server.wait_until_ready().await.map_err(cant("wait for the server"))?;
        let log = server.log().map_err(cant("read the server's log"))?;
        self.report.last_transaction.clone_from(&log.last_transaction);
        if let Err(Ended(status)) = ready {
            return Err(Problem::of_ended_server(status, &log));
        }
        if options.target.is_some() && !log.has_reached_target {
            return Err(Problem::Failed(format!(
                "recovery ended before it reached {}. The server's log ends with:\n{}",
                self.report.target,
                log.last_lines()
            )));
        }
        let (Some(replay), Some(start)) = (log.replay(), log.start()) else {
            return Err(Problem::NotProven(format!(
                "the server's log doesn't say that it recovered. It ends with:\n{}",
                log.last_lines()
            )));
        };
        self.report.set_times(fetch, replay, start);
        self.report.checked.push(format!("recovery to {}", self.report.target));
        Ok(())
    }

    /// Reads all data: with pg_amcheck or, where that isn't possible, with pg_dumpall.
    async fn read_all(&mut self, tools: &Tools) -> Result<(), Problem> {
        self.check_superuser().await?;
        let is_checked = self.check_tables(tools).await?;
        if is_checked && !self.args.full {
            return Ok(());
        }
        if !tools.has("pg_dumpall") || !tools.has("pg_dump") {
            self.skip("pg_dumpall", "it isn't installed");
            return match is_checked {
                true => Ok(()),
                false => Err(Problem::NotProven(
                    "the server on the backup runs, but nothing here can read all of its data: install pg_amcheck or \
                     pg_dumpall of its version"
                        .to_owned(),
                )),
            };
        }
        let mut arguments = self.connection_options()?;
        arguments.extend(["--file=/dev/null", "--no-sync"].map(str::to_owned));
        self.run_tool(tools, "pg_dumpall", arguments).await
    }

    /// Runs pg_amcheck. Returns whether it could run.
    async fn check_tables(&mut self, tools: &Tools) -> Result<bool, Problem> {
        const NAME: &str = "pg_amcheck";
        if !tools.has(NAME) {
            self.skip(NAME, "it isn't installed, or this version of PostgreSQL doesn't have it");
            return Ok(false);
        }
        if !self.can_check_tables().await? {
            self.skip(NAME, "the extension amcheck isn't installed");
            return Ok(false);
        }
        let mut arguments = self.connection_options()?;
        let options = ["--all", "--install-missing", "--heapallindexed"];
        arguments.extend(options.map(str::to_owned));
        arguments.push(format!("--jobs={}", self.args.jobs));
        if self.args.full {
            arguments.push("--rootdescend".to_owned());
        }
        self.run_tool(tools, NAME, arguments).await?;
        Ok(true)
    }

    async fn can_check_tables(&self) -> Result<bool, Problem> {
        self.query("SELECT count(*) > 0 FROM pg_available_extensions WHERE name = 'amcheck'").await
    }

    async fn check_superuser(&self) -> Result<(), Problem> {
        if self.query(IS_SUPERUSER).await? {
            return Ok(());
        }
        let reason = "is not a superuser, and can't read everything; name a superuser with --username";
        Err(Problem::NotProven(format!("{} {reason}", self.args.username)))
    }

    /// Asks the server a question.
    async fn query(&self, query: &str) -> Result<bool, Problem> {
        let failed = |error: swiftwal_postgres::replication::ReplicationError| {
            let text = format!("can't query the server on the backup: {}", chain_of_any(&error));
            match error.code() {
                Some(NO_ROLE) => {
                    Problem::NotProven(format!("{text}; name a superuser of the cluster with --username"))
                }
                _ => Problem::Failed(text),
            }
        };
        let mut session = self.server()?.connect(TEMPLATE).await.map_err(failed)?;
        let row = session.row(query, QUERY_LIMIT).await.map_err(failed)?;
        Ok(row.bytes(0).is_some_and(|value| **value == b"t"[..]))
    }

    async fn run_assertions(&mut self) -> Result<(), Problem> {
        let Some(assertions) = self.assertions else { return Ok(()) };
        self.session.watchdog.doing("running the assertions");
        let count = assertions.check(self.server()?, &self.args.sql_database).await?;
        let noun = if count == 1 { "assertion" } else { "assertions" };
        self.report.checked.push(format!("{count} {noun}"));
        Ok(())
    }

    async fn stop(&mut self) -> Result<(), Problem> {
        self.session.watchdog.doing("stopping the server");
        let Some(server) = &mut self.server else { return Ok(()) };
        match server.stop().await.map_err(cant("stop the server"))? {
            Some(status) if status.success() => {
                self.server = None;
                Ok(())
            }
            Some(status) => {
                let log = server.log().map_err(cant("read the server's log"))?;
                Err(Problem::of_ended_server(status, &log))
            }
            None => Err(Problem::NotProven("the server didn't stop in time".to_owned())),
        }
    }

    async fn verify_checksums(&mut self, tools: &Tools) -> Result<(), Problem> {
        const NAME: &str = "pg_checksums";
        let data = self.scratch.data();
        let control = data.join("global/pg_control");
        let control = fs::read(&control).map_err(|error| local("read", &control, error))?;
        if ControlFile::has_checksums(&control) == Some(false) {
            self.skip(NAME, "the cluster has no page checksums");
        } else if !tools.has(NAME) {
            self.skip(NAME, "it isn't installed");
        } else {
            let arguments = ["--check".into(), "--pgdata".into(), data.into_os_string()];
            self.run_tool(tools, NAME, arguments.into()).await?;
        }
        Ok(())
    }

    /// Runs a program that fails if it finds damage.
    async fn run_tool(
        &mut self,
        tools: &Tools,
        name: &str,
        arguments: Vec<impl AsRef<std::ffi::OsStr>>,
    ) -> Result<(), Problem> {
        self.session.watchdog.doing(format!("running {name}"));
        tracing::info!("running {name}");
        let ran = tools.run(name, arguments, self.scratch).await;
        let ran = ran.map_err(|error| Problem::NotProven(format!("can't run {name}: {error}")))?;
        if ran.code != Some(0) {
            return Err(Problem::reported_by(name, &ran));
        }
        self.report.checked.push(name.to_owned());
        Ok(())
    }

    fn skip(&mut self, name: &str, reason: &str) {
        self.report.not_checked.push(format!("{name}: {reason}"));
    }

    fn server(&self) -> Result<&IsolatedServer, Problem> {
        self.server.as_ref().ok_or_else(|| Problem::NotProven("the server doesn't run".to_owned()))
    }

    fn connection_options(&self) -> Result<Vec<String>, Problem> {
        Ok(self.server()?.connection_options().into())
    }
}

/// Returns the size of the restored files, as far as it is known. That of a chain is at least that of its full backup.
fn needed_bytes(plan: &RestorePlan) -> u64 {
    plan.chain.iter().filter_map(|member| member.tar_bytes).max().unwrap_or_default()
}

fn cant(action: &'static str) -> impl FnOnce(io::Error) -> Problem {
    move |error| Problem::NotProven(format!("can't {action}: {error}"))
}

fn local(action: &'static str, path: &std::path::Path, error: io::Error) -> Problem {
    Problem::NotProven(format!("can't {action} {}: {error}", path.display()))
}
