//! The regions of a cloud: `regions`, or a `region_name` that lists several.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{
    cloud::Cloud,
    mapping::{Into, Mapping},
};

/// One region, and the values that override those of the cloud there.
#[derive(Default)]
pub(super) struct Region {
    pub(super) name: String,
    pub(super) values: Cloud,
}

/// A list of regions. Each is a name, or a mapping of `name` and `values`; an entry without a name is skipped. A single
/// text lists names with commas between them.
pub(super) struct Regions(pub(super) Vec<Region>);

impl<'de> Deserialize<'de> for Regions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Entries).map(|mut regions| {
            regions.retain(|region| !region.name.is_empty());
            Self(regions)
        })
    }
}

/// Decodes an entry of the list, or the whole list.
struct Entries;

impl<'de> DeserializeSeed<'de> for Entries {
    type Value = Vec<Region>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<Region>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("regions")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_bool<E>(self, name: bool) -> Result<Self::Value, E> {
        Ok(named(&name.to_string()))
    }

    fn visit_i64<E>(self, name: i64) -> Result<Self::Value, E> {
        Ok(named(&name.to_string()))
    }

    fn visit_u64<E>(self, name: u64) -> Result<Self::Value, E> {
        Ok(named(&name.to_string()))
    }

    fn visit_f64<E>(self, name: f64) -> Result<Self::Value, E> {
        Ok(named(&name.to_string()))
    }

    fn visit_str<E>(self, names: &str) -> Result<Self::Value, E> {
        Ok(named(names))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut regions = Vec::new();
        while let Some(entry) = entries.next_element_seed(Self)? {
            regions.extend(entry);
        }
        Ok(regions)
    }

    fn visit_map<A: MapAccess<'de>>(self, values: A) -> Result<Self::Value, A::Error> {
        Ok(vec![Into(Region::default()).visit_map(values)?])
    }
}

fn named(names: &str) -> Vec<Region> {
    let region = |name: &str| Region { name: name.trim().to_owned(), values: Cloud::default() };
    names.split(',').map(region).collect()
}

impl Mapping for Region {
    fn read<'de, A: MapAccess<'de>>(&mut self, key: &str, values: &mut A) -> Result<(), A::Error> {
        match key {
            "name" => self.name = values.next_value::<Option<String>>()?.unwrap_or_default(),
            "values" => self.values = values.next_value_seed(Into(Cloud::default()))?,
            _ => drop(values.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}
