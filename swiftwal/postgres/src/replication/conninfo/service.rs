//! Reads service files.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{ConnInfo, ConnInfoError, Environment, keywords::Keyword};
use crate::printable;

/// Adds the settings of the service that `service` or `PGSERVICE` names to what isn't set.
pub(super) fn add(info: &mut ConnInfo, environment: &Environment) -> Result<(), ConnInfoError> {
    let Some(service) = info.get("service").or_else(|| environment.variable("PGSERVICE")).map(str::to_owned)
    else {
        return Ok(());
    };
    for (path, must_exist) in files(info, environment) {
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !must_exist => continue,
            Err(error) => return Err(ConnInfoError::file(&path, error)),
        };
        if add_from(&text, &path, &service, info)? {
            return Ok(());
        }
    }
    Err(ConnInfoError::Service(format!("definition of service \"{}\" not found", printable(&service))))
}

/// Returns the service files in the order in which they are read, and whether each must exist.
fn files(info: &ConnInfo, environment: &Environment) -> Vec<(PathBuf, bool)> {
    let given = info.get("servicefile").or_else(|| environment.variable("PGSERVICEFILE"));
    let users = match given {
        Some(path) => Some((path.into(), true)),
        None => environment.in_home(".pg_service.conf").map(|path| (path, false)),
    };
    let systems = environment.system_directories().into_iter();
    users.into_iter().chain(systems.map(|directory| (directory.join("pg_service.conf"), false))).collect()
}

/// Returns the settings of a service in a file with this text.
#[cfg(any(test, fuzzing))]
pub(super) fn parse(text: &str, path: &Path, service: &str) -> Result<ConnInfo, ConnInfoError> {
    let mut info = ConnInfo::default();
    add_from(text, path, service, &mut info)?;
    Ok(info)
}

/// Returns whether the service is in this file.
fn add_from(text: &str, path: &Path, service: &str, info: &mut ConnInfo) -> Result<bool, ConnInfoError> {
    let heading = format!("[{service}]");
    let mut is_found = false;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        match line {
            "" => {}
            _ if line.starts_with('#') => {}
            // libpq takes a prefix; a longer name isn't the one that was asked for.
            _ if line.starts_with('[') && is_found => return Ok(true),
            _ if line.starts_with('[') => is_found = line == heading,
            _ if is_found => add_line(line, info).map_err(|problem| damaged(&problem, path, number))?,
            _ => {}
        }
    }
    Ok(is_found)
}

fn add_line(line: &str, info: &mut ConnInfo) -> Result<(), String> {
    if line.starts_with("ldap") {
        return Err("a service in LDAP is not supported".to_owned());
    }
    let (name, value) = line.split_once('=').ok_or("syntax error")?;
    if matches!(name, "service" | "servicefile") {
        return Err("nested service specifications not supported".to_owned());
    }
    let keyword =
        Keyword::find(name).ok_or_else(|| format!("invalid connection option \"{}\"", printable(name)))?;
    info.set_default(keyword.name, value);
    Ok(())
}

fn damaged(problem: &str, path: &Path, line: u32) -> ConnInfoError {
    let path = path.as_os_str().as_encoded_bytes();
    ConnInfoError::Service(format!("{problem} in service file \"{}\", line {line}", printable(path)))
}
