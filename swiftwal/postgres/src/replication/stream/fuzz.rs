//! The fuzzing target of a WAL stream.

use bytes::Bytes;

use super::payload::Payload;

/// Takes the data of a message for a part of a WAL stream.
pub(in crate::replication) fn payload(data: Bytes) {
    let most = data.len();
    if let Ok(Payload::Wal(wal)) = Payload::parse(data) {
        assert!(wal.data.len() < most);
    }
}
