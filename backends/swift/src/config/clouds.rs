//! Reads `clouds.yaml` and `secure.yaml`, in which `OS_CLOUD` selects a cloud. Both files have the same form;
//! `secure.yaml` is meant for secrets.
//!
//! Source: <https://docs.openstack.org/openstacksdk/latest/user/config/configuration.html>

mod cloud;
mod file;
#[cfg(any(test, fuzzing, feature = "fuzz"))]
pub(super) mod fuzz;
mod mapping;
mod regions;

use std::{
    collections::HashMap,
    env, io,
    path::{Path, PathBuf},
};

use self::file::Clouds;
use super::ConfigError;
use crate::local_file::read_regular_text;

/// More than any of these files has.
const MOST_BYTES: u64 = 1 << 20;

/// Returns the settings of the cloud that `OS_CLOUD` names; none if it isn't set.
pub(super) fn load(given: &HashMap<String, String>) -> Result<HashMap<String, String>, ConfigError> {
    let setting = |name: &str| given.get(name).filter(|value| !value.is_empty());
    let Some(name) = setting("OS_CLOUD") else { return Ok(HashMap::new()) };
    let directories = search_path(setting("HOME"), setting("XDG_CONFIG_HOME"));
    let clouds = candidates(setting("OS_CLIENT_CONFIG_FILE"), &directories, "clouds");
    let secure = candidates(setting("OS_CLIENT_SECURE_FILE"), &directories, "secure");

    let Some((path, Clouds { cloud, mut names, .. })) = first(&clouds, name)? else {
        let places = clouds.iter().map(|path| path.display().to_string()).collect();
        return Err(ConfigError::NoCloud { cloud: name.clone(), places });
    };
    let Some(cloud) = cloud else {
        names.sort_unstable();
        let known =
            if names.is_empty() { " no clouds".to_owned() } else { format!(": {}", names.join(", ")) };
        let places = vec![format!("{}, which has{known}", path.display())];
        return Err(ConfigError::NoCloud { cloud: name.clone(), places });
    };
    let secrets = first(&secure, name)?.and_then(|(_, file)| file.cloud).unwrap_or_default();
    let region = setting("OS_REGION_NAME").map(String::as_str);
    Ok(cloud.with_secrets(secrets).in_region(region))
}

/// The directories in which the OpenStack tools look: the working directory, the user's configuration, the system's.
fn search_path(home: Option<&String>, config_home: Option<&String>) -> Vec<PathBuf> {
    let home = home.map(PathBuf::from).or_else(env::home_dir);
    let config = config_home.map(PathBuf::from).or_else(|| home.map(|home| home.join(".config")));
    let here = Some(PathBuf::from("."));
    let openstack = config.map(|config| config.join("openstack"));
    [here, openstack, Some("/etc/openstack".into())].into_iter().flatten().collect()
}

fn candidates(given: Option<&String>, directories: &[PathBuf], name: &str) -> Vec<PathBuf> {
    let files =
        |directory: &PathBuf| ["yaml", "yml"].map(|suffix| directory.join(name).with_extension(suffix));
    match given {
        Some(path) => vec![path.into()],
        None => directories.iter().flat_map(files).collect(),
    }
}

/// Returns the first of the files that exists, with the cloud `name` in it.
fn first<'a, 'b>(paths: &'a [PathBuf], name: &'b str) -> Result<Option<(&'a Path, Clouds<'b>)>, ConfigError> {
    for path in paths {
        match read_regular_text(path, MOST_BYTES) {
            Ok(text) => return Ok(Some((path, parse(path, &text, name)?))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(ConfigError::file(path, error.to_string())),
        }
    }
    Ok(None)
}

/// Parses a file. The parser's own message is left out: it may quote the file, which contains secrets.
fn parse<'a>(path: &Path, text: &str, name: &'a str) -> Result<Clouds<'a>, ConfigError> {
    file::parse(text, name).map_err(|error| {
        let line = error.location().map(|at| format!(" near line {}", at.line())).unwrap_or_default();
        ConfigError::file(path, format!("it isn't YAML of the form `clouds: NAME: auth: …`{line}"))
    })
}
