//! The settings of the connections to one server, from options and the environment, for sources that connect themselves.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::{
    ConnectOptions,
    replication::{
        Limits, ReplicationError, Session, SqlSession,
        conninfo::{ConnInfo, ConnInfoError, ConnectConfig, Environment},
    },
};

/// The name that the server shows for these connections, unless the settings have another.
const APPLICATION: &str = "swiftwal";

/// The database that every server has, for SQL, unless the connection string names one.
const DATABASE: &str = "postgres";

/// Connects to a server for replication and for SQL, by libpq's rules. What libpq would warn of for each connection is
/// reported once for all clones.
#[derive(Debug, Clone)]
pub struct Connector {
    options: ConnectOptions,
    environment: Environment,
    has_warned: Arc<AtomicBool>,
}

impl Connector {
    /// Creates a connector for the server that `options` describe, with the settings of `environment` for the rest.
    pub fn new(options: ConnectOptions, environment: Environment) -> Self {
        Self { options, environment, has_warned: Arc::default() }
    }

    /// Opens a replication connection.
    ///
    /// # Errors
    ///
    /// The settings can't be used, or no server can be reached, or it refuses the connection.
    pub async fn replication(&self) -> Result<Session, ReplicationError> {
        let config = self.info()?.resolve(&self.environment)?;
        self.warn(&config);
        Session::connect(&config, Limits::default()).await
    }

    pub(crate) async fn sql(&self) -> Result<SqlSession, ReplicationError> {
        SqlSession::connect(&self.sql_config()?, Limits::default()).await
    }

    /// As [`Self::sql`], if the server is on this host. Nothing is sent to another one.
    pub(crate) async fn sql_on_this_host(&self) -> Result<SqlSession, ReplicationError> {
        let config = ConnectConfig { only_this_host: true, ..self.sql_config()? };
        SqlSession::connect(&config, Limits::default()).await
    }

    fn sql_config(&self) -> Result<ConnectConfig, ConnInfoError> {
        let mut info = self.info()?;
        if !info.sets("dbname") {
            info.set("dbname", DATABASE)?;
        }
        let config = info.resolve_for_sql(&self.environment)?;
        self.warn(&config);
        Ok(config)
    }

    fn info(&self) -> Result<ConnInfo, ConnInfoError> {
        let ConnectOptions { conninfo: mut info, host, port, user } = self.options.clone();
        let port = port.map(|port| port.to_string());
        for (keyword, value) in [("host", host), ("port", port), ("user", user)] {
            if let Some(value) = value {
                info.set(keyword, value)?;
            }
        }
        info.set("fallback_application_name", APPLICATION)?;
        Ok(info)
    }

    fn warn(&self, config: &ConnectConfig) {
        if !config.warnings.is_empty() && !self.has_warned.swap(true, Ordering::Relaxed) {
            for warning in &config.warnings {
                tracing::warn!("{warning}");
            }
        }
    }
}
