//! One cloud of `clouds.yaml` or `secure.yaml`, as settings.

use std::collections::HashMap;

use serde::de::{IgnoredAny, MapAccess};

use super::{
    mapping::{Into, Mapping},
    regions::{Region, Regions},
};
use crate::config::settings::{NAMES, over};

/// The keys beside `auth` that are used, and the settings that they are.
const KEYS: [(&str, &str); 6] = [
    ("auth_type", "OS_AUTH_TYPE"),
    ("cacert", "OS_CACERT"),
    ("endpoint_type", "OS_ENDPOINT_TYPE"),
    ("identity_api_version", "OS_IDENTITY_API_VERSION"),
    ("interface", "OS_INTERFACE"),
    ("object_store_endpoint_override", "OS_STORAGE_URL"),
];
const REGION: &str = "OS_REGION_NAME";

/// One cloud, or the values that apply in one of its regions.
#[derive(Default)]
pub(super) struct Cloud {
    pub(super) settings: HashMap<String, String>,
    regions: Vec<Region>,
}

impl Cloud {
    /// Adds what `secure.yaml` has for this cloud.
    pub(super) fn with_secrets(self, secrets: Self) -> Self {
        let regions = if secrets.regions.is_empty() { self.regions } else { secrets.regions };
        Self { settings: over(secrets.settings, self.settings), regions }
    }

    /// Returns the settings of the cloud in the given region; if none is given in its `region_name`, or else in the
    /// first of its `regions`. The values of a region override those of the cloud.
    pub(super) fn in_region(self, given: Option<&str>) -> HashMap<String, String> {
        let Self { settings, regions } = self;
        let own = settings.get(REGION).filter(|name| !name.is_empty()).cloned();
        let first = || regions.first().map(|region| region.name.clone());
        let Some(name) = given.map(str::to_owned).or(own).or_else(first) else { return settings };
        let values = regions.into_iter().find(|region| region.name == name);
        let mut settings = over(values.map(|region| region.values.settings).unwrap_or_default(), settings);
        settings.insert(REGION.to_owned(), name);
        settings
    }
}

impl Mapping for Cloud {
    fn read<'de, A: MapAccess<'de>>(&mut self, key: &str, values: &mut A) -> Result<(), A::Error> {
        match key {
            "auth" => {
                let Auth(auth) = values.next_value_seed(Into(Auth::default()))?;
                self.settings.extend(auth);
            }
            "regions" => self.regions = values.next_value::<Regions>()?.0,
            "region_name" => {
                let Regions(names) = values.next_value()?;
                self.settings.extend(names.into_iter().next().map(|first| (REGION.to_owned(), first.name)));
            }
            _ => {
                let setting = KEYS.iter().find(|(known, _)| *known == key).map(|(_, setting)| *setting);
                self.settings.extend(setting_of(setting, values)?);
            }
        }
        Ok(())
    }
}

/// The credentials, whose keys are the names of the settings in lower case and without `OS_`.
#[derive(Default)]
struct Auth(HashMap<String, String>);

impl Mapping for Auth {
    fn read<'de, A: MapAccess<'de>>(&mut self, key: &str, values: &mut A) -> Result<(), A::Error> {
        let name = format!("OS_{}", key.to_uppercase());
        let setting = NAMES.iter().find(|known| **known == name).copied();
        self.0.extend(setting_of(setting, values)?);
        Ok(())
    }
}

/// Reads the value of a setting, if it is one and has a value.
fn setting_of<'de, A: MapAccess<'de>>(
    name: Option<&str>,
    values: &mut A,
) -> Result<Option<(String, String)>, A::Error> {
    let Some(name) = name else { return values.next_value::<IgnoredAny>().map(|_| None) };
    let value = values.next_value::<Option<String>>()?;
    Ok(value.map(|value| (name.to_owned(), value)))
}
