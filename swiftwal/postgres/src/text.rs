//! Parses and stores values as PostgreSQL prints them.

/// Parses all of `text` as a hexadecimal number of at most eight digits; `None` for anything else, including a sign.
///
/// Lower-case digits are accepted only if `lower_case` is set.
pub(crate) fn hex_u32(text: &str, lower_case: bool) -> Option<u32> {
    let is_digit = |b: u8| matches!(b, b'0'..=b'9' | b'A'..=b'F') || (lower_case && matches!(b, b'a'..=b'f'));
    if !text.bytes().all(is_digit) {
        return None;
    }
    u32::from_str_radix(text, 16).ok()
}

/// Implements serde for a type by means of its `Display` and `FromStr`.
macro_rules! serde_as_text {
    ($name:ty) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use serde_as_text;
