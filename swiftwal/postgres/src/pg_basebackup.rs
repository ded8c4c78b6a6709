//! Base backups made by the program `pg_basebackup`.
//!
//! The way for authentication that only libpq has: it reads the child's environment, password file and service file as
//! `psql` does. Its limits are the program's: a cluster with tablespaces can't be written to one stream, and while WAL
//! isn't included, the server waits for its archive_command without a limit before it declares the backup complete.

mod archive;
mod command;
mod failure;
mod messages;
mod notes;
mod psql;
mod session;
mod stream;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, process::Stdio};

use async_trait::async_trait;

use crate::{
    BaseBackupRequest, BaseBackupSource, BaseBackupStream, ConnectOptions, ServerSession, SourceError,
};
use session::PsqlSession;
use stream::PgBasebackupStream;

/// Makes base backups by running `pg_basebackup`, 10 or later, of the server's version or a later one.
///
/// It is never asked for a password. Its environment is this process's, with the locale set to C.
#[derive(Debug, Clone)]
pub struct PgBasebackup {
    connect: ConnectOptions,
    program: Option<PathBuf>,
}

impl PgBasebackup {
    /// A source for the server that `connect` describes.
    ///
    /// `program` is the program's path; without one, it is looked for in `PATH`, then where the packages of the
    /// distributions put it, newest version first.
    pub fn new(connect: ConnectOptions, program: Option<PathBuf>) -> Self {
        Self { connect, program }
    }
}

#[async_trait]
impl BaseBackupSource for PgBasebackup {
    async fn connect(&self) -> Result<Option<Box<dyn ServerSession>>, SourceError> {
        let session = PsqlSession::connect(self.program.as_deref(), &self.connect).await?;
        Ok(Some(Box::new(session)))
    }

    async fn start(&self, request: &BaseBackupRequest) -> Result<Box<dyn BaseBackupStream>, SourceError> {
        let arguments = command::arguments(&self.connect, request);
        let child = command::spawn(command::PG_BASEBACKUP, self.program.as_deref(), &arguments, Stdio::null)?;
        Ok(Box::new(PgBasebackupStream::new(child, request.include_wal)?))
    }
}
