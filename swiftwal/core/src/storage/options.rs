//! The options with which a program opens a storage.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

/// How a repository is to be opened: settings of the backend, resolved by the program from flags,
/// environment and configuration file.
#[derive(Clone, Default)]
pub struct Options {
    /// Whether what is missing (a directory, a container) may be made. Reading commands never set it.
    pub create: bool,
    /// Whether a repository that [`state`](Self::state) remembers here, and that has vanished, may be created anew. It
    /// says nothing where `create` isn't set.
    pub anew: bool,
    /// The backend's own settings under the names their documentation uses, such as `OS_AUTH_URL`.
    pub settings: BTreeMap<String, String>,
    /// A directory of this user's where a backend may keep what spares the next process a request, such as a
    /// token, and which repositories this machine has used. It needn't exist, and what is in it may vanish at any time.
    /// None: nothing is kept.
    pub state: Option<PathBuf>,
    /// How long the program goes on at most. A backend that tries again what failed gives up before, so that the failure
    /// is reported rather than the end of the time. None: there is no limit.
    pub time_left: Option<Duration>,
}

impl Options {
    /// The setting `name`, if it is there and not empty.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// Shows the settings' names only: their values may be secrets.
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
