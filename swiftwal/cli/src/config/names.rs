//! The names of the storage's settings.

use swiftwal_core::Registry;

/// The similarity, between 0 and 1, from which on a name is suggested for another.
const ALIKE: f64 = 0.8;

/// The names of the settings that the storage takes.
#[derive(Clone, Debug)]
pub(crate) struct SettingNames(Vec<&'static str>);

impl SettingNames {
    /// Returns the settings of all backends.
    pub(crate) fn of(registry: &Registry) -> Self {
        Self(registry.settings())
    }

    /// Returns the settings of the backend of `scheme`.
    pub(super) fn of_scheme(registry: &Registry, scheme: &str) -> Self {
        Self(registry.settings_of(scheme).to_vec())
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|known| name == *known || (is_family(known) && name.starts_with(known)))
    }

    /// Returns the setting with the most similar name, if one is similar enough.
    pub(super) fn nearest(&self, name: &str) -> Option<&'static str> {
        let name = name.to_ascii_uppercase();
        let named = self.0.iter().filter(|known| !is_family(known));
        let alike = named.map(|known| (strsim::jaro_winkler(known, &name), *known));
        alike
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .filter(|(likeness, _)| *likeness >= ALIKE)
            .map(|(_, name)| name)
    }

    /// Returns the settings that have an option: OpenStack's.
    pub(crate) fn with_option(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().copied().filter(|name| name.starts_with("OS_") && !is_family(name))
    }
}

/// Whether `name` is the prefix of a family of settings.
fn is_family(name: &str) -> bool {
    name.ends_with('_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_leads_to_the_name_that_was_meant() {
        let names = SettingNames::of(&swiftwal_backends::registry());
        for (slip, meant) in [
            ("OS_PASWORD", "OS_PASSWORD"),
            ("PASSWORD", "OS_PASSWORD"),
            ("os_username", "OS_USERNAME"),
            ("OS_USER_NAME", "OS_USERNAME"),
            ("OS_PROJECT", "OS_PROJECT_ID"),
            ("ST_PASSWORD", "OS_PASSWORD"),
            ("SWIFT_SEGMENT_CONTAINER", "SWIFT_SEGMENTS_CONTAINER"),
        ] {
            assert_eq!(names.nearest(slip), Some(meant), "{slip}");
        }
        assert_eq!(names.nearest("frobnicate"), None);
    }
}
