//! The settings by which clients reach a storage.

/// Settings by name, as OpenStack's tools read them from the environment: `ST_AUTH`, `OS_USERNAME`, ….
///
/// It is an iterator of pairs for [`std::process::Command::envs`] or a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    settings: Vec<(&'static str, String)>,
    /// The port of the server, and that of the wire in front of it.
    ports: [u16; 2],
}

impl Environment {
    pub(crate) fn new(settings: &[(&'static str, &str)], ports: [u16; 2]) -> Self {
        let settings = settings.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Self { settings, ports }
    }

    /// The same settings, with all requests to the storage through its wire, [`crate::Swift::wire`] or
    /// [`crate::Ceph::wire`]. Requests to Keystone don't pass it.
    #[must_use]
    pub fn wired(self) -> Self {
        let [from, to] = self.ports.map(|port| format!(":{port}/"));
        // Version 1 returns a storage URL with the port of the request.
        let urls =
            ["ST_AUTH", "OS_STORAGE_URL"].map(|name| Some((name, self.get(name)?.replace(&from, &to))));
        if urls.iter().all(Option::is_none) {
            return self.with("OS_INTERFACE", "internal").with("OS_ENDPOINT_TYPE", "internalURL");
        }
        urls.iter().flatten().fold(self, |settings, (name, url)| settings.with(name, url))
    }

    /// The same settings with one more, or with another value for one.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.settings.retain(|(known, _)| *known != name);
        self.settings.push((name, value.to_owned()));
        self
    }

    /// Returns the value of a setting.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.settings.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }
}

impl IntoIterator for Environment {
    type Item = (&'static str, String);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.settings.into_iter()
    }
}
