//! The backend `swift://`: a repository in OpenStack Swift, through `object_store_swift`. The registry opens it.

mod clock;
mod create;
mod limits;
mod sweep;
mod token;

use std::{collections::BTreeMap, error::Error, sync::Arc, time::Duration};

use object_store::{GetOptions, ObjectStore, path::Path, prefix::PrefixStore};
use object_store_swift::{
    BuildError, Config, ConfigError, StoreError, SwiftBuilder, Timeouts, UnprovenAbsence,
};
use percent_encoding::percent_decode_str;
use swiftwal_core::{Backend, Limits, OpenError, Options, StateDir, Storage};
use url::Url;

use self::{clock::SwiftClock, create::SwiftCreate, limits::SwiftLimits, sweep::SwiftSweep, token::Token};

/// Storage in OpenStack Swift, `swift://container` or `swift://container/prefix`.
///
/// Its settings are those of the OpenStack tools (`OS_AUTH_URL`, `OS_CLOUD`, …), those of Swift's own tools (`ST_AUTH`,
/// `ST_USER`, `ST_KEY`), and three of this backend:
///
/// - `SWIFT_SEGMENTS_CONTAINER`: the container of the segments of large objects, instead of `<container>_segments`;
/// - `SWIFT_STORAGE_POLICY`: the policy of containers that are created here, instead of the cluster's default;
/// - `SWIFT_RETRY_SECONDS`: how long a request may make no progress, all tries included, instead of 120, or of what the
///   command's deadline allows.
///
/// With [`Options::create`] the first request creates the container, unless this machine has seen a repository in it
/// before, and the first large object creates the container of the segments. [`Options::state`] contains tokens for
/// later processes, and which repositories were seen.
#[derive(Clone, Copy, Debug)]
pub struct Swift;

const SEGMENTS_CONTAINER: &str = "SWIFT_SEGMENTS_CONTAINER";
const STORAGE_POLICY: &str = "SWIFT_STORAGE_POLICY";
const RETRY_SECONDS: &str = "SWIFT_RETRY_SECONDS";
const OWN_SETTINGS: [&str; 3] = [SEGMENTS_CONTAINER, STORAGE_POLICY, RETRY_SECONDS];

/// The settings of the client, followed by those of this backend.
const SETTINGS: &[&str] = &{
    let mut names = [""; Config::SETTINGS.len() + OWN_SETTINGS.len()];
    let (clients, own) = names.split_at_mut(Config::SETTINGS.len());
    clients.copy_from_slice(Config::SETTINGS);
    own.copy_from_slice(&OWN_SETTINGS);
    names
};

impl Swift {
    /// The size of a part. A few parts are in memory at a time, and a thousand of them fit into a manifest; of a cluster
    /// without nested manifests that is the largest object. Each costs Swift a request when it is written and when it is read, and a check when the manifest is stored.
    const PART_BYTES: usize = 16 << 20;
}

