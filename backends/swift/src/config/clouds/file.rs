//! Reads one cloud of a file.
//!
//! Only the requested cloud is decoded, and of it only what is needed here: the files are written for other programs,
//! and nothing else in them may keep a cloud from being used.

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess};
use serde_saphyr::{DuplicateKeyPolicy, Error};

use super::{
    cloud::Cloud,
    mapping::{Into, Mapping},
};

/// The clouds of a file, of which the wanted one is decoded.
pub(super) struct Clouds<'a> {
    wanted: &'a str,
    /// None if there is no cloud of the wanted name.
    pub(super) cloud: Option<Cloud>,
    /// The names of all clouds in the file.
    pub(super) names: Vec<String>,
}

/// Decodes the cloud `wanted`. A repeated key has its last value, as in the OpenStack tools.
pub(super) fn parse<'a>(text: &str, wanted: &'a str) -> Result<Clouds<'a>, Error> {
    let options = serde_saphyr::options! { duplicate_keys: DuplicateKeyPolicy::LastWins };
    let file = File(Clouds { wanted, cloud: None, names: Vec::new() });
    let read = |yaml: serde_saphyr::Deserializer<'_, '_>| Into(file).deserialize(yaml);
    Ok(serde_saphyr::with_deserializer_from_str_with_options(text, options, read)?.0)
}

struct File<'a>(Clouds<'a>);

impl Mapping for File<'_> {
    fn read<'de, A: MapAccess<'de>>(&mut self, key: &str, values: &mut A) -> Result<(), A::Error> {
        if key == "clouds" {
            let Clouds { wanted, .. } = self.0;
            self.0 = values.next_value_seed(Into(Clouds { wanted, cloud: None, names: Vec::new() }))?;
        } else {
            values.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

impl Mapping for Clouds<'_> {
    fn read<'de, A: MapAccess<'de>>(&mut self, key: &str, values: &mut A) -> Result<(), A::Error> {
        if key == self.wanted {
            self.cloud = Some(values.next_value_seed(Into(Cloud::default()))?);
        } else {
            values.next_value::<IgnoredAny>()?;
        }
        self.names.push(key.to_owned());
        Ok(())
    }
}
