//! Decodes YAML mappings of which only some keys are needed.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, MapAccess, Visitor},
};

/// A mapping of which only some keys are needed.
pub(super) trait Mapping {
    /// Reads the value of `key`, which must be consumed, if only as [`IgnoredAny`](serde::de::IgnoredAny).
    fn read<'de, A: MapAccess<'de>>(&mut self, key: &str, values: &mut A) -> Result<(), A::Error>;
}

/// Decodes a mapping into the given value. A mapping that is null, as one that was left empty, leaves it as it is.
pub(super) struct Into<M>(pub(super) M);

impl<'de, M: Mapping> DeserializeSeed<'de> for Into<M> {
    type Value = M;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<M, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, M: Mapping> Visitor<'de> for Into<M> {
    type Value = M;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping")
    }

    fn visit_unit<E>(self) -> Result<M, E> {
        Ok(self.0)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut values: A) -> Result<M, A::Error> {
        while let Some(key) = values.next_key::<String>()? {
            self.0.read(&key, &mut values)?;
        }
        Ok(self.0)
    }
}
