//! The registry of backends, by URL scheme.

use std::{collections::BTreeMap, sync::Arc};

use url::Url;

use super::{Backend, Options, Storage};
use crate::error::OpenError;

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
    absent: Vec<Absent>,
}

/// A kind of storage that a program doesn't support, but that a user may request.
#[derive(Clone, Copy, Debug)]
pub struct Absent {
    /// Its URL scheme.
    pub scheme: &'static str,
    /// The names of its settings, as in [`Backend::settings`]. They are accepted, so that the message is about the
    /// storage.
    pub settings: &'static [&'static str],
    /// How to build a program that supports it, or what to use instead.
    pub hint: &'static str,
}

impl Registry {
    /// Creates a registry without backends.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a backend. If two handle one scheme, the one added last is used.
    #[must_use]
    pub fn with(mut self, backend: impl Backend + 'static) -> Self {
        self.backends.insert(0, Arc::new(backend));
        self
    }

    /// Adds a hint for users who request a storage that isn't supported.
    #[must_use]
    pub fn with_absent(mut self, absent: Absent) -> Self {
        self.absent.push(absent);
        self
    }

    /// Returns the known schemes, in alphabetical order.
    #[must_use]
    pub fn schemes(&self) -> Vec<&'static str> {
        let mut schemes: Vec<_> =
            self.backends.iter().flat_map(|backend| backend.schemes()).copied().collect();
        schemes.sort_unstable();
        schemes.dedup();
        schemes
    }

    /// Returns the settings that any of the backends accepts, including the [absent](Absent) ones, in alphabetical
    /// order.
    #[must_use]
    pub fn settings(&self) -> Vec<&'static str> {
        let known = self.backends.iter().flat_map(|backend| backend.settings());
        let absent = self.absent.iter().flat_map(|absent| absent.settings);
        let mut names: Vec<_> = known.chain(absent).copied().collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Returns the settings that the backend of `scheme` accepts; none if the scheme is unknown.
    #[must_use]
    pub fn settings_of(&self, scheme: &str) -> &'static [&'static str] {
        self.backend(scheme).map_or(&[], |backend| backend.settings())
    }

    /// Merges the settings of several sources for the backend of `scheme`. A source overrides those after it, in the way
    /// of [`Backend::merge_settings`].
    #[must_use]
    pub fn merge_settings(
        &self,
        scheme: &str,
        sources: impl IntoIterator<Item = BTreeMap<String, String>, IntoIter: DoubleEndedIterator>,
    ) -> BTreeMap<String, String> {
        sources.into_iter().rev().fold(BTreeMap::new(), |mut lower, upper| match self.backend(scheme) {
            Some(backend) => backend.merge_settings(upper, lower),
            None => {
                lower.extend(upper);
                lower
            }
        })
    }

    /// Opens the storage at `location` with the backend of its scheme.
    ///
    /// # Errors
    ///
    /// [`OpenError::UnknownScheme`] lists the known schemes; the backend returns all others.
    pub fn open(&self, location: &Url, options: &Options) -> Result<Storage, OpenError> {
        let scheme = location.scheme();
        let backend = self.backend(scheme).ok_or_else(|| self.unknown(scheme))?;
        let storage =
            backend.open(location, options).map_err(|error| match (&error, backend.settings_hint()) {
                (OpenError::Settings { .. }, Some(hint)) => error.with_hint(hint),
                _ => error,
            })?;
        let configuration = blake3::hash(format!("{location}\n{:?}", options.settings).as_bytes());
        Ok(storage.with_configuration(configuration.to_hex().to_string()))
    }

    fn backend(&self, scheme: &str) -> Option<&dyn Backend> {
        let found = self.backends.iter().find(|backend| backend.schemes().contains(&scheme));
        found.map(|backend| &**backend)
    }

    fn unknown(&self, scheme: &str) -> OpenError {
        let known: Vec<_> = self.schemes().iter().map(|scheme| format!("{scheme}://")).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let error = OpenError::UnknownScheme {
            scheme: scheme.to_owned(),
            hint: format!("the known schemes are: {known}"),
        };
        let error = match self.nearest(scheme) {
            Some(nearest) => error.with_hint(format!("did you mean {nearest}://?")),
            None => error,
        };
        match self.absent.iter().find(|absent| absent.scheme == scheme) {
            Some(absent) => error.with_hint(absent.hint),
            None => error,
        }
    }

    /// Returns the scheme that `scheme` becomes when one or two letters are corrected.
    fn nearest(&self, scheme: &str) -> Option<&'static str> {
        let distance = |known: &str| strsim::osa_distance(known, scheme);
        let alike = self.schemes().into_iter().filter(|known| distance(known) <= known.len() / 3);
        alike.min_by_key(|known| distance(known))
    }
}
