//! The subcommand restore.

mod dry_run;
mod mapping;
mod next_steps;
mod report;

use std::{
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::Instant,
};

use swiftwal_core::{
    ArchiveMode, Branch, Repository, RestoreEvent, RestoreOptions, RestoreStats, Reuse, TargetAction,
    TargetTimeline,
};
use swiftwal_postgres::printable;

use self::{
    mapping::mapping,
    next_steps::{drop_databases, next_steps, owner},
    report::Report,
};
use super::target_args::TargetArgs;
use crate::{
    failure::Failure,
    log,
    output::{Elapsed, Size},
    progress::{Done, Progress},
    server_commands::{self, ServerCommands},
    session::Session,
    values::BackupArg,
};

/// Restore a base backup and set up recovery.
///
/// Recovery runs when the server is started. It fetches the WAL from the same repository with restore-wal.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  swiftwal -c /etc/swiftwal.toml restore latest /var/lib/postgresql/15/main
  swiftwal -c /etc/swiftwal.toml restore latest ./ --target-time '2013-08-28 19:40:00 UTC'
To take a stopped server back to a backup, fetching only what differs:
  swiftwal -c /etc/swiftwal.toml restore 20130828T1952Z /var/lib/postgresql/15/main --delta
To restore a copy for inspection, which must not archive into the repository:
  swiftwal -c /etc/swiftwal.toml restore latest /restore/copy --archive-mode off")]
pub(crate) struct Args {
    /// The backup: its key or a unique prefix of it, or latest (with a target, the newest that can reach it)
    #[arg(value_name = "KEY|latest")]
    backup: BackupArg,
    /// The data directory: it must be empty or not exist yet, except with --delta or --resume
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Put the tablespace that was in OLD into NEW; may be given several times. Write \= for a '=' in a path
    #[arg(long, value_name = "OLD=NEW", value_parser = mapping)]
    tablespace_mapping: Vec<(PathBuf, PathBuf)>,
    /// Put tablespaces without a mapping where they were on the original server
    #[arg(long)]
    tablespaces_in_place: bool,
    /// Put the WAL into this directory, which must be empty or not exist yet; pg_wal becomes a link to it
    #[arg(long, value_name = "DIR")]
    waldir: Option<PathBuf>,
    /// Restore over the stopped server of the same cluster that is in DIR: keep the files that match the backup, fetch the
    /// others, and remove what isn't in the backup
    #[arg(long, conflicts_with = "resume")]
    delta: bool,
    /// With --delta, give up WAL in DIR that isn't in the repository: what archive_command hasn't stored, and the last
    /// segment of a server that crashed
    #[arg(long, requires = "delta")]
    discard_wal: bool,
    /// Complete what an interrupted restore left in DIR. If this restore fails, too, what it has restored remains, and the
    /// same command completes it
    #[arg(long)]
    resume: bool,
    /// Restore the content of this database only, and that of postgres and the templates; may be given several times. The
    /// other databases take no space, can't be used, and are to be dropped
    #[arg(long, value_name = "NAME", conflicts_with = "standby")]
    database: Vec<String>,
    /// Only say what would be restored, from where and how far recovery would go, and check DIR; write nothing
    #[arg(long)]
    dry_run: bool,
    /// Show progress
    #[arg(short = 'P', long)]
    progress: bool,
    #[command(flatten)]
    target: TargetArgs,
    /// Which timeline to follow: latest, current, or its number [default: PostgreSQL's own, which is latest since version 12]
    #[arg(long, value_name = "TIMELINE", help_heading = "Recovery")]
    target_timeline: Option<TargetTimeline>,
    /// What the server does at the target: pause, promote or shutdown [default: PostgreSQL's own, pause]
    #[arg(long, value_name = "ACTION", help_heading = "Recovery", requires = "target")]
    target_action: Option<TargetAction>,
    /// Restore the files only, without recovery settings
    #[arg(
        long,
        help_heading = "Recovery",
        conflicts_with_all = ["target", "target_action", "standby", "archive_cleanup", "archive_mode", "end_at_hole"]
    )]
    no_recovery: bool,
    /// Recover to the end of the incomplete last segment that receive-wal has stored, if nothing newer is stored
    #[arg(long, help_heading = "Recovery", conflicts_with_all = ["standby", "no_recovery"])]
    use_partial: bool,
    /// If WAL is missing in the repository although later WAL is there, end recovery before the hole and give up what was
    /// written later; otherwise the server stops there
    #[arg(long, help_heading = "Recovery", conflicts_with = "standby")]
    end_at_hole: bool,
    /// Set the server up as a standby, which keeps asking for WAL
    #[arg(long, help_heading = "Recovery")]
    standby: bool,
    /// Set archive_cleanup_command so that the standby removes WAL from the repository that neither it nor a backup needs.
    /// Use this only if no other standby reads that WAL
    #[arg(long, help_heading = "Recovery", requires = "standby")]
    archive_cleanup: bool,
    /// Whether the server archives its WAL: keep the original setting, or off for a copy, which would otherwise add a
    /// timeline of its own to the repository [default: keep; with --database, off]
    #[arg(long, value_name = "keep|off", help_heading = "Recovery")]
    archive_mode: Option<ArchiveMode>,
}

