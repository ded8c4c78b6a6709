//! The method of a backup, which selects its source.

use swiftwal_postgres::{BaseBackupSource, ConnectOptions, PgBasebackup};

/// The source of a base backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Method {
    /// The program `pg_basebackup`.
    #[default]
    PgBasebackup,
}

impl Method {
    /// Parses the value of `--method`.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "pg_basebackup" => Ok(Self::PgBasebackup),
            _ => Err("the method must be pg_basebackup, the only one so far"),
        }
    }

    /// Returns the source for the server that `connect` describes.
    pub(super) fn source(self, connect: ConnectOptions) -> Box<dyn BaseBackupSource> {
        match self {
            Self::PgBasebackup => Box::new(PgBasebackup::new(connect, None)),
        }
    }
}
