//! The method of a backup, which selects its source.

use swiftwal_postgres::{
    BaseBackupSource, PgBasebackup, ReplicationSource, replication::conninfo::Environment,
};

use crate::config::Server;

/// The source of a base backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Method {
    /// The program `pg_basebackup`.
    #[default]
    PgBasebackup,
    /// The replication protocol, without another program.
    Replication,
}

impl Method {
    /// Parses the value of `--method`.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "pg_basebackup" => Ok(Self::PgBasebackup),
            "replication" => Ok(Self::Replication),
            _ => Err("the method must be pg_basebackup or replication"),
        }
    }

    /// Returns the source for a server.
    pub(super) fn source(self, server: &Server) -> Box<dyn BaseBackupSource> {
        let connect = server.connect.clone();
        match self {
            Self::PgBasebackup => Box::new(PgBasebackup::new(connect, None)),
            Self::Replication => {
                Box::new(ReplicationSource::new(connect, Environment::new(server.variables.clone())))
            }
        }
    }
}
