//! The replication client with real servers: every kind of authentication, TLS, hosts, and each command.

mod authentication;
mod base_backup;
mod certificates;
mod hosts;
mod server;
mod session;
mod stream;
mod tls;
