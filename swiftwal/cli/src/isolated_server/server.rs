//! The server itself: its start, until it accepts connections, and its end.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use swiftwal_postgres::replication::{
    Limits, ReplicationError, SqlSession,
    conninfo::{ConnInfo, Environment},
};
use tokio::{
    process::Child,
    time::{sleep, timeout},
};

use super::{
    Isolation, Scratch, ServerLog, Tools,
    error::IsolationError,
    settings::{CLIENT_SETTINGS, Needed, OLDEST, PORT},
};

/// The longest path of a socket: the size of `sun_path`, less the zero byte.
const MOST_SOCKET_BYTES: usize = 107;
/// The line of `postmaster.pid` that says whether the server accepts connections, from version 10 on.
const STATUS_LINE: usize = 7;
const PAUSE: Duration = Duration::from_millis(20);
/// How long an orderly shutdown may take: it writes everything that is in memory.
const STOPPING: Duration = Duration::from_secs(600);
/// How long an immediate shutdown may take.
const ENDING: Duration = Duration::from_secs(10);
/// Who may connect: everybody who can enter the directory of the socket, which is this user.
const HBA: &str = "local all all trust\n";
const LOG: &str = "server.log";

/// A server that runs. Dropping it kills its first process, and the others notice that.
#[derive(Debug)]
pub(crate) struct IsolatedServer {
    child: Child,
    data: PathBuf,
    directory: PathBuf,
    user: String,
}

/// The server ended although nobody asked it to.
#[derive(Debug)]
pub(crate) struct Ended(pub(crate) ExitStatus);

impl IsolatedServer {
    /// Fails if no server can be started in `scratch` on a backup of the version `version`.
    pub(crate) fn check(scratch: &Scratch, version: &str) -> Result<(), IsolationError> {
        if version.parse::<u32>().is_ok_and(|major| major < OLDEST) || version.contains('.') {
            return Err(IsolationError::TooOld { version: version.to_owned() });
        }
        let path = scratch.path().join(format!(".s.PGSQL.{PORT}.lock"));
        if path.as_os_str().len() > MOST_SOCKET_BYTES {
            let most = MOST_SOCKET_BYTES;
            return Err(IsolationError::LongPath { path, most });
        }
        Ok(())
    }

    /// Starts a server of the major version on the data directory of `scratch`, which has recovery settings. `prepare` may
    /// add to its environment what its restore_command needs. Its superuser is `user`.
    pub(crate) async fn start(
        scratch: &Scratch,
        (tools, version): (&Tools, &str),
        isolation: &Isolation,
        user: &str,
        prepare: impl FnOnce(&mut Command),
    ) -> io::Result<Self> {
        let directory = scratch.path().to_owned();
        write_private(&directory.join("postgresql.conf"), "# All settings are on the command line.\n")?;
        write_private(&directory.join("pg_hba.conf"), HBA)?;
        write_private(&directory.join("pg_ident.conf"), "")?;
        let data = scratch.data();
        let needed = match tools.has("pg_controldata") {
            true => Needed::parse(&tools.run("pg_controldata", [&data], scratch).await?.output),
            false => Needed::default(),
        };
        let log = write_private(&directory.join(LOG), "")?;
        let mut command = tools.command("postgres");
        prepare(&mut command);
        command.arg("-D").arg(&data);
        for setting in isolation.settings(version.parse().unwrap_or(OLDEST), &directory, needed) {
            command.args(["-c", &setting]);
        }
        // In a process group of its own: Ctrl-C stops this program, which then stops the server.
        command.stdout(log.try_clone()?).stderr(log).process_group(0);
        let child = tokio::process::Command::from(command).kill_on_drop(true).spawn()?;
        Ok(Self { child, data, directory, user: user.to_owned() })
    }

    /// Returns when it accepts connections, or has ended.
    pub(crate) async fn wait_until_ready(&mut self) -> io::Result<Result<(), Ended>> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Err(Ended(status)));
            }
            let text = fs::read_to_string(self.data.join("postmaster.pid")).unwrap_or_default();
            if text.lines().nth(STATUS_LINE).is_some_and(|status| status.trim() == "ready") {
                return Ok(Ok(()));
            }
            sleep(PAUSE).await;
        }
    }

    /// Connects to a database.
    pub(crate) async fn connect(&self, database: &str) -> Result<SqlSession, ReplicationError> {
        let mut info = ConnInfo::default();
        let (host, port) = (self.directory.display().to_string(), PORT.to_string());
        let settings = [
            ("host", host.as_str()),
            ("port", port.as_str()),
            ("user", self.user.as_str()),
            ("dbname", database),
            ("options", CLIENT_SETTINGS),
        ];
        for (keyword, value) in settings {
            info.set(keyword, value)?;
        }
        SqlSession::connect(&info.resolve_for_sql(&Environment::new([]))?, Limits::default()).await
    }

    /// Returns the options with which PostgreSQL's programs connect.
    pub(crate) fn connection_options(&self) -> [String; 4] {
        [
            format!("--host={}", self.directory.display()),
            format!("--port={PORT}"),
            format!("--username={}", self.user),
            "--no-password".to_owned(),
        ]
    }

    /// Reads its log.
    pub(crate) fn log(&self) -> io::Result<ServerLog> {
        ServerLog::read(&self.directory.join(LOG))
    }

    /// Stops it after a checkpoint. Returns how it ended; none if that took too long.
    pub(crate) async fn stop(&mut self) -> io::Result<Option<ExitStatus>> {
        self.signal(Signal::INT);
        match timeout(STOPPING, self.child.wait()).await {
            Ok(ended) => ended.map(Some),
            Err(_) => Ok(None),
        }
    }

    /// Ends it at once, in any case.
    pub(crate) async fn end(mut self) {
        self.signal(Signal::QUIT);
        if timeout(ENDING, self.child.wait()).await.is_err() {
            // It has ended, or it can't be helped.
            drop(self.child.kill().await);
        }
    }

    fn signal(&self, signal: Signal) {
        // A process that has been waited for has no id.
        let process = self.child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        if let Some(process) = process {
            let _ = kill_process(process, signal);
        }
    }
}

fn write_private(path: &Path, text: &str) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    Ok(file)
}
