//! The configuration: options override the environment, which overrides the configuration file, which overrides the
//! defaults.
//!
//! It is resolved in two steps: each source is read as text by key ([`Layer`]); then the merged texts are resolved into
//! a [`Config`], which is all that the rest of the program sees. Nothing else reads the environment.

mod child;
mod environment;
mod error;
mod file;
mod layer;
mod location;
mod names;
mod notices;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use figment::Figment;
use serde::Deserialize;
use swiftwal_compression::Codec;
use swiftwal_core::Registry;
use swiftwal_postgres::ConnectOptions;

use self::{environment::Environment, layer::Layer};
use crate::values::{duration, whole};

#[cfg(any(test, fuzzing))]
pub use self::file::fuzz::configuration;
pub(crate) use self::{
    environment::environment, error::ConfigError, location::Location, names::SettingNames, notices::give,
};

/// The default of `--archive-timeout`.
const DEFAULT_ARCHIVE_TIMEOUT: Duration = Duration::from_secs(60);

/// The options about the configuration; `None` for one that wasn't given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags {
    pub(crate) config: Option<PathBuf>,
    pub(crate) repository: Option<String>,
    pub(crate) container: Option<String>,
    pub(crate) compression: Option<String>,
    pub(crate) archive_timeout: Option<Duration>,
    pub(crate) connect: ConnectOptions,
    /// The storage's settings.
    pub(crate) settings: BTreeMap<String, String>,
}

/// The resolved configuration. It isn't `Debug`, since settings may be secrets.
pub(crate) struct Config {
    /// Where the repository is.
    pub(crate) repository: Location,
    /// The settings of its backend, by the names that the backend documents.
    pub(crate) settings: BTreeMap<String, String>,
    /// The names of those settings that the repository's storage takes and that came from the environment or from
    /// options, so that only this process has them.
    pub(crate) unwritten_settings: Vec<String>,
    /// The directory for the state between processes; none if this user has no place for it.
    pub(crate) state: Option<PathBuf>,
    /// Whether WAL and backups may be stored in this process's memory.
    pub(crate) allow_volatile: bool,
    /// The compression of new objects.
    pub(crate) codec: Codec,
    /// How long a backup waits for the next WAL segment.
    pub(crate) archive_timeout: Duration,
    /// The server to back up.
    pub(crate) server: Server,
    /// The absolute path of the configuration file, if there is one.
    pub(crate) file: Option<PathBuf>,
}

/// The server to back up.
pub(crate) struct Server {
    pub(crate) connect: ConnectOptions,
    /// The variables of libpq's rules.
    pub(crate) variables: BTreeMap<String, String>,
}

/// The merged sources: texts by key.
#[derive(Deserialize)]
struct Raw {
    repository: Option<String>,
    compression: Option<String>,
    archive_timeout: Option<String>,
}

impl Config {
    /// Merges and resolves the sources. If PostgreSQL runs this command for each file, the notices about the
    /// configuration file are warnings once a day.
    pub(crate) fn resolve(
        flags: Flags,
        environment: Environment,
        registry: &Registry,
        for_each_file: bool,
    ) -> Result<Self, ConfigError> {
        let names = SettingNames::of(registry);
        let environment = environment::read(environment, &names)?;
        let (state, allow_volatile) = (environment.state.clone(), environment.allow_volatile);
        let path = flags.config.as_ref().or(environment.config.as_ref());
        let file = path.map(|path| file::read(path, &names)).transpose()?;
        if let (Some(file), Some(path)) = (&file, path) {
            notices::give(&file.notices, path, for_each_file, state.as_deref());
        }
        let connect = connect(&flags.connect, &environment, file.as_ref())?;
        let server = Server { connect, variables: environment.libpq.clone() };
        let flags = flags.layer()?;
        let mut unwritten_settings: Vec<_> =
            environment.layer.settings.keys().chain(flags.settings.keys()).cloned().collect();
        if let Some(piped) = file.as_ref().filter(|file| file.path.is_none()) {
            unwritten_settings.extend(piped.layer.settings.keys().cloned());
        }
        let path = file.as_ref().and_then(|file| file.path.clone());
        let layers = [Some(&flags), Some(&environment.layer), file.as_ref().map(|file| &file.layer)];
        let sources = layers.map(|layer| layer.map(|layer| layer.settings.clone()).unwrap_or_default());
        let merged = Figment::new()
            .merge(file.map(|file| file.layer).unwrap_or_default())
            .merge(environment.layer)
            .merge(flags);
        let raw: Raw = merged.extract().map_err(|error| ConfigError::Merge(Box::new(error)))?;
        let repository: Location = raw.repository.ok_or(ConfigError::NoRepository)?.parse()?;
        let taken = SettingNames::of_scheme(registry, repository.url().scheme());
        let settings = registry.merge_settings(repository.url().scheme(), sources);
        unwritten_settings.retain(|name| taken.contains(name) && settings.contains_key(name));
        unwritten_settings.sort_unstable();
        unwritten_settings.dedup();
        // Names the source of a key's text.
        let from = |key| merged.find_metadata(key).map_or_else(String::new, |source| source.name.to_string());
        Ok(Self {
            repository,
            settings,
            unwritten_settings,
            state,
            allow_volatile,
            codec: raw.compression.map_or(Ok(Codec::default()), |text| {
                text.parse().map_err(|source| ConfigError::Compression { from: from("compression"), source })
            })?,
            archive_timeout: raw.archive_timeout.map_or(Ok(DEFAULT_ARCHIVE_TIMEOUT), |text| {
                duration(&text).map_err(|source| ConfigError::ArchiveTimeout {
                    from: from("archive_timeout"),
                    text,
                    source,
                })
            })?,
            server,
            file: path,
        })
    }
}