impl Backend for Swift {
    fn schemes(&self) -> &'static [&'static str] {
        &["swift"]
    }

    fn settings(&self) -> &'static [&'static str] {
        SETTINGS
    }

    fn merge_settings(
        &self,
        upper: BTreeMap<String, String>,
        lower: BTreeMap<String, String>,
    ) -> BTreeMap<String, String> {
        let merged = Config::merge_settings(upper.into_iter().collect(), lower.into_iter().collect());
        merged.into_iter().collect()
    }

    fn settings_hint(&self) -> Option<&'static str> {
        Some(
            "a setting is taken from its option (--os-auth-url for OS_AUTH_URL), else from the environment, else from the \
             configuration file",
        )
    }

    fn open(&self, location: &Url, options: &Options) -> Result<Storage, OpenError> {
        let (container, prefix) = place(location)?;
        let unfit = |reason: String| OpenError::settings(location, reason);
        let settings = options.settings.clone().into_iter().collect();
        let bad_settings = |error: ConfigError| hinted(unfit(error.to_string()), error.hint());
        let mut config = Config::from_settings(&settings).map_err(bad_settings)?;
        let retry = retry(options).map_err(unfit)?;
        config = config.with_timeouts(Timeouts { retry, ..Timeouts::default() });
        if let Some(state) = &options.state {
            config = config.with_token_cache(state.join("tokens"));
        }
        let account = config.fingerprint().map_err(bad_settings)?;
        let place = format!("{account} {location}");
        let state_dir = options.state.as_deref().map(|state| StateDir::of_place(state, &place));
        let is_known =
            !options.anew && state_dir.as_ref().is_some_and(|state_dir| state_dir.seen().is_some());
        let mut builder =
            SwiftBuilder::new(container).with_config(config).with_create(options.create && !is_known);
        if let Some(segments) = options.setting(SEGMENTS_CONTAINER) {
            builder = builder.with_segments_container(segments);
        }
        if let Some(policy) = options.setting(STORAGE_POLICY) {
            builder = builder.with_policy(policy);
        }
        let swift = builder.build().map_err(|error| match error {
            BuildError::Config(_) | BuildError::SameContainer { .. } => {
                hinted(unfit(error.to_string()), error.hint())
            }
            _ => invalid(location, error.to_string()),
        })?;
        let sweep = SwiftSweep::new(swift.clone(), prefix.clone());
        let create = SwiftCreate::new(swift.clone(), prefix.clone());
        let (token, clock) = (Token(swift.clone()), SwiftClock(swift.clone()));
        let limits = SwiftLimits(swift.clone());
        let store: Arc<dyn ObjectStore> =
            if prefix.is_root() { Arc::new(swift) } else { Arc::new(PrefixStore::new(swift, prefix)) };
        let mut unproven_read = GetOptions::default();
        unproven_read.extensions.insert(UnprovenAbsence);
        let storage = Storage::new(store)
            .with_ordered_listings()
            .with_unproven_read(unproven_read)
            .with_sweep(Arc::new(sweep))
            .with_create_in_parts(Arc::new(create))
            .with_prepare(Arc::new(token))
            .with_clock(Arc::new(clock))
            .with_hints(hint)
            .with_fullness(says_full)
            .with_limits(Limits { part_bytes: Self::PART_BYTES, ..Limits::default() })
            .with_learned_limits(Arc::new(limits));
        Ok(match state_dir {
            Some(state_dir) => storage.with_state_dir(state_dir).with_identity_cache(),
            None => storage,
        })
    }
}

