//! Takes segments from the spool, and starts the process that fetches the next ones into it.
//!
//! That makes sense only for a server in recovery: then PATH is what PostgreSQL passes for a segment,
//! `pg_wal/RECOVERYXLOG`, and the working directory is the data directory of a server that runs. pg_rewind, which asks
//! for segments in reverse order, passes another name, and so does everybody who runs restore-wal by hand. There, and with
//! `--json`, restore-wal fetches the segment as if there were no spool.

use std::{
    fs::File,
    io,
    num::NonZeroUsize,
    ops::RangeInclusive,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::available_parallelism,
};

use swiftwal_core::{DataDirectory, PrefetchOptions, Prefetcher, Repository, Spool};
use swiftwal_postgres::{SegmentName, WalName};

use super::Args;
use crate::{
    config::{self, SettingNames},
    message::chain_of_any,
    session::Session,
};

/// What PostgreSQL passes as PATH for a segment that it is going to replay.
const RECOVERED: &str = "RECOVERYXLOG";
/// The program that this process runs, even if its file was replaced or `PATH` is empty.
const THIS_PROGRAM: &str = "/proc/self/exe";
/// The default of `--jobs`, by the number of cores: fetches wait for the storage most of the time.
const JOBS: RangeInclusive<usize> = 4..=8;

/// The segment that PostgreSQL asks for, and its spool.
pub(super) struct Prefetch {
    spool: Spool,
    /// The directory of all spools.
    parent: PathBuf,
    data: DataDirectory,
    segment: SegmentName,
    options: PrefetchOptions,
}

impl Prefetch {
    /// Returns none where segments aren't fetched ahead.
    pub(super) fn new(args: &Args, session: &Session<'_>, repository: &Repository) -> Option<Self> {
        let WalName::Segment(segment) = args.name else { return None };
        let is_recovery = args.path.is_relative() && args.path.ends_with(RECOVERED);
        if !is_recovery || session.output.json {
            return None;
        }
        let data = DataDirectory::open(Path::new(".")).ok()?;
        if data.server_adopts_processes() {
            tracing::info!(
                "no WAL is fetched ahead, because PostgreSQL is the first process of this container"
            );
            return None;
        }
        let segments = match args.prefetch {
            Some(segments) => NonZeroUsize::new(segments)?,
            None => PrefetchOptions::default_segments(data.segment_size()),
        };
        let cores = available_parallelism().map_or(1, NonZeroUsize::get);
        let jobs = args.jobs.unwrap_or(cores.clamp(*JOBS.start(), *JOBS.end()));
        let parent = match &args.spool {
            Some(spool) => spool.clone(),
            None => session.config.state.as_ref()?.join("spool"),
        };
        match Spool::new(&parent, repository, &data) {
            Ok(spool) => Some(Self {
                spool,
                parent,
                data,
                segment,
                options: PrefetchOptions { jobs: NonZeroUsize::new(jobs)?, segments },
            }),
            Err(error) => {
                report(&parent, &error, session);
                None
            }
        }
    }

    /// Moves the segment from the spool to `target`, if it is there or will be there soon. Returns whether it did.
    pub(super) async fn take(&self, target: &Path, session: &Session<'_>) -> bool {
        let text = self.spool.take_log().unwrap_or_default();
        let message = |line: &str| {
            let line = line.strip_prefix("swiftwal: ").unwrap_or(line);
            line.strip_prefix("warning: ").unwrap_or(line).to_owned()
        };
        let messages: Vec<_> = text.lines().map(message).collect();
        config::give(&messages, self.spool.path(), true, session.config.state.as_deref());
        let Some(prefetcher) = Prefetcher::connect(&self.spool).await else { return false };
        tracing::info!("asking for {} in {}", self.segment, self.spool.path().display());
        session.watchdog.doing(format!("taking {} from {}", self.segment, self.spool.path().display()));
        let time_left = |bytes| {
            session.watchdog.allow_for(bytes);
            session.watchdog.time_left()
        };
        let taken = prefetcher.take(&self.spool, &self.data, self.segment, target, &time_left).await;
        match &taken {
            Ok(true) => tracing::info!("{} was fetched ahead", self.segment),
            Ok(false) => {}
            Err(error) => tracing::warn!("{}; fetching it again", chain_of_any(error)),
        }
        matches!(taken, Ok(true))
    }

    /// Lets the prefetcher go on after the segment, which was fetched without it; starts it if there is none.
    pub(super) async fn fetched(&self, session: &Session<'_>) {
        let is_told = match Prefetcher::connect(&self.spool).await {
            Some(prefetcher) => prefetcher.delivered(self.segment).await,
            None => false,
        };
        if is_told {
            return;
        }
        if let Err(error) = self.spool.create_log().and_then(|log| self.start(log, session)) {
            report(&self.parent, &error, session);
        }
    }

    /// Starts the prefetcher, which outlives this process: it keeps none of its streams, one of which is the server's log,
    /// and gets none of the signals that the server sends to this process's group.
    fn start(&self, log: File, session: &Session<'_>) -> io::Result<()> {
        let mut command = Command::new(THIS_PROGRAM);
        command.arg0("swiftwal");
        let names = SettingNames::of(session.registry);
        session.config.pass_to(&mut command, config::environment(), &names);
        command.arg("prefetch-wal").arg("--spool").arg(&self.parent);
        command.args(["--jobs", &self.options.jobs.to_string()]);
        command.args(["--segments", &self.options.segments.to_string(), &self.segment.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
        // This process ends first, so init waits for the other one.
        command.spawn().map(drop)
    }
}

/// Says that segments can't be fetched ahead: as a warning, once a day, if the directory was chosen. The default is in the
/// state directory, about which there are other warnings.
fn report(parent: &Path, error: &io::Error, session: &Session<'_>) {
    let notice = format!("can't fetch WAL ahead into {}: {}", parent.display(), chain_of_any(error));
    let state = session.config.state.as_deref();
    if state.is_some_and(|state| parent.starts_with(state)) {
        tracing::info!("{notice}");
    } else {
        config::give(&[notice], parent, true, state);
    }
}