impl Flags {
    fn layer(&self) -> Result<Layer, ConfigError> {
        let mut layer = Layer::new("the command line");
        layer.set_place(self.repository.clone(), self.container.clone())?;
        layer.set("compression", self.compression.clone());
        layer.set("archive_timeout", self.archive_timeout.map(|timeout| timeout.as_secs().to_string()));
        for (name, value) in &self.settings {
            layer.set_setting(name, value.clone());
        }
        Ok(layer)
    }
}

/// Resolves the server: options, or else the connection string, or else what libpq's rules take from the environment (which
/// isn't set here), or else the file.
fn connect(
    flags: &ConnectOptions,
    environment: &environment::Read,
    file: Option<&file::Read>,
) -> Result<ConnectOptions, ConfigError> {
    let conninfo = flags.conninfo.clone();
    if conninfo.sets_password() {
        return Err(ConfigError::PasswordInConninfo);
    }
    let in_file = |name: &str, keyword: &str| {
        let is_given =
            conninfo.sets(keyword) || conninfo.sets("service") || environment.postgres.contains(name);
        file.filter(|_| !is_given).and_then(|file| file.postgres.get(name).cloned())
    };
    let port = |text: String| {
        whole(1..=u16::MAX.into())(&text).map_err(|problem| ConfigError::Port { text, problem })
    };
    Ok(ConnectOptions {
        conninfo: conninfo.clone(),
        host: flags.host.clone().or_else(|| in_file("PGHOST", "host")),
        port: flags.port.map(Ok).or_else(|| in_file("PGPORT", "port").map(port)).transpose()?,
        user: flags.user.clone().or_else(|| in_file("PGUSER", "user")),
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use swiftwal_postgres::replication::conninfo::ConnInfo;
    use tempfile::NamedTempFile;

    use super::*;

    fn file(text: &str) -> NamedTempFile {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    fn resolve(flags: Flags, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::resolve(flags, environment(variables), &swiftwal_backends::registry(), false)
    }

    fn with_file(file: &NamedTempFile) -> Flags {
        Flags { config: Some(file.path().to_owned()), ..Flags::default() }
    }

    fn error(flags: Flags, variables: &[(&str, &str)]) -> String {
        crate::message::chain(&resolve(flags, variables).err().unwrap())
    }

    #[test]
    fn flags_beat_the_environment_which_beats_the_file_which_beats_the_defaults() {
        let file = file(
            "repository = 'file:///file'\ncompression = 'lz4'\narchive-timeout = 1\n[settings]\nOS_USERNAME = 'file'\nOS_PASSWORD = 'file'",
        );
        let variables = [
            ("SWIFTWAL_REPOSITORY", "file:///env"),
            ("SWIFTWAL_COMPRESSION", "none"),
            ("OS_PASSWORD", "env"),
        ];
        let config = resolve(with_file(&file), &[]).ok().unwrap();
        assert_eq!(config.repository.to_string(), "file:///file");
        assert_eq!(config.codec, "lz4".parse().unwrap());
        assert_eq!(config.archive_timeout, Duration::from_secs(1));
        let config = resolve(with_file(&file), &variables).ok().unwrap();
        assert_eq!(config.repository.to_string(), "file:///env");
        assert_eq!(config.codec, "none".parse().unwrap());
        assert_eq!(
            (config.settings["OS_USERNAME"].as_str(), config.settings["OS_PASSWORD"].as_str()),
            ("file", "env")
        );
        let flags = Flags {
            container: Some("flag".to_owned()),
            archive_timeout: Some(Duration::from_secs(2)),
            ..with_file(&file)
        };
        let config = resolve(flags, &variables).ok().unwrap();
        assert_eq!(config.repository.to_string(), "container flag");
        assert_eq!(config.archive_timeout, Duration::from_secs(2));
        let config = resolve(Flags::default(), &variables[..1]).ok().unwrap();
        assert_eq!((config.codec, config.archive_timeout), (Codec::default(), Duration::from_secs(60)));
    }

    #[test]
    fn several_names_of_one_thing_are_one_setting() {
        let file = file("CONTAINER=c\nOS_PROJECT_ID=file\nOS_PROJECT_DOMAIN_ID=d\nOS_USERNAME=file\n");
        let flags = Flags {
            settings: [("OS_PROJECT_NAME".to_owned(), "flag".to_owned())].into(),
            ..with_file(&file)
        };
        let config = resolve(flags, &[("OS_PROJECT_ID", "env"), ("OS_USER_ID", "env")]).ok().unwrap();
        let names = ["OS_PROJECT_DOMAIN_ID", "OS_PROJECT_NAME", "OS_USER_ID"];
        assert_eq!(config.settings.keys().collect::<Vec<_>>(), names);
        assert_eq!(config.unwritten_settings, ["OS_PROJECT_NAME", "OS_USER_ID"]);
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let variables =
            [("SWIFTWAL_CONTAINER", "pgprod"), ("SWIFTWAL_REPOSITORY", ""), ("SWIFTWAL_CONFIG", "")];
        let config = resolve(Flags::default(), &variables).ok().unwrap();
        assert_eq!(config.repository.to_string(), "container pgprod");
    }

    #[test]
    fn without_a_repository_the_error_lists_the_ways_to_name_one() {
        let message = error(Flags::default(), &[]);
        for way in ["--repository", "--container", "SWIFTWAL_REPOSITORY", "--config"] {
            assert!(message.contains(way), "{message}");
        }
    }

    #[test]
    fn a_source_that_names_two_repositories_is_refused() {
        let message =
            error(Flags::default(), &[("SWIFTWAL_REPOSITORY", "file:///a"), ("SWIFTWAL_CONTAINER", "b")]);
        assert!(message.starts_with("the environment names both a repository and a container"), "{message}");
    }

    #[test]
    fn a_wrong_value_is_refused_with_the_source_it_came_from() {
        let flags = || Flags { container: Some("c".to_owned()), ..Flags::default() };
        let message = error(flags(), &[("SWIFTWAL_COMPRESSION", "rar")]);
        assert!(message.starts_with("can't use the compression that the environment names: "), "{message}");
        let message = error(flags(), &[("SWIFTWAL_ARCHIVE_TIMEOUT", "soon")]);
        assert!(
            message.contains("'soon', from the environment, is not a duration: give a number of seconds"),
            "{message}"
        );
    }

    #[test]
    fn the_servers_address_comes_from_flags_then_from_libpqs_environment_then_from_the_file() {
        let file = file("CONTAINER=c\nPGHOST=db1\nPGPORT=5433\nPGUSER=backup\n");
        let flags = Flags {
            connect: ConnectOptions { user: Some("flag".to_owned()), ..ConnectOptions::default() },
            ..with_file(&file)
        };
        let connect = resolve(flags, &[("PGHOST", "db2")]).ok().unwrap().server.connect;
        let user = Some("flag".to_owned());
        assert_eq!(connect, ConnectOptions { port: Some(5433), user, ..ConnectOptions::default() });
    }

    #[test]
    fn a_connection_string_wins_over_the_file_and_has_no_password() {
        let file = file("CONTAINER=c\nPGHOST=db1\nPGPORT=5433\nPGUSER=backup\n");
        let flags = |text: &str| Flags {
            connect: ConnectOptions { conninfo: ConnInfo::parse(text).unwrap(), ..ConnectOptions::default() },
            ..with_file(&file)
        };
        let connect = |text: &str| resolve(flags(text), &[]).ok().unwrap().server.connect;
        let found = connect("postgresql://db2/");
        assert_eq!((found.host, found.port, found.user.as_deref()), (None, Some(5433), Some("backup")));
        let found = connect("service=main");
        assert_eq!((found.host, found.port, found.user), (None, None, None));
        for text in ["password=hunter2", "postgres://u:hunter2@db2/", "sslpassword=hunter2"] {
            let message = error(flags(text), &[]);
            assert!(message.contains("contains a password") && !message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn the_file_is_named_by_a_variable_too_and_must_be_there() {
        let file = file("CONTAINER=c\n");
        let path = file.path().to_str().unwrap().to_owned();
        let config = resolve(Flags::default(), &[("SWIFTWAL_CONFIG", &path)]).ok().unwrap();
        assert_eq!(config.file.unwrap(), fs::canonicalize(&path).unwrap());
        drop(file);
        assert!(
            error(Flags::default(), &[("SWIFTWAL_CONFIG", &path)])
                .starts_with("can't read the configuration file")
        );
    }
}
