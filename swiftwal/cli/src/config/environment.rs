//! The configuration in the environment.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    ffi::{OsStr, OsString},
    path::PathBuf,
};

use super::{ConfigError, Layer, SettingNames, file::POSTGRES};

/// The variables as the system returns them.
pub(crate) type Environment = Vec<(OsString, OsString)>;

/// Returns the environment of this process.
pub(crate) fn environment() -> Environment {
    env::vars_os().collect()
}

/// The part of the environment that concerns this program.
pub(super) struct Read {
    pub(super) layer: Layer,
    pub(super) config: Option<PathBuf>,
    /// The program's directory for state that may be lost.
    pub(super) state: Option<PathBuf>,
    /// Whether storage in this process's memory is accepted, as in a test.
    pub(super) allow_volatile: bool,
    /// The names of the set variables that libpq reads by itself.
    pub(super) postgres: BTreeSet<String>,
    /// The variables of libpq's rules.
    pub(super) libpq: BTreeMap<String, String>,
}

/// Sorts the variables. Those with one of `names` are the storage's settings. An empty variable counts as unset.
pub(super) fn read(environment: Environment, names: &SettingNames) -> Result<Read, ConfigError> {
    let mut read = Read {
        layer: Layer::new("the environment"),
        config: None,
        state: None,
        allow_volatile: false,
        postgres: BTreeSet::new(),
        libpq: BTreeMap::new(),
    };
    let (mut repository, mut container, mut states) = (None, None, None);
    for (name, value) in environment.into_iter().filter(|(_, value)| !value.is_empty()) {
        let Some(name) = name.to_str() else { continue };
        if let Some(value) = value.to_str().filter(|_| name.starts_with("PG") || name == "HOME") {
            read.libpq.insert(name.to_owned(), value.to_owned());
        }
        match name {
            "SWIFTWAL_CONFIG" => read.config = Some(value.into()),
            "SWIFTWAL_REPOSITORY" => repository = Some(text(name, &value)?),
            "SWIFTWAL_CONTAINER" => container = Some(text(name, &value)?),
            "SWIFTWAL_COMPRESSION" => read.layer.set("compression", Some(text(name, &value)?)),
            "SWIFTWAL_ARCHIVE_TIMEOUT" => read.layer.set("archive_timeout", Some(text(name, &value)?)),
            "SWIFTWAL_ALLOW_MEMORY" => read.allow_volatile = value == "1",
            "XDG_STATE_HOME" => states = Some(PathBuf::from(value)).filter(|path| path.is_absolute()),
            // Where a backend looks for the user's files, such as clouds.yaml.
            "XDG_CONFIG_HOME" => read.layer.set_setting(name, text(name, &value)?),
            _ if POSTGRES.contains(&name) => drop(read.postgres.insert(name.to_owned())),
            _ if names.contains(name) => read.layer.set_setting(name, text(name, &value)?),
            _ => {}
        }
    }
    let states = states.or_else(|| Some(env::home_dir()?.join(".local/state")));
    read.state = states.map(|states| states.join("swiftwal"));
    read.layer.set_place(repository, container)?;
    Ok(read)
}

fn text(name: &str, value: &OsStr) -> Result<String, ConfigError> {
    value.to_str().map(str::to_owned).ok_or_else(|| ConfigError::NotText { name: name.to_owned() })
}
