//! The method of a backup, which selects its source.

use swiftwal_core::{Error, causes};
use swiftwal_postgres::{
    BaseBackupSource, Connector, LocalSource, PgBasebackup, ReplicationSource, SourceError,
    replication::conninfo::Environment,
};

use crate::config::Server;

/// The source of a base backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// The server's files, read on its host.
    Local,
    /// The program `pg_basebackup`.
    PgBasebackup,
    /// The replication protocol, without another program.
    Replication,
}

impl Method {
    /// Parses the value of `--method`.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "local" => Ok(Self::Local),
            "pg_basebackup" => Ok(Self::PgBasebackup),
            "replication" => Ok(Self::Replication),
            _ => Err("the method must be local, pg_basebackup or replication"),
        }
    }

    /// Returns the method of a backup: the given one, or else the fastest that is possible. A line of `-v` says why.
    ///
    /// # Errors
    ///
    /// The given method can't take a backup that `may_be_incremental`.
    async fn choose(
        given: Option<Self>,
        may_be_incremental: bool,
        connector: &Connector,
    ) -> Result<Self, Error> {
        let (method, why) = match given.or(may_be_incremental.then_some(Self::Replication)) {
            Some(Self::Replication) if may_be_incremental => {
                (Self::Replication, "it takes incremental backups".to_owned())
            }
            Some(method) if may_be_incremental => {
                return Err(Error::Usage(format!(
                    "--method {} can't take incremental backups; leave it out, or use --method replication",
                    method.name()
                )));
            }
            Some(method) => (method, "--method".to_owned()),
            None => where_it_runs(LocalSource::new(connector.clone()).check().await),
        };
        tracing::info!("the method of the backup is {}: {why}", method.name());
        Ok(method)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::PgBasebackup => "pg_basebackup",
            Self::Replication => "replication",
        }
    }
}

/// Returns the source for a backup of `server` by the given method, or by the one that fits.
///
/// # Errors
///
/// The given method can't take a backup that `may_be_incremental`.
pub(super) async fn source(
    given: Option<Method>,
    may_be_incremental: bool,
    server: &Server,
) -> Result<Box<dyn BaseBackupSource>, Error> {
    let connector = Connector::new(server.connect.clone(), Environment::new(server.variables.clone()));
    Ok(match Method::choose(given, may_be_incremental, &connector).await? {
        Method::Local => Box::new(LocalSource::new(connector)),
        Method::PgBasebackup => Box::new(PgBasebackup::new(server.connect.clone(), None)),
        Method::Replication => Box::new(ReplicationSource::new(connector)),
    })
}

/// Returns the method that fits, and the reason. `local` says whether the server's files can be read here.
fn where_it_runs(local: Result<(), SourceError>) -> (Method, String) {
    match local {
        Ok(()) => (Method::Local, "the server's files can be read here".to_owned()),
        Err(error) => (Method::Replication, format!("local isn't possible: {}", causes(&error))),
    }
}

#[cfg(test)]
mod tests {
    use swiftwal_postgres::SourceErrorKind;

    use super::*;

    #[test]
    fn the_names_of_methods_are_what_the_option_takes() {
        for method in [Method::Local, Method::PgBasebackup, Method::Replication] {
            assert_eq!(Method::parse(method.name()), Ok(method));
        }
        assert!(Method::parse("Local").is_err());
    }

    #[test]
    fn local_is_chosen_where_it_works_and_the_reason_is_given() {
        let error = SourceError::new(SourceErrorKind::Failed, "no files");
        let reason = "local isn't possible: no files".to_owned();
        assert_eq!(where_it_runs(Err(error)), (Method::Replication, reason));
        assert_eq!(where_it_runs(Ok(())).0, Method::Local);
    }
}
