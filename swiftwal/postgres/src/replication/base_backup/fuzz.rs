//! The fuzzing target of the copies of a base backup.

use bytes::Bytes;

use super::copy::{Copies, Item};

/// Takes the data of a message for a part of a base backup.
pub(in crate::replication) fn copy(data: Bytes) {
    let most = data.len();
    let mut copies = Copies::new(150_000, &[], true);
    let begun = copies.begin().and_then(|_| copies.data(data));
    if let Ok(Some(Item::Data(data) | Item::Manifest(data))) = begun {
        assert!(data.len() < most);
    }
    assert!(copies.end().is_ok());
}
