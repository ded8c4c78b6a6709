//! A replication connection through `psql`, which is in the same package as `pg_basebackup` and finds the server and
//! its password in the same way.

use std::{path::Path, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStderr, ChildStdin, ChildStdout},
    time::timeout,
};

use super::command;
use crate::{ConnectOptions, SourceError, SourceErrorKind, printable, replication::conninfo::ConnInfo};

/// How long an answer may take, including connecting: libpq tries each address for 30 s.
const ANSWER_LIMIT: Duration = Duration::from_secs(90);
/// Far more than any answer here.
const ANSWER_BYTES: u64 = 1 << 20;
/// How much of the program's error messages is kept.
const COMPLAINT_BYTES: u64 = 4 << 10;
/// How long reading its error messages may take after it has ended.
const COMPLAINT_LIMIT: Duration = Duration::from_secs(5);

/// The separator between the columns of an answer.
const COLUMN: char = '\u{1f}';

/// A `psql` on a replication connection. It ends when its standard input is closed, so also when this process is
/// killed.
#[derive(Debug)]
pub(super) struct Psql {
    /// It is killed when it is dropped.
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    stderr: ChildStderr,
}

/// How long a session may take to end.
const END_LIMIT: Duration = Duration::from_secs(5);

/// The kind of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Connection {
    /// For the commands of the replication protocol. pg_basebackup looks up the same database name in ~/.pgpass.
    Replication,
    /// For SQL, in the database that every server has.
    Sql,
}

impl Connection {
    /// Returns the connection string; of a keyword that stands in it twice, the last value counts.
    fn string(self, given: &ConnInfo) -> String {
        // So that a dead peer is noticed.
        let ours = "application_name=swiftwal keepalives_idle=30 keepalives_interval=10 keepalives_count=3 dbname=postgres";
        let given = given.connection_string();
        match self {
            Self::Replication => format!("{ours} {given} dbname=replication replication=true"),
            Self::Sql => format!("{ours} {given}"),
        }
    }
}

/// The arguments: each answer is one row that ends with a zero byte, and the first error ends the program.
fn arguments(connect: &ConnectOptions, connection: Connection) -> Vec<String> {
    let mut arguments: Vec<String> = [
        "--no-psqlrc",
        "--no-password",
        "--quiet",
        "--tuples-only",
        "--no-align",
        "--record-separator-zero",
        "--set=ON_ERROR_STOP=1",
    ]
    .map(str::to_owned)
    .into();
    arguments.push(format!("--dbname={}", connection.string(&connect.conninfo)));
    arguments.push(format!("--field-separator={COLUMN}"));
    arguments.extend(command::connection_arguments(connect));
    arguments
}

impl Psql {
    /// Runs the program beside `pg_basebackup`, or the first one found. It connects in the background.
    pub(super) fn start(
        pg_basebackup: Option<&Path>,
        connect: &ConnectOptions,
        connection: Connection,
    ) -> Result<Self, SourceError> {
        let beside = pg_basebackup.map(|program| program.with_file_name(command::PSQL));
        let mut child =
            command::spawn(command::PSQL, beside.as_deref(), &arguments(connect, connection), Stdio::piped)?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(failed("can't communicate with psql"));
        };
        Ok(Self { child, stdin, stdout: BufReader::new(stdout), stderr })
    }

    /// Sends one command and returns the columns of its answer, a single row. After an error the session can't be used
    /// any more.
    pub(super) async fn ask(&mut self, command: &str) -> Result<Vec<String>, SourceError> {
        match timeout(ANSWER_LIMIT, self.answer(command)).await {
            Ok(Ok(Some(row))) => Ok(row.split(COLUMN).map(str::to_owned).collect()),
            Ok(Ok(None)) => Err(self.complaint(command).await),
            Ok(Err(error)) => Err(failed(format!("can't send {command} to the server")).caused_by(error)),
            Err(_) => Err(failed(format!("no answer to {command} within {} s", ANSWER_LIMIT.as_secs()))),
        }
    }

    /// Ends the session, and waits until the program has disconnected and ended.
    pub(super) async fn end(self) {
        let Self { mut child, stdin, .. } = self;
        drop(stdin);
        // If it doesn't end, it is killed when it is dropped.
        drop(timeout(END_LIMIT, child.wait()).await);
    }

    /// Reads the row; `None` if the program ends instead.
    async fn answer(&mut self, command: &str) -> std::io::Result<Option<String>> {
        let sent = self.stdin.write_all(format!("{command};\n").as_bytes()).await;
        let mut row = Vec::new();
        (&mut self.stdout).take(ANSWER_BYTES).read_until(0, &mut row).await?;
        let is_whole = sent.is_ok() && row.pop() == Some(0);
        Ok(is_whole.then(|| String::from_utf8_lossy(&row).into_owned()))
    }

    /// Returns the error messages of the program, as an error.
    async fn complaint(&mut self, command: &str) -> SourceError {
        let mut complaint = Vec::new();
        let reading = (&mut self.stderr).take(COMPLAINT_BYTES);
        tokio::pin!(reading);
        // Messages that can't be read, or don't end, are ignored.
        drop(timeout(COMPLAINT_LIMIT, reading.read_to_end(&mut complaint)).await);
        let complaint = String::from_utf8_lossy(&complaint);
        let complaint = complaint.trim().strip_prefix("psql: error: ").unwrap_or(complaint.trim());
        failed(format!("{command} failed: {}", printable(complaint)))
    }
}

fn failed(message: impl Into<String>) -> SourceError {
    SourceError::new(SourceErrorKind::Failed, message)
}
