//! The fuzzing target of certificates.

use super::certificate::{end_point, public_key};

/// Parses the bytes as a certificate.
pub(in crate::replication) fn certificate(bytes: &[u8]) {
    assert!(end_point(bytes).is_none_or(|hash| [32, 48, 64].contains(&hash.len())));
    assert!(public_key(bytes).is_none_or(|key| key.len() <= bytes.len()));
}
