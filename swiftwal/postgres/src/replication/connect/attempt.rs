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

/// Whether TLS is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
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
    for encryption in encryptions(config.tls.mode, endpoint) {
        match encrypted(config, host, endpoint, *encryption, tls, silence).await {
            Ok(connected) => return Ok(connected),
            Err(error) if is_final(&error) => return Err(first_error.unwrap_or(error)),
            Err(error) => {
                first_error.get_or_insert(error);
            }
        }
    }
    Err(first_error.unwrap_or_else(|| ReplicationError::protocol("no kind of connection is allowed")))
}

/// Whether the other kind of encryption can't help.
fn is_final(error: &ReplicationError) -> bool {
    matches!(error, ReplicationError::Unreachable { .. } | ReplicationError::Settings(_))
}

async fn encrypted(
    config: &ConnectConfig,
    host: &Host,
    endpoint: &Endpoint,
    encryption: Encryption,
    tls: &Tls,
    silence: Duration,
) -> Result<Connected, ReplicationError> {
    let transport = endpoint.open(config).await?;
    let (secured, is_tls) = match (encryption, transport) {
        (Encryption::Tls, Transport::Tcp(stream)) => {
            let secured = tls.secure(stream, host, endpoint, silence).await?;
            let is_tls = matches!(secured.transport, Transport::Tls(_));
            (secured, is_tls)
        }
        (_, transport) => (Secured { transport, end_point: None }, false),
    };
    let is_private = is_tls || matches!(endpoint, Endpoint::Unix(_));
    let binding = Binding::new(config.channel_binding, is_tls, secured.end_point);
    let mut wire = Wire::new(secured.transport, silence);
    let authenticating = Login { config, host, binding, is_private };
    let key = startup::start(&mut wire, authenticating).await?;
    let cancel = CancelToken::new(config, host, endpoint, is_tls.then(|| tls.clone()), key, silence);
    Ok(Connected { wire, cancel })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unix_socket_is_never_asked_for_tls() {
        let endpoint = Endpoint::Unix("/run/.s.PGSQL.5432".into());
        for mode in [SslMode::Disable, SslMode::Prefer, SslMode::VerifyFull] {
            assert!(encryptions(mode, &endpoint) == [Encryption::Plain]);
        }
    }
}
