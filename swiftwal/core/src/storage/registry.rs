use std::{error::Error, sync::Arc};

use thiserror::Error;
use url::Url;

use super::{Backend, Options, Storage};

/// Why a repository's storage could not be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No backend answers to the URL's scheme.
    #[error("no storage is known under the scheme '{scheme}://'; known are {known}{}", did_you_mean(*nearest))]
    UnknownScheme {
        /// The scheme asked for.
        scheme: String,
        /// The schemes there are, ready to print.
        known: String,
        /// The one that was most likely meant, if one is spelled much alike.
        nearest: Option<&'static str>,
    },
    /// The URL isn't one that this backend can understand.
    #[error("'{location}' doesn't name a repository: {reason}")]
    InvalidLocation {
        /// The URL asked for.
        location: String,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// The backend's settings are missing or contradict each other.
    #[error("the settings for '{location}' don't fit: {reason}")]
    Settings {
        /// The URL asked for.
        location: String,
        /// What is missing, and where it could come from. Never a secret.
        reason: String,
    },
    /// The place isn't there, or can't be used.
    #[error("can't use the repository at '{location}': {reason}")]
    Unavailable {
        /// The URL asked for.
        location: String,
        /// What was tried, and a hint of the way out.
        reason: String,
        /// What the system said.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
}

/// The kinds of storage that a program knows, by URL scheme.
///
/// ```
/// use swiftwal_core::{OpenError, Options, Registry};
///
/// let nothing = Registry::new();
/// let error = nothing.open(&"swift://pgprod".parse()?, &Options::default()).unwrap_err();
/// assert!(matches!(error, OpenError::UnknownScheme { .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Registry {
    backends: Vec<Arc<dyn Backend>>,
}

impl Registry {
    /// A registry that knows no storage yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a backend. Where two answer to one scheme, the one added last wins.
    #[must_use]
    pub fn with(mut self, backend: impl Backend + 'static) -> Self {
        self.backends.insert(0, Arc::new(backend));
        self
    }

    /// The known schemes, in alphabetical order.
    #[must_use]
    pub fn schemes(&self) -> Vec<&'static str> {
        let mut schemes: Vec<_> =
            self.backends.iter().flat_map(|backend| backend.schemes()).copied().collect();
        schemes.sort_unstable();
        schemes.dedup();
        schemes
    }

    /// The settings that any of the backends takes, by [`Backend::settings`], in alphabetical order.
    #[must_use]
    pub fn settings(&self) -> Vec<&'static str> {
        let mut names: Vec<_> =
            self.backends.iter().flat_map(|backend| backend.settings()).copied().collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The settings that the backend of `scheme` takes; none where the scheme is unknown.
    #[must_use]
    pub fn settings_of(&self, scheme: &str) -> &'static [&'static str] {
        self.backend(scheme).map_or(&[], |backend| backend.settings())
    }

    /// Opens the storage at `location` by the backend of its scheme.
    ///
    /// # Errors
    /// [`OpenError::UnknownScheme`] names the schemes there are; the rest is the backend's to say.
    pub fn open(&self, location: &Url, options: &Options) -> Result<Storage, OpenError> {
        self.backend(location.scheme())
            .ok_or_else(|| self.unknown(location.scheme()))?
            .open(location, options)
    }

    fn backend(&self, scheme: &str) -> Option<&dyn Backend> {
        let found = self.backends.iter().find(|backend| backend.schemes().contains(&scheme));
        found.map(|backend| &**backend)
    }

    fn unknown(&self, scheme: &str) -> OpenError {
        let known: Vec<_> = self.schemes().iter().map(|scheme| format!("{scheme}://")).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        OpenError::UnknownScheme { scheme: scheme.to_owned(), known, nearest: self.nearest(scheme) }
    }

    /// The scheme that `scheme` becomes when one or two letters are corrected.
    fn nearest(&self, scheme: &str) -> Option<&'static str> {
        let distance = |known: &str| strsim::osa_distance(known, scheme);
        let alike = self.schemes().into_iter().filter(|known| distance(known) <= known.len() / 3);
        alike.min_by_key(|known| distance(known))
    }
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|scheme| format!("; did you mean {scheme}://?")).unwrap_or_default()
}