pub(crate) async fn run(args: Args, session: &Session<'_>) -> Result<(), Failure> {
    let began = Instant::now();
    let repository = session.open()?;
    let restore_wal = [(args.use_partial, "--use-partial"), (args.end_at_hole, "--end-at-hole")];
    let restore_wal: Vec<_> =
        restore_wal.into_iter().filter_map(|(is_given, option)| is_given.then_some(option)).collect();
    let commands = ServerCommands::for_session(&session.config, session.deadline, &restore_wal)
        .map_err(Failure::Runtime)?;
    let options = RestoreOptions {
        target: args.target.chosen(),
        target_timeline: args.target_timeline,
        target_action: args.target_action,
        tablespace_mapping: args.tablespace_mapping,
        tablespaces_in_place: args.tablespaces_in_place,
        tablespaces_below: None,
        wal_directory: args.waldir,
        no_recovery: args.no_recovery,
        only_recovery_settings: false,
        reuse: reuse(args.delta, args.resume),
        discard_wal: args.discard_wal,
        archive_mode: args.archive_mode.unwrap_or_else(|| archive_mode(&args.database, args.no_recovery)),
        databases: args.database,
        standby: args.standby,
        restore_command: commands.restore,
        archive_cleanup_command: args.archive_cleanup.then_some(commands.archive_cleanup),
    };
    if args.dry_run {
        return say_plan(&args.directory, args.backup, &repository, &options, session).await;
    }
    let progress = Progress::new(args.progress);
    let report = Report::default();
    let observe = |event: RestoreEvent<'_>| match event {
        RestoreEvent::Chosen(chosen) => progress.suspend(|| tracing::info!("restoring {}", chosen.key)),
        RestoreEvent::Tablespace { oid, old, directory } => progress.suspend(|| {
            let [old, directory] =
                [old, directory].map(|path| printable(path.as_os_str().as_bytes()).to_string());
            log::say(format_args!("restoring tablespace {oid}, formerly in {old}, into {directory}"));
        }),
        RestoreEvent::Timelines { followed, others } => {
            report.timelines(followed, others);
            progress.suspend(|| say_timelines(followed, others));
        }
        RestoreEvent::Shortfall(notice) => {
            report.shortfall(notice);
            progress.suspend(|| log::say(format_args!("{notice}")));
        }
        RestoreEvent::Notice(notice) => {
            report.notice(notice);
            progress.suspend(|| log::say(format_args!("{notice}")));
        }
        RestoreEvent::Progress { tar_bytes, total_tar_bytes } => {
            progress.show(Done { bytes: tar_bytes, of: total_tar_bytes, stored: None });
        }
        _ => {}
    };
    session.watchdog.doing(format!("restoring into {}", args.directory.display()));
    let choice = args.backup.resolve(&repository).await?;
    let stats = swiftwal_core::restore(&repository, choice, &args.directory, &options, &observe).await?;
    progress.finish();
    drop(progress);
    if let Some(notice) = server_commands::unwritten(&session.config).filter(|_| !options.no_recovery) {
        report.notice(&notice);
        log::say(format_args!("{notice}"));
    }
    let directory = args.directory.display();
    let reported = if session.output.json {
        session.output.json(&report.document(&stats))
    } else {
        let absolute = std::path::absolute(&args.directory).unwrap_or_else(|_| args.directory.clone());
        let steps = next_steps(
            &absolute,
            owner(&absolute),
            &stats.postgres_version,
            &options,
            report.is_beyond_wal(),
        );
        let steps = steps.into_iter().chain(drop_databases(&stats.left_out));
        session.output.text(|out| {
            let (size, duration) = (Size(stats.bytes), Elapsed(began.elapsed()));
            let RestoreStats { key, files, postgres_version, .. } = &stats;
            writeln!(out, "Restored {key} into {directory}: {files} files, {size}, in {duration}")?;
            if let Some(fetched) = stats.fetched_bytes.map(Size) {
                let kept = stats.kept_files;
                match options.reuse {
                    Reuse::Nothing => writeln!(out, "{fetched} were fetched")?,
                    _ => writeln!(out, "{kept} files were there as in the backup; {fetched} were fetched")?,
                }
            }
            writeln!(out, "\nNext, with PostgreSQL {}:", printable(postgres_version))?;
            steps.into_iter().try_for_each(|step| writeln!(out, "  {step}"))
        })
    };
    reported.inspect_err(|_| {
        log::say(format_args!(
            "backup {} was restored into {directory}; its report couldn't be written",
            stats.key
        ));
    })
}

/// Returns what is done with directories that aren't empty.
fn reuse(delta: bool, resume: bool) -> Reuse {
    match (delta, resume) {
        (true, _) => Reuse::Cluster,
        (_, true) => Reuse::Interrupted,
        _ => Reuse::Nothing,
    }
}

/// Returns whether the server archives by default. One without some of its databases can't replace the original.
fn archive_mode(databases: &[String], no_recovery: bool) -> ArchiveMode {
    if databases.is_empty() || no_recovery { ArchiveMode::Keep } else { ArchiveMode::Off }
}

/// Prints what a restore would do.
async fn say_plan(
    directory: &Path,
    backup: BackupArg,
    repository: &Repository,
    options: &RestoreOptions,
    session: &Session<'_>,
) -> Result<(), Failure> {
    let observe = |event: RestoreEvent<'_>| {
        if let RestoreEvent::Notice(notice) = event {
            log::say(format_args!("{notice}"));
        }
    };
    let choice = backup.resolve(repository).await?;
    let plan = swiftwal_core::plan_restore(repository, choice, directory, options, &observe).await?;
    if session.output.json {
        session.output.json(&dry_run::document(&plan))
    } else {
        session.output.text(|out| dry_run::write(out, &plan, directory))
    }
}

/// Prints which timeline recovery follows, and where the others end.
fn say_timelines(followed: Option<&Branch>, others: &[Branch]) {
    let other = match followed {
        Some(followed) => {
            log::say(format_args!("recovery follows {followed}"));
            "not followed: "
        }
        None => "",
    };
    for branch in others {
        log::say(format_args!("{other}{branch}"));
    }
}