/// Whether Swift accepts no more data: a quota is used up (413), or its disks are full. The object servers report a
/// full disk with 507, but the proxy answers 503 for it, as for a server that is down (measured). So 503 counts as
/// well: prune needs no space, and must be able to free some on a full cluster. If Swift is down, its next requests
/// fail anyway.
fn says_full(error: &(dyn Error + 'static)) -> bool {
    let status =
        error.downcast_ref::<object_store_swift::Error>().and_then(object_store_swift::Error::status);
    status.is_some_and(|status| [413, 503, 507].contains(&status.as_u16()))
}

/// Returns the container, and the prefix of the names of all objects in the repository.
fn place(location: &Url) -> Result<(String, Path), OpenError> {
    if location.query().is_some() || location.fragment().is_some() {
        return Err(invalid(location, "write '?' in a name as %3F and '#' as %23"));
    }
    if location.port().is_some() || !location.username().is_empty() || location.password().is_some() {
        return Err(invalid(
            location,
            "a container's URL has no host, port or user: those are settings, such as OS_AUTH_URL and OS_USERNAME",
        ));
    }
    let container = location.host_str().unwrap_or_default();
    if container.is_empty() {
        return Err(invalid(location, "name a container, as in swift://container"));
    }
    let container = percent_decode_str(container).decode_utf8();
    let container = container.map_err(|_| invalid(location, "the container's name isn't UTF-8"))?;
    let prefix =
        Path::from_url_path(location.path()).map_err(|error| invalid(location, error.to_string()))?;
    Ok((container.into_owned(), prefix))
}

/// Returns the hint of an error of the store: its own, and which commands create a container.
fn hint(error: &(dyn Error + 'static)) -> Option<String> {
    let hint = object_store_swift::hint(error)?;
    let is_missing = matches!(error.downcast_ref(), Some(StoreError::MissingContainer { .. }));
    let creation = "archive-wal and backup create it, with --create if this machine has used it before";
    Some(if is_missing { format!("{hint}; {creation}") } else { hint })
}

fn hinted(error: OpenError, hint: Option<&str>) -> OpenError {
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

fn invalid(location: &Url, reason: impl Into<String>) -> OpenError {
    OpenError::invalid_location(location, reason)
}

/// Returns how long a failed request is retried: as long as the settings say, or else as the command's deadline allows.
/// It is a little less than that, so that the failure is reported rather than only the end of the time.
fn retry(options: &Options) -> Result<Duration, String> {
    let most = options.time_left.map(|left| left - left / 10);
    match options.setting(RETRY_SECONDS).map(str::parse) {
        None => Ok(most.unwrap_or(Timeouts::default().retry)),
        Some(Ok(seconds)) => Ok(Duration::from_secs(seconds).min(most.unwrap_or(Duration::MAX))),
        Some(Err(_)) => Err(format!("{RETRY_SECONDS} is not a whole number of seconds")),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        path::{Path as Directory, PathBuf},
    };

    use super::*;

    const PLACE: [(&str, &str); 4] = [
        ("OS_AUTH_URL", "http://keystone/v3"),
        ("OS_USERNAME", "archiver"),
        ("OS_PASSWORD", "hunter2"),
        ("OS_PROJECT_NAME", "backups"),
    ];

    fn state_dir(location: &str, settings: &[(&str, &str)]) -> PathBuf {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let options =
            Options { settings: settings.collect(), state: Some("state".into()), ..Options::default() };
        let storage = Swift.open(&location.parse().unwrap(), &options).unwrap();
        storage.state_dir().unwrap().path().to_owned()
    }

    #[test]
    fn nothing_is_tried_again_for_longer_than_the_program_has_time() {
        let retry = |time_left: Option<u64>, seconds: Option<&str>| {
            let settings = seconds.map(|text| (RETRY_SECONDS.to_owned(), text.to_owned()));
            let time_left = time_left.map(Duration::from_secs);
            let options =
                Options { settings: settings.into_iter().collect(), time_left, ..Options::default() };
            super::retry(&options).map(|retry| retry.as_secs())
        };
        assert_eq!(retry(None, None), Ok(120));
        assert_eq!(retry(None, Some("300")), Ok(300));
        assert_eq!(retry(Some(60), None), Ok(54));
        assert_eq!(retry(Some(7200), None), Ok(6480));
        assert_eq!(retry(Some(60), Some("300")), Ok(54));
        assert_eq!(retry(Some(60), Some("10")), Ok(10));
        assert!(retry(Some(60), Some("ten")).is_err());
    }

    fn with(setting: (&'static str, &'static str)) -> PathBuf {
        state_dir("swift://pg", &[&PLACE[..], &[setting]].concat())
    }

    #[test]
    fn each_place_has_a_state_directory_of_its_own() {
        let place = state_dir("swift://pg", &PLACE);
        assert_eq!(place.parent(), Some(Directory::new("state")));
        assert_eq!(place, state_dir("swift://pg", &PLACE));
        assert_ne!(place, state_dir("swift://other", &PLACE));
        assert_ne!(place, state_dir("swift://pg/below", &PLACE));
        assert_ne!(place, with(("OS_PROJECT_NAME", "other")));
    }

    #[test]
    fn the_state_directory_of_a_place_outlives_its_password() {
        assert_eq!(state_dir("swift://pg", &PLACE), with(("OS_PASSWORD", "other")));
    }

    #[test]
    fn a_cloud_that_is_another_by_now_has_another_state_directory() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("clouds.yaml");
        let of = |host: &str| {
            let auth = format!("auth_url: http://{host}/v3, username: u, password: p, project_name: backups");
            fs::write(&file, format!("clouds: {{main: {{auth: {{{auth}}}}}}}")).unwrap();
            let file = file.to_str().unwrap();
            state_dir("swift://pg", &[("OS_CLOUD", "main"), ("OS_CLIENT_CONFIG_FILE", file)])
        };
        assert_eq!(of("here"), of("here"));
        assert_ne!(of("here"), of("there"));
    }
}
