//! Takes base backups by reading the server's files, on its host and as its user.
//!
//! A session with the server begins and ends the backup; everything else is done here, by PostgreSQL's rules: which files
//! belong to a backup ([`exclusion`], [`walk`]), the form of the tar ([`tar_header`], [`plan`]), the checksums of pages
//! ([`page_checks`]), the manifest ([`manifest`]). Files may vanish, grow and shrink meanwhile: recovery makes
//! up for that. A directory is copied only if it is proven to be that of the server ([`directory`]).

mod cache_sparing;
mod chunk;
mod copy;
mod damage;
mod directory;
mod ending;
mod exclusion;
mod failure;
mod inspection;
mod manifest;
mod pace;
mod page_checks;
mod plan;
mod postmaster;
mod server;
mod session;
mod sizes;
mod stream;
mod tablespace_map;
mod tar_header;
mod wal;
mod walk;

use async_trait::async_trait;

pub use self::{
    copy::LOCAL_CHUNKS,
    inspection::{Inspection, ServerSetup},
};
use self::{
    directory::DataDirectory,
    server::{Cluster, Server},
    session::SqlServerSession,
    stream::LocalStream,
};
use crate::{BaseBackupRequest, BaseBackupSource, BaseBackupStream, Connector, ServerSession, SourceError};

/// Takes base backups of a server on this host, of version 13 or later, whose files this process may read.
#[derive(Debug, Clone)]
pub struct LocalSource {
    connector: Connector,
}

impl LocalSource {
    /// Creates a source for a server.
    pub fn new(connector: Connector) -> Self {
        Self { connector }
    }

    /// Checks whether this source can be used: that the server is on this host, that the role may begin and end a backup,
    /// and that the data directory can be read. Nothing is asked of a server on another host.
    pub async fn check(&self) -> Result<(), SourceError> {
        let server = Server::connect_on_this_host(&self.connector).await?;
        let (mut server, _, directory) = Self::open(server).await?;
        server.check_rights().await?;
        directory.tablespaces()?;
        server.end().await;
        Ok(())
    }

    async fn open(mut server: Server) -> Result<(Server, Cluster, DataDirectory), SourceError> {
        let cluster = server.cluster().await?;
        let directory = DataDirectory::open(&cluster)?;
        Ok((server, cluster, directory))
    }
}

#[async_trait]
impl BaseBackupSource for LocalSource {
    async fn connect(&self) -> Result<Option<Box<dyn ServerSession>>, SourceError> {
        let server = Server::connect(&self.connector).await?;
        Ok(Some(Box::new(SqlServerSession::new(server).await?)))
    }

    async fn start(&self, request: &BaseBackupRequest) -> Result<Box<dyn BaseBackupStream>, SourceError> {
        request.refuse_incremental("--method local")?;
        let server = Server::connect(&self.connector).await?;
        let (server, cluster, directory) = Self::open(server).await?;
        Ok(Box::new(LocalStream::start(server, &cluster, directory, request).await?))
    }
}
