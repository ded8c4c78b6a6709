//! Resolves the hosts, their ports and their passwords.

use std::path::Path;

use super::{ConnInfo, ConnInfoError, Environment, Host, Place, environment::SOCKET_DIRECTORIES, passfile};
use crate::{printable, replication::secret::Secret};

const DEFAULT_PORT: u16 = 5432;

/// The host of Unix sockets in the default directory in a password file.
const LOCALHOST: &str = "localhost";

/// Returns the hosts in the order given, without passwords.
pub(super) fn resolve(info: &ConnInfo) -> Result<Vec<Host>, ConnInfoError> {
    let names = list(info, "host");
    let addresses = list(info, "hostaddr");
    let count = if addresses.is_empty() { names.len().max(1) } else { addresses.len() };
    if !addresses.is_empty() && !names.is_empty() && names.len() != count {
        return Err(ConnInfoError::Value(format!(
            "could not match {} host names to {count} hostaddr values",
            names.len()
        )));
    }
    let ports = list(info, "port");
    if ports.len() > 1 && ports.len() != count {
        return Err(ConnInfoError::Value(format!(
            "could not match {} port numbers to {count} hosts",
            ports.len()
        )));
    }
    let at =
        |list: &[&str], at: usize| list.get(at).copied().filter(|text| !text.is_empty()).map(str::to_owned);
    let host = |number: usize| {
        let port = at(&ports, if ports.len() == 1 { 0 } else { number });
        let name = at(&names, number);
        let place = place(name.as_deref(), at(&addresses, number).as_deref())?;
        Ok(Host { name, place, port: self::port(port.as_deref())?, password: None })
    };
    (0..count).map(host).collect()
}

fn list<'a>(info: &'a ConnInfo, keyword: &str) -> Vec<&'a str> {
    info.get(keyword).map(|value| value.split(',').collect()).unwrap_or_default()
}

fn place(name: Option<&str>, address: Option<&str>) -> Result<Place, ConnInfoError> {
    match (address, name) {
        (Some(address), _) => match address.parse() {
            Ok(address) => Ok(Place::Address(address)),
            Err(_) => Err(ConnInfoError::Value(format!(
                "could not parse network address \"{}\"",
                printable(address)
            ))),
        },
        (None, Some(name)) if is_directory(name) => Ok(Place::Directory(name.into())),
        (None, Some(name)) => Ok(match name.parse() {
            Ok(address) => Place::Address(address),
            Err(_) => Place::Name(name.to_owned()),
        }),
        (None, None) => Ok(Place::Directory(default_directory().into())),
    }
}

fn is_directory(name: &str) -> bool {
    name.starts_with(['/', '@'])
}

fn default_directory() -> &'static str {
    let [first, last] = SOCKET_DIRECTORIES;
    if Path::new(first).is_dir() { first } else { last }
}

fn port(text: Option<&str>) -> Result<u16, ConnInfoError> {
    let Some(text) = text else { return Ok(DEFAULT_PORT) };
    let number = text.trim().parse().ok().filter(|port| *port != 0);
    number.ok_or_else(|| ConnInfoError::Value(format!("invalid port number: \"{}\"", printable(text))))
}

/// Sets the password of each host: the given one, or that of the password file. Returns what is to be warned of.
pub(super) fn add_passwords(
    hosts: &mut [Host],
    user: &str,
    database: &str,
    info: &ConnInfo,
    environment: &Environment,
) -> Option<String> {
    if let Some(password) = info.get("password") {
        hosts.iter_mut().for_each(|host| host.password = Some(Secret::new(password)));
        return None;
    }
    let path = info.get("passfile").map(Into::into).or_else(|| environment.in_home(".pgpass"))?;
    let text = match passfile::read(&path) {
        Ok(text) => text,
        Err(warning) => return warning,
    };
    for host in hosts {
        let name = passfile_host(host);
        let wanted = passfile::Wanted { host: &name, port: host.port, database, user };
        host.password = passfile::find(&text, wanted);
    }
    None
}

/// Returns the name of a host in a password file.
fn passfile_host(host: &Host) -> String {
    let name = match (&host.name, &host.place) {
        (Some(name), _) => name.clone(),
        (None, Place::Address(address)) => address.to_string(),
        (None, _) => return LOCALHOST.to_owned(),
    };
    if SOCKET_DIRECTORIES.contains(&name.as_str()) { LOCALHOST.to_owned() } else { name }
}
