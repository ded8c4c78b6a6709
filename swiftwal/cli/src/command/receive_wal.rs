//! The subcommand receive-wal.

use std::{convert::Infallible, path::PathBuf, time::Duration};

use futures::FutureExt;
use serde_json::json;
use swiftwal_core::{Error, ReceiveOptions, drain_spool};
use swiftwal_postgres::{Connector, replication::conninfo::Environment};
use tokio::{sync::oneshot, time::timeout};

use super::server_args::ServerArgs;
use crate::{
    failure::Failure,
    log,
    session::Session,
    stop::Stop,
    systemd::Systemd,
    values::{bytes, duration},
};

/// How long a stopped receiver may take to store what is in the spool. What it can't store by then remains there.
pub(crate) const CLEARING: Duration = Duration::from_secs(30);

/// The directory of the spool in the state directory.
const SPOOL: &str = "receive-wal";

/// Receive WAL from a running server and store it, as a service.
///
/// It follows the server over a replication connection with a physical slot, so the last transactions are stored, too, not
/// only complete segments. It tells the server two positions: written is what is durable in the spool, a local directory;
/// flushed is what is stored. With synchronous_standby_names = 'swiftwal' and synchronous_commit = remote_write, a committed
/// transaction is never lost as long as the server or the spool remains.
///
/// It connects again when the server or the storage was away, and follows promotions. SIGTERM, SIGINT and SIGHUP stop it
/// with exit code 0: it first stores what was received, for at most 30 seconds. The rest stays in the spool for the next
/// start, or for --drain. As a service of systemd, it says when it is ready, what it does, and that it is alive (Type=notify,
/// WatchdogSec).
///
/// The connection settings are those of psql: PGHOST, PGPORT, PGUSER and so on, and a password in ~/.pgpass.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
                        swiftwal -c /etc/swiftwal.toml receive-wal -H db1 --create-slot --spool /var/lib/swiftwal/spool\n\
                        After the server was lost, store what the spool has:\n  \
                        swiftwal -c /etc/swiftwal.toml receive-wal --drain --spool /var/lib/swiftwal/spool")]
pub(crate) struct Args {
    /// The physical replication slot. It makes the server keep its WAL until that is stored
    #[arg(long, value_name = "NAME", default_value = "swiftwal")]
    slot: String,
    /// Create the slot if it doesn't exist
    #[arg(long)]
    create_slot: bool,
    /// The local directory for WAL that isn't stored yet. It must survive a crash of the machine, and be used by one
    /// receive-wal only [default: a directory in the state directory]
    #[arg(long, value_name = "DIR")]
    spool: Option<PathBuf>,
    /// How large the spool may become, such as 500M or 4G; two segments at least. If it is full, because the storage is away,
    /// no more WAL is received until some is stored
    #[arg(long, value_name = "SIZE", default_value = "4G", value_parser = bytes)]
    spool_size: u64,
    /// How often the incomplete last segment is stored, in seconds or as 1min; 0 for only when this command or the server
    /// stops
    #[arg(long, value_name = "DURATION", default_value = "10", value_parser = duration, allow_negative_numbers = true)]
    partial_interval: Duration,
    /// Store what the spool contains, then end. This needs no server; use the same user, repository and --spool as the service
    #[arg(long)]
    drain: bool,
    /// Receive even if the server is a standby
    #[arg(long)]
    allow_standby: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

pub(crate) async fn run(args: Args, session: &Session<'_>) -> Result<(), Failure> {
    let repository = session.open_to_store(false)?;
    let in_state = || Some(repository.storage().state_dir()?.path().join(SPOOL));
    let spool = args.spool.clone().or_else(in_state).ok_or_else(|| {
        Error::Usage("this user has no state directory: name a directory with --spool".to_owned())
    })?;
    let options = ReceiveOptions {
        slot: args.slot,
        create_slot: args.create_slot,
        spool,
        spool_bytes: args.spool_size,
        partial_interval: args.partial_interval,
        allow_standby: args.allow_standby,
        codec: session.config.codec,
    };
    if args.drain {
        session.watchdog.doing("storing what is in the spool");
        let drained = async { Ok(drain_spool(&repository, &options).await?) };
        let files = session.watchdog.unless_stopped(drained).await?;
        let spool = options.spool.display();
        if session.output.json {
            return session.output.json(&json!({ "spool": spool.to_string(), "files": files }));
        }
        return session.output.text(|out| match files {
            0 => writeln!(out, "The spool {spool} is empty: there was nothing to store"),
            1 => writeln!(out, "1 WAL file of the spool {spool} is stored in {}", repository.location()),
            files => writeln!(
                out,
                "{files} WAL files of the spool {spool} are stored in {}",
                repository.location()
            ),
        });
    }
    let server = &session.config.server;
    let connector = Connector::new(server.connect.clone(), Environment::new(server.variables.clone()));
    session.watchdog.doing("receiving WAL");
    let systemd = Systemd::start()?;
    let (stop, stopped) = oneshot::channel::<Infallible>();
    let mut received =
        Box::pin(swiftwal_core::receive_wal(&repository, &connector, &options, &systemd, stopped.map(drop)));
    let reason = tokio::select! {
        biased;
        reason = session.watchdog.stopped() => reason,
        ended = &mut received => return Ok(ended?),
    };
    drop(stop);
    systemd.stopping();
    match timeout(CLEARING, received).await {
        Ok(stored) => stored?,
        Err(_) => log::say(format_args!("{}", options.rest_in_spool())),
    }
    match reason {
        Stop::Signal(_) => Ok(()),
        deadline @ Stop::Deadline(_) => Err(Failure::Stopped(deadline)),
    }
}
