//! The name of one object.

use std::fmt;

/// One object of any container of the account. For a large object this is its manifest, without the segments.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Target {
    pub(crate) container: String,
    pub(crate) name: String,
}

impl Target {
    pub(crate) fn new(container: impl Into<String>, name: impl Into<String>) -> Self {
        Self { container: container.into(), name: name.into() }
    }

    /// The name as it stands in manifests: `/container/object`.
    pub(crate) fn path(&self) -> String {
        format!("/{self}")
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.container, self.name)
    }
}
