//! Connects to one address, with TLS and without, as `sslmode` says.

use std::time::Duration;

use super::{
    CancelToken, Connected, Endpoint,
    authentication::{Binding, Login},
    startup,
    tls::{Secured, Tls},
};
use crate::replication::{
    conninfo::{ConnectConfig, Host, SslMode},
    error::ReplicationError,
    wire::{Transport, Wire},
};

/// Whether a connection has TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encryption {
    Plain,
    Tls,
}

/// Returns what is tried, in this order. A Unix socket never has TLS.
fn encryptions(mode: SslMode, endpoint: &Endpoint) -> &'static [Encryption] {
    use Encryption::{Plain, Tls};
    match (endpoint, mode) {
        (Endpoint::Unix(_), _) | (_, SslMode::Disable) => &[Plain],
        (_, SslMode::Allow) => &[Plain, Tls],
        (_, SslMode::Prefer) => &[Tls, Plain],
        (_, SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull) => &[Tls],
    }
}

/// Connects and authenticates. With `allow` and `prefer`, a refusal leads to the other try.
pub(super) async fn attempt(
    config: &ConnectConfig,
    host: &Host,
    endpoint: &Endpoint,
    tls: &Tls,
    silence: Duration,
) -> Result<Connected, ReplicationError> {
    let mut first_error = None;
    let mut tried = Vec::new();
    for encryption in encryptions(config.tls.mode, endpoint) {
        let attempt = Attempt { config, host, endpoint, tls, silence };
        let opened = match attempt.open(*encryption).await {
            // A server without TLS is asked for the password only once.
            Ok(secured) if tried.contains(&secured.encryption()) => break,
            opened => opened,
        };
        tried.extend(opened.as_ref().ok().map(Secured::encryption));
        let connected = match opened {
            Ok(secured) => attempt.log_in(secured).await,
            Err(error) => Err(error),
        };
        match connected {
            Ok(connected) => return Ok(connected),
            Err(error) if is_final(&error) => return Err(first_error.unwrap_or(error)),
            Err(error) => drop(first_error.get_or_insert(error)),
        }
    }
    Err(first_error.unwrap_or_else(|| ReplicationError::protocol("no kind of connection is allowed")))
}

/// Whether the other kind of encryption can't help.
fn is_final(error: &ReplicationError) -> bool {
    matches!(error, ReplicationError::Unreachable { .. } | ReplicationError::Settings(_))
}

impl Secured {
    fn encryption(&self) -> Encryption {
        if matches!(self.transport, Transport::Tls(_)) { Encryption::Tls } else { Encryption::Plain }
    }
}

#[derive(Clone, Copy)]
struct Attempt<'a> {
    config: &'a ConnectConfig,
    host: &'a Host,
    endpoint: &'a Endpoint,
    tls: &'a Tls,
    silence: Duration,
}

impl Attempt<'_> {
    async fn open(self, encryption: Encryption) -> Result<Secured, ReplicationError> {
        match (encryption, self.endpoint.open(self.config).await?) {
            (Encryption::Tls, Transport::Tcp(stream)) => {
                self.tls.secure(stream, self.host, self.endpoint, self.silence).await
            }
            (_, transport) => Ok(Secured { transport, end_point: None }),
        }
    }

    async fn log_in(self, secured: Secured) -> Result<Connected, ReplicationError> {
        let Self { config, host, endpoint, tls, silence } = self;
        let is_tls = secured.encryption() == Encryption::Tls;
        let is_private = is_tls || matches!(endpoint, Endpoint::Unix(_));
        let binding = Binding::new(config.channel_binding, is_tls, secured.end_point);
        let mut wire = Wire::new(secured.transport, silence);
        let key = startup::start(&mut wire, Login { config, host, binding, is_private }).await?;
        let cancel = CancelToken::new(config, host, endpoint, is_tls.then(|| tls.clone()), key, silence);
        Ok(Connected { wire, cancel })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unix_socket_is_never_asked_for_tls() {
        let endpoint = Endpoint::Unix("/run/.s.PGSQL.5432".into());
        for mode in [SslMode::Disable, SslMode::Prefer, SslMode::VerifyFull] {
            assert_eq!(encryptions(mode, &endpoint), [Encryption::Plain]);
        }
    }
}
