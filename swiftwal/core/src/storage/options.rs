//! The options with which a program opens a storage.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

/// The options for opening a repository: the backend's settings, which the program has resolved from options,
/// environment and configuration file.
#[derive(Clone, Default)]
pub struct Options {
    /// Whether a missing directory or container may be created. Commands that only read never set it.
    pub create: bool,
    /// Whether a repository may be created again that [`state`](Self::state) records here and that has vanished. It has
    /// no effect without `create`.
    pub anew: bool,
    /// The backend's own settings, named as in its documentation, such as `OS_AUTH_URL`.
    pub settings: BTreeMap<String, String>,
    /// A directory of this user in which a backend may cache what saves the next process a request, such as a token,
    /// and record which repositories this machine has used. It needn't exist, and its content may vanish at any time.
    /// None: nothing is cached.
    pub state: Option<PathBuf>,
    /// The time until the program's deadline. A backend stops retrying before that, so that the failure is reported
    /// rather than the end of the time. None: there is no deadline.
    pub time_left: Option<Duration>,
}

impl Options {
    /// Returns the setting `name`, if it is set and not empty.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// Shows only the names of the settings: their values may be secrets.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("create", &self.create)
            .field("anew", &self.anew)
            .field("settings", &self.settings.keys().collect::<Vec<_>>())
            .field("state", &self.state)
            .field("time_left", &self.time_left)
            .finish()
    }
}
