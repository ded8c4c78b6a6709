//! Takes base backups with the program `pg_basebackup`.
//!
//! It supports every kind of authentication that libpq has: the program reads the environment, the password file and
//! the service file as `psql` does. It has the limits of the program: a cluster with tablespaces can't be written to
//! one stream, and if WAL isn't included, the server waits for its archive_command without a limit before it declares
//! the backup complete.

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

/// Takes base backups by running `pg_basebackup`, version 10 or later, of the server's version or a later one.
///
/// The program is never asked for a password. It runs with this process's environment, but with the locale C.
#[derive(Debug, Clone)]
pub struct PgBasebackup {
    connect: ConnectOptions,
    program: Option<PathBuf>,
}

impl PgBasebackup {
    /// Creates a source for the server that `connect` describes.
    ///
    /// `program` is the program's path. Without one, it is looked for in `PATH`, then where the distributions' packages
    /// install it, newest version first.
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
        request.refuse_incremental("--method pg_basebackup")?;
        let arguments = command::arguments(&self.connect, request);
        let child = command::spawn(command::PG_BASEBACKUP, self.program.as_deref(), &arguments, Stdio::null)?;
        Ok(Box::new(PgBasebackupStream::new(child, request.include_wal)?))
    }
}
