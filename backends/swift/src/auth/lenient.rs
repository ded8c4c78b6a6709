//! Decodes the parts of a response that are needed, whatever the other parts are.

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

/// Decodes a field; None if it is null or has another type than expected. To be used with `#[serde(default)]`, so that
/// the field may be missing, too.
pub(super) fn optional<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(deserializer)?).ok())
}

/// Decodes those elements of a list that have the expected type. Anything but a list counts as an empty one.
pub(super) fn elements<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let list = match Value::deserialize(deserializer)? {
        Value::Array(list) => list,
        _ => Vec::new(),
    };
    Ok(list.into_iter().filter_map(|element| serde_json::from_value(element).ok()).collect())
}
