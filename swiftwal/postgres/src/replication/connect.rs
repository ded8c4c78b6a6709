//! Connects to the first host that is reached and fits.
//!
//! As libpq does: every address of every host is tried until one is reached; a server that refuses the authentication ends
//! the search, one that accepts no connections now doesn't.

mod attempt;
mod authentication;
mod cancel;
mod certificate;
mod endpoint;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzz;
mod startup;
mod target;
mod tls;
mod verifier;

pub use self::cancel::CancelToken;
use self::{attempt::attempt, endpoint::Endpoint, target::Wanted};
use super::{
    conninfo::{ConnectConfig, Host, TargetSession},
    error::ReplicationError,
    wire::Wire,
};
use std::time::Duration;

/// The SQLSTATE of a server that accepts no connections now: it is starting, stopping or in recovery.
const CANNOT_CONNECT_NOW: &str = "57P03";

/// An open, authenticated connection.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) wire: Wire,
    pub(super) cancel: CancelToken,
}

/// Connects to the first host that is reached and is what `target_session_attrs` asks for.
pub(super) async fn connect(
    config: &ConnectConfig,
    silence: Duration,
) -> Result<Connected, ReplicationError> {
    let tls = tls::Tls::new(&config.tls);
    let mut errors = Vec::new();
    for wanted in passes(config.target) {
        for host in in_order(config.hosts.iter().collect(), config.load_balance) {
            let endpoints = match endpoint::endpoints(host, silence).await {
                Ok(endpoints) => in_order(endpoints, config.load_balance),
                Err(error) => {
                    errors.push(error);
                    continue;
                }
            };
            for endpoint in endpoints {
                match one(config, host, &endpoint, &tls, wanted, silence).await {
                    Ok(connected) => return Ok(connected),
                    Err(error) if ends_search(&error) => return Err(error),
                    Err(error) => errors.push(error),
                }
            }
        }
    }
    match errors.pop() {
        Some(error) if errors.is_empty() => Err(error),
        last => Err(ReplicationError::Hosts(errors.into_iter().chain(last).collect())),
    }
}

async fn one(
    config: &ConnectConfig,
    host: &Host,
    endpoint: &Endpoint,
    tls: &tls::Tls,
    wanted: Wanted,
    silence: Duration,
) -> Result<Connected, ReplicationError> {
    let limit = config.connect_timeout.unwrap_or(silence);
    let connected = async {
        let mut connected = attempt(config, host, endpoint, tls, silence).await?;
        target::check(&mut connected.wire, wanted, endpoint).await?;
        Ok(connected)
    };
    match tokio::time::timeout(limit, connected).await {
        Ok(connected) => connected,
        Err(_) => Err(ReplicationError::ConnectTimeout { host: endpoint.to_string(), limit }),
    }
}

/// Returns what is asked of the hosts, first and then.
fn passes(target: TargetSession) -> Vec<Wanted> {
    match target {
        TargetSession::Any => vec![Wanted::Any],
        TargetSession::ReadWrite => vec![Wanted::ReadWrite],
        TargetSession::ReadOnly => vec![Wanted::ReadOnly],
        TargetSession::Primary => vec![Wanted::Primary],
        TargetSession::Standby => vec![Wanted::Standby],
        TargetSession::PreferStandby => vec![Wanted::Standby, Wanted::Any],
    }
}

/// Whether other hosts aren't tried after this error.
fn ends_search(error: &ReplicationError) -> bool {
    match error {
        ReplicationError::Server(message) => message.code != CANNOT_CONNECT_NOW,
        ReplicationError::Settings(_) | ReplicationError::Authentication { .. } => true,
        _ => false,
    }
}

/// Returns all in the order given, or in random order.
fn in_order<T>(mut all: Vec<T>, random: bool) -> Vec<T> {
    use std::hash::{BuildHasher, RandomState};
    if random {
        let state = RandomState::new();
        let mut numbered: Vec<_> = all.drain(..).enumerate().collect();
        numbered.sort_by_cached_key(|(number, _)| state.hash_one(number));
        all = numbered.into_iter().map(|(_, item)| item).collect();
    }
    all
}
