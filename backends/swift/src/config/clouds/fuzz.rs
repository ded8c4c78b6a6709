//! A fuzzing target: it must not panic, whatever the bytes are.

use std::path::Path;

use super::parse;

/// Reads the bytes as a `clouds.yaml`.
pub fn clouds(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for name in ["prod", "other"] {
        match parse(Path::new("clouds.yaml"), text, name) {
            Ok(file) => drop(file.cloud.unwrap_or_default().in_region(None)),
            Err(error) => assert!(error.to_string().len() < 1000),
        }
    }
}
