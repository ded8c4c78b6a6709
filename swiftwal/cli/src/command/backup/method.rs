//! The choice of the source that a base backup comes from.

use swiftwal_postgres::{BaseBackupSource, ConnectOptions, PgBasebackup};

/// The source that a base backup comes from.
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

    /// The source for the server that `connect` describes.
    pub(super) fn source(self, connect: ConnectOptions) -> Box<dyn BaseBackupSource> {
        match self {
            Self::PgBasebackup => Box::new(PgBasebackup::new(connect, None)),
        }
    }
}
