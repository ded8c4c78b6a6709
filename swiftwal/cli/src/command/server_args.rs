//! The options that name the server, of each command that connects to one.

use swiftwal_postgres::{ConnectOptions, replication::conninfo::ConnInfo};

use crate::values::whole;

#[derive(Debug, clap::Args)]
pub(crate) struct ServerArgs {
    /// The role to connect as. It needs the REPLICATION attribute
    #[arg(short = 'U', long, value_name = "NAME")]
    username: Option<String>,
    /// The server's host name or address, or the directory of its socket
    #[arg(short = 'H', long)]
    host: Option<String>,
    /// The server's port
    #[arg(short, long, value_parser = whole::<u16>(1..=u16::MAX.into()), allow_negative_numbers = true)]
    port: Option<u16>,
    /// The connection string or URI of the server, as for psql, without a password; -H, -p and -U override it
    #[arg(short = 'd', long, alias = "dbname", value_name = "CONNINFO", value_parser = ConnInfo::parse)]
    conninfo: Option<ConnInfo>,
}

impl ServerArgs {
    /// Returns the connection settings from the options.
    pub(crate) fn connect(&self) -> ConnectOptions {
        ConnectOptions {
            conninfo: self.conninfo.clone().unwrap_or_default(),
            host: self.host.clone(),
            port: self.port,
            user: self.username.clone(),
        }
    }
}
