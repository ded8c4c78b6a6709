//! Reads `clouds.yaml` and `secure.yaml`, in which `OS_CLOUD` selects a cloud.

#[cfg(any(test, fuzzing))]
pub(super) mod fuzz;

use std::{
    collections::{BTreeMap, HashMap},
    env, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::ConfigError;
use crate::local_file::read_regular_text;

/// More than any of these files has.
const MOST_BYTES: u64 = 1 << 20;

/// The content of `clouds.yaml` or of `secure.yaml`, which have the same form. `secure.yaml` is meant for secrets.
///
/// Source: <https://docs.openstack.org/openstacksdk/latest/user/config/configuration.html>
#[derive(Default, Deserialize)]
struct Clouds {
    #[serde(default)]
    clouds: BTreeMap<String, Cloud>,
}

#[derive(Default, Deserialize)]
struct Cloud {
    /// Named as the settings, in lower case and without `OS_`.
    #[serde(default)]
    auth: BTreeMap<String, Option<String>>,
    auth_type: Option<String>,
    cacert: Option<String>,
    endpoint_type: Option<String>,
    identity_api_version: Option<String>,
    interface: Option<String>,
    object_store_endpoint_override: Option<String>,
    region_name: Option<String>,
}

impl Cloud {
    /// Returns the cloud as settings.
    fn settings(self) -> impl Iterator<Item = (String, String)> {
        let named = [
            ("OS_AUTH_TYPE", self.auth_type),
            ("OS_CACERT", self.cacert),
            ("OS_ENDPOINT_TYPE", self.endpoint_type),
            ("OS_IDENTITY_API_VERSION", self.identity_api_version),
            ("OS_INTERFACE", self.interface),
            ("OS_REGION_NAME", self.region_name),
            ("OS_STORAGE_URL", self.object_store_endpoint_override),
        ];
        let auth = self.auth.into_iter().map(|(name, value)| (format!("OS_{}", name.to_uppercase()), value));
        let settings = auth.chain(named.map(|(name, value)| (name.to_owned(), value)));
        settings.filter_map(|(name, value)| Some((name, value?)))
    }
}

/// Returns the settings of the cloud that `OS_CLOUD` names; none if it isn't set.
pub(super) fn load(given: &HashMap<String, String>) -> Result<HashMap<String, String>, ConfigError> {
    let setting = |name: &str| given.get(name).filter(|value| !value.is_empty());
    let Some(name) = setting("OS_CLOUD") else { return Ok(HashMap::new()) };
    let directories = search_path(setting("HOME"), setting("XDG_CONFIG_HOME"));
    let clouds = candidates(setting("OS_CLIENT_CONFIG_FILE"), &directories, "clouds");
    let secure = candidates(setting("OS_CLIENT_SECURE_FILE"), &directories, "secure");

    let Some((path, mut file)) = first(&clouds)? else {
        let places = clouds.iter().map(|path| path.display().to_string()).collect();
        return Err(ConfigError::NoCloud { cloud: name.clone(), places });
    };
    let Some(cloud) = file.clouds.remove(name) else {
        let known = file.clouds.into_keys().collect::<Vec<_>>().join(", ");
        let places = vec![format!("{}, which has: {known}", path.display())];
        return Err(ConfigError::NoCloud { cloud: name.clone(), places });
    };
    let secrets = first(&secure)?.and_then(|(_, mut file)| file.clouds.remove(name)).unwrap_or_default();
    Ok(cloud.settings().chain(secrets.settings()).collect())
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

/// Returns the first of the files that exists.
fn first(paths: &[PathBuf]) -> Result<Option<(&Path, Clouds)>, ConfigError> {
    for path in paths {
        match read_regular_text(path, MOST_BYTES) {
            Ok(text) => return Ok(Some((path, parse(path, &text)?))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(ConfigError::file(path, error.to_string())),
        }
    }
    Ok(None)
}

/// Parses a file. The parser's own message is left out: it may quote the file, which contains secrets.
fn parse(path: &Path, text: &str) -> Result<Clouds, ConfigError> {
    serde_saphyr::from_str(text).map_err(|error| {
        let line = error.location().map(|at| format!(" near line {}", at.line())).unwrap_or_default();
        ConfigError::file(path, format!("it isn't YAML of the form `clouds: NAME: auth: …`{line}"))
    })
}
